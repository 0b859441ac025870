"""What can be loaded is loaded, adapters included; what cannot is refused with one line."""

import json
import os
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig

from oresight.tasks.scoring import device as device_module
from oresight.tasks.scoring import precision
from oresight.tasks.scoring.device import choose_float32_kernels, devices
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.source import UnusableModel, find
from tests.support.processes import start_process

IDS = torch.arange(3, 40)[None]


def copied(stories: Path, folder: Path, **config: Any) -> Path:
    """The stories model in a folder of its own, with some of its configuration changed."""
    shutil.copytree(stories, folder, copy_function=shutil.copyfile)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | config))
    return folder


def adapted(stories: Path, folder: Path, **options: Any) -> Any:
    """A LoRA adapter with weights that are not zero, saved; the adapted model itself."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(stories, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(0, 0.2)
    model.save_pretrained(folder)
    return model.eval()


def test_an_adapter_is_in_the_states_and_in_the_name_of_the_scores(stories: Path, tmp_path: Path) -> None:
    judge = adapted(stories, tmp_path / "lora")
    source = find(str(stories), adapter=str(tmp_path / "lora"))
    found = load(source, "cpu", "float32").states(IDS)
    with torch.inference_mode():
        wanted = judge(input_ids=IDS, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    plain = find(str(stories))
    assert not torch.allclose(load(plain, "cpu", "float32").states(IDS), wanted, atol=1e-2)
    assert source.weights == plain.weights and plain.adapter_hash is None
    adapted(stories, tmp_path / "other", lora_alpha=99)
    assert source.adapter_hash != find(str(stories), adapter=str(tmp_path / "other")).adapter_hash


def test_adapters_that_cannot_be_used_are_refused(stories: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match=r"model.adapter: .*nowhere is no folder with an adapter_config.json"):
        find(str(stories), adapter=str(tmp_path / "nowhere"))
    adapted(stories, tmp_path / "pickled")
    (tmp_path / "pickled" / "adapter_model.safetensors").rename(tmp_path / "pickled" / "adapter_model.bin")
    with pytest.raises(UnusableModel, match=r"no adapter_model\.safetensors, and other weight formats can run code"):
        find(str(stories), adapter=str(tmp_path / "pickled"))
    with pytest.raises(UnusableModel, match=r"is an adapter; give its base model as model\.name and the adapter"):
        find(str(tmp_path / "pickled"))
    base = AutoModelForCausalLM.from_pretrained(stories)
    prompts = get_peft_model(base, PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"))
    prompts.save_pretrained(tmp_path / "prompts")
    with pytest.raises(UnusableModel, match="learned prompts cannot be merged"):
        load(find(str(stories), adapter=str(tmp_path / "prompts")), "cpu")


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq", "fbgemm_fp8"])
def test_a_quantised_model_that_needs_a_gpu_is_refused_with_its_method(
    stories: Path, tmp_path: Path, method: str
) -> None:
    settings = {"quant_method": method, "bits": 4, "group_size": 32}
    if method == "bitsandbytes":
        settings |= {"load_in_4bit": True}
    folder = copied(stories, tmp_path / "quantised", quantization_config=settings)
    with pytest.raises(UnusableModel) as refused:
        load(find(str(folder)), "cpu")
    assert f"quantised with {method}, which cannot be loaded here" in str(refused.value)
    assert "give the unquantised model or a GGUF file" in str(refused.value) and "\n" not in str(refused.value)


def test_auto_takes_the_dtype_that_is_faster(stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(stories, dtype=torch.bfloat16).save_pretrained(half)
    for file in stories.glob("tokenizer*"):
        shutil.copyfile(file, half / file.name)
    plain = load(find(str(stories)), "cpu")
    assert (plain.dtype_name, plain.head.weight_VD.dtype) == ("float32", torch.float32)  # its products are too small
    monkeypatch.setattr(precision, "NARROW", 0)
    monkeypatch.setattr(precision, "GAIN", 0.0)
    for folder in (stories, half):
        fast = load(find(str(folder)), "cpu")
        assert (fast.dtype_name, fast.head.weight_VD.dtype) == ("mixed", torch.float32)
        weights = {type(m): m.weight.dtype for m in fast.body.modules() if hasattr(m, "weight")}
        assert (weights[torch.nn.Linear], weights[torch.nn.Embedding]) == (torch.bfloat16, torch.float32)
        states = fast.states(IDS)
        assert states.dtype == torch.float32
        torch.testing.assert_close(states, plain.states(IDS), rtol=0.1, atol=0.1)
    monkeypatch.setattr(precision, "GAIN", 1e9)
    assert load(find(str(half)), "cpu").dtype_name == "float32"


@pytest.mark.parametrize(
    ("device", "saved", "parallel", "faster", "dtype"),
    [
        ("cpu", torch.float32, 1, 9, "mixed"),
        ("cpu", torch.bfloat16, 1, 9, "mixed"),
        ("cpu", torch.bfloat16, 1, 1, "float32"),
        ("meta", torch.bfloat16, 1, 9, "bfloat16"),
        ("meta", torch.float32, 1, 9, "float32"),
        ("meta", torch.bfloat16, 1, 1, "float32"),
        ("cpu", torch.float32, 2, 9, "float32"),
    ],
)
def test_the_dtype_follows_from_device_and_weights(
    device: str, saved: torch.dtype, parallel: int, faster: float, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([faster, 1.0])
    monkeypatch.setattr(precision, "_seconds", lambda _product: next(seconds))
    config = LlamaConfig(hidden_size=512, dtype=saved)
    assert precision.auto_dtype(config, torch.device(device), parallel) == dtype


def test_a_mixed_model_that_cannot_run_is_taken_in_float32(stories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "NARROW", 0)
    monkeypatch.setattr(precision, "GAIN", 0.0)
    monkeypatch.setattr("oresight.tasks.scoring.loaded.mixing", lambda *_, **__: nullcontext())  # as in a layer without
    assert load(find(str(stories)), "cpu").dtype_name == "float32"
    with pytest.raises(UnusableModel, match="dtype"):
        load(find(str(stories)), "cpu", "mixed")


def test_products_of_float32_stay_those_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    monkeypatch.setattr(device_module, "_is_amd", lambda: True)
    with monkeypatch.context() as patched:
        for is_exact, kept in ((True, "bf16"), (False, "ieee")):
            setting.fp32_precision = "ieee"
            patched.setattr(device_module, "_is_exact", lambda is_exact=is_exact: is_exact)
            choose_float32_kernels.__wrapped__(torch.device("cpu"))
            assert setting.fp32_precision == kept
    choose_float32_kernels.__wrapped__(torch.device("cpu"))
    assert device_module._is_exact()
    setting.fp32_precision = before


def _multiply_in_many_shapes() -> None:
    def memory() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    choose_float32_kernels(torch.device("cpu"))
    weight, before = torch.randn(512, 512), memory()
    for n in range(900):
        torch.nn.functional.linear(torch.randn(n + 1, 512), weight)
    print((memory() - before) // 2**20)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory a process has")
def test_products_of_ever_new_shapes_do_not_fill_the_memory() -> None:
    done = start_process(_multiply_in_many_shapes).wait(120)
    assert int(done.stdout) < 400, "MB; compiled products of 900 shapes take 650"


def test_every_cuda_device_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert devices("auto") == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices("cpu") == ["cpu"] and devices("cuda") == ["cuda"]
