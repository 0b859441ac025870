"""Weights come from the model's own files and from an adapter that fits; damaged files are a sentence."""

import json
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.source import UnusableModel, find
from tests.test_models import adapted, copied

Weights = dict[str, torch.Tensor]
UNFIT: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "other names": (
        lambda w: {key.replace("layers", "blocks"): v for key, v in w.items()},
        "blocks.0.self_attn.q_proj",
    ),
    "one too many": (lambda w: w | {"base_model.model.x.lora_A.weight": torch.ones(1)}, "base_model.model.x.lora_A"),
    "half of them": (lambda w: {key: v for key, v in w.items() if "q_proj" in key}, "v_proj.lora_A.weight"),
    "none": (lambda _: {}, "does not fit the model"),
    "untrained": (lambda w: {key: v * ("lora_A" in key) for key, v in w.items()}, "changes no weight of the model"),
}


@pytest.mark.parametrize("how", UNFIT)
def test_an_adapter_that_fits_nothing_or_changes_nothing_is_refused_with_its_keys(
    stories: Path, tmp_path: Path, how: str
) -> None:
    adapted(stories, tmp_path)
    file, (change, words) = tmp_path / "adapter_model.safetensors", UNFIT[how]
    save_file(change(load_file(file)), file)
    with pytest.raises(UnusableModel, match=r"^model.adapter: ") as refused:
        load(find(str(stories), adapter=str(tmp_path)), "cpu", "float32")
    assert words in str(refused.value)


def sharded(stories: Path, folder: Path) -> Path:
    """The stories model as two files with an index."""
    copied(stories, folder)
    weights = load_file(folder / "model.safetensors")
    names, index = sorted(weights), dict[str, str]()
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: weights[name] for name in part}, folder / f"part-{number}.safetensors", {"format": "pt"})
        index |= dict.fromkeys(part, f"part-{number}.safetensors")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return folder


def test_an_index_is_part_of_the_hash(stories: Path, tmp_path: Path) -> None:
    folder = sharded(stories, tmp_path / "model")
    before = find(str(folder))
    plain, parts = load(find(str(stories)), "cpu", "float32"), load(before, "cpu", "float32")
    assert torch.equal(plain.head.weight_VD, parts.head.weight_VD)
    file = folder / "model.safetensors.index.json"
    file.write_text(file.read_text().replace('"metadata": {}', '"metadata": {"a": 1}'))
    assert find(str(folder)).weights != before.weights


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "sub/a.safetensors", "..", "", "a.bin", 3])
@pytest.mark.parametrize("file", ["model.safetensors.index.json", "config.json"])
def test_weights_outside_the_folder_are_refused(stories: Path, tmp_path: Path, name: Any, file: str) -> None:
    folder = sharded(stories, tmp_path / "model")
    shutil.copy(folder / "part-0.safetensors", tmp_path / "outside.safetensors")
    content = json.loads((folder / file).read_text())
    if file == "config.json":
        content["transformers_weights"] = name
    else:
        content["weight_map"][next(iter(content["weight_map"]))] = name
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(UnusableModel, match=r"names the weights .*(outside the model's folder|can run code)"):
        find(str(folder))


def test_weights_that_are_missing_and_a_base_model_from_elsewhere_are_refused(stories: Path, tmp_path: Path) -> None:
    folder = sharded(stories, tmp_path / "model")
    (folder / "part-1.safetensors").unlink()
    with pytest.raises(UnusableModel, match=r"'part-1\.safetensors', which are not there"):
        find(str(folder))
    both = copied(stories, tmp_path / "both")
    (both / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(tmp_path), "peft_type": "LORA"})
    )
    with pytest.raises(UnusableModel, match="is an adapter; give its base model"):
        find(str(both))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_off(file: Path) -> Path:
    """Its path, without the file."""
    file.unlink()
    return file


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "cut weights": lambda folder: cut(folder / "model.safetensors"),
    "empty weights": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "absurd header": lambda folder: (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}"),
    "no JSON in the header": lambda folder: (folder / "model.safetensors").write_bytes(struct.pack("<Q", 4) + b"abcd"),
    "cut config": lambda folder: cut(folder / "config.json"),
    "a list as config": lambda folder: (folder / "config.json").write_text("[]"),
    "cut tokenizer": lambda folder: cut(folder / "tokenizer.json"),
    "a folder as weights": lambda folder: cut_off(folder / "model.safetensors").mkdir(),
    "a link to no weights": lambda folder: cut_off(folder / "model.safetensors").symlink_to("gone"),
    "a folder as tokenizer": lambda folder: cut_off(folder / "tokenizer.json").mkdir(),
    "a text as the longest length": lambda folder: change(folder / "tokenizer_config.json", model_max_length="long"),
    "deep config": lambda folder: (folder / "config.json").write_text("[" * 100_000),
}
CONFIGS: list[dict[str, Any]] = [
    {"num_attention_heads": 0},
    {"num_key_value_heads": 0},
    {"hidden_size": "big"},
    {"hidden_size": -4},
    {"vocab_size": None},
    {"num_hidden_layers": "many"},
    {"num_hidden_layers": 10**9},
    {"num_hidden_layers": 0},
    {"max_position_embeddings": 1},
    {"model_type": "no-such-model"},
    {"rope_theta": 0, "rope_scaling": {"type": "x"}},
    {"hidden_act": "no-such-function"},
]


def changed(name: str, change: Callable[[torch.Tensor], Any]) -> Callable[[Weights], Weights]:
    """Changes one weight, or all whose name begins so."""

    def apply(weights: Weights) -> Weights:
        for key, weight in weights.items():
            if key.startswith(name):
                change(weight)
        return weights

    return apply


LAYER = "model.layers.2.mlp.up_proj.weight"
EMPTY: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "all zeros": (changed("", torch.Tensor.zero_), "holds 0 only"),
    "all equal": (changed("", lambda weight: weight.fill_(0.5)), "holds 0.5 only"),
    "a matrix of zeros": (changed(LAYER, torch.Tensor.zero_), f"its {LAYER} holds 0 only"),
    "one NaN": (
        changed(LAYER, lambda weight: weight[3, 4].fill_(torch.nan)),
        f"its {LAYER} holds numbers that are not",
    ),
    "one Inf": (
        changed(LAYER, lambda weight: weight[3, 4].fill_(torch.inf)),
        f"its {LAYER} holds numbers that are not",
    ),
    "a norm with -Inf": (
        changed("model.norm", lambda weight: weight[0].fill_(-torch.inf)),
        "its model.norm.weight holds numbers that are not finite",
    ),
}


@pytest.mark.parametrize("how", EMPTY)
@pytest.mark.parametrize("parts", [1, 2])
def test_weights_that_hold_nothing_are_refused_by_the_name_of_their_file(
    stories: Path, tmp_path: Path, how: str, parts: int
) -> None:
    folder, (change, words) = tmp_path / "model", EMPTY[how]
    sharded(stories, folder) if parts == 2 else copied(stories, folder)
    for file in folder.glob("*.safetensors"):
        save_file(change(load_file(file)), file, {"format": "pt"})
    with pytest.raises(UnusableModel, match=r"^model.name: .*model/[\w.-]*safetensors is damaged") as refused:
        load(find(str(folder)), "cpu", "float32")
    assert words in str(refused.value) and "download it again, or name another" in str(refused.value)
    if how == "one NaN" and parts == 2:
        (file,) = (file for file in folder.glob("*.safetensors") if LAYER in load_file(file))
        assert f"{file} is damaged" in str(refused.value)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_model_that_lacks_a_weight_is_refused_because_it_would_be_random(
    stories: Path, tmp_path: Path, parts: int
) -> None:
    folder = tmp_path / "model"
    sharded(stories, folder) if parts == 2 else copied(stories, folder)
    for file in folder.glob("*.safetensors"):
        save_file({key: weight for key, weight in load_file(file).items() if key != LAYER}, file, {"format": "pt"})
    with pytest.raises(UnusableModel, match=rf"lacks {re.escape(LAYER)}, which would be drawn"):
        load(find(str(folder)), "cpu", "float32")


def test_weights_that_the_configuration_has_no_place_for_are_named(
    stories: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copied(stories, tmp_path / "model", num_hidden_layers=4)
    load(find(str(folder)), "cpu", "float32")
    assert (
        "model: model.layers.4.input_layernorm.weight, " in caplog.text
        and "and 6 more weights are not used" in caplog.text
    )


def test_a_model_that_gives_every_token_the_same_logit_is_refused(stories: Path, tmp_path: Path) -> None:
    folder = copied(stories, tmp_path / "model")
    file = folder / "model.safetensors"
    save_file({key: weight * 1e30 for key, weight in load_file(file).items()}, file, {"format": "pt"})
    with pytest.raises(UnusableModel, match=r"gives every token the same logit \(0\), so that rows would get no value"):
        load(find(str(folder)), "cpu", "float32")


def test_numbers_that_are_too_large_for_half_precision_have_their_own_cure(stories: Path, tmp_path: Path) -> None:
    folder = copied(stories, tmp_path / "model")
    file = folder / "model.safetensors"
    save_file(changed(LAYER, lambda weight: weight[3, 4].fill_(1e6))(load_file(file)), file, {"format": "pt"})
    load(find(str(folder)), "cpu", "float32")
    with pytest.raises(UnusableModel, match=r"set model\.dtype to bfloat16 if these numbers are too large for float16"):
        load(find(str(folder)), "cpu", "float16")


def test_an_adapter_with_a_number_that_is_not_finite_is_refused_by_its_name(stories: Path, tmp_path: Path) -> None:
    adapted(stories, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    save_file(changed("", lambda weight: weight[0, 0].fill_(torch.nan))(load_file(file)), file)
    with pytest.raises(UnusableModel, match=r"^model.adapter: "):
        load(find(str(stories), adapter=str(tmp_path)), "cpu", "float32")


@pytest.mark.parametrize("how", [*DAMAGES, *(json.dumps(config) for config in CONFIGS)])
def test_a_damaged_model_is_one_sentence_with_the_cure(stories: Path, tmp_path: Path, how: str) -> None:
    folder = copied(stories, tmp_path / "model", **({} if how in DAMAGES else json.loads(how)))
    if how in DAMAGES:
        DAMAGES[how](folder)
    with pytest.raises(UnusableModel, match=r"^model.name: ") as refused:
        load(find(str(folder)), "cpu")
    assert "\n" not in str(refused.value) and "download it again" in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + struct.pack("<IQQ", 3, 1 << 50, 1 << 50), b"x" * 100])
def test_a_damaged_gguf_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(UnusableModel, match=r"^model.name: m cannot be loaded .*m.gguf is damaged, download it again"):
        load(find(str(tmp_path / "m.gguf")), "cpu")
