"""Several processes that share a model compute what one computes, and none of them outlives the others."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from oresight.tasks.config import Curate
from oresight.tasks.scoring import engine
from oresight.tasks.scoring.forward import visit
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.parallel import Followers, LostProcess, split, stop_followers
from oresight.tasks.scoring.picture import Picture
from oresight.tasks.scoring.prompt import encode
from oresight.tasks.scoring.source import TOY, UnusableModel, find
from tests.support.clustered import DATA, DOLLY
from tests.support.scored import ask, scored
from tests.support.tiny import build, saved

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="on the CPU of a machine with GPUs it is refused")
IDS = torch.arange(3, 43)[None].repeat(2, 1)
FAMILIES = ("llama", "gemma2 (capped, sliding)", "qwen3", "phi (biased)", "gpt-neox", "cohere2 (scaled, sliding)")
EXPERTS = ("mixtral", "qwen3-moe")
CLOSE = 1e-5
"""Largest difference, as a share of the largest number."""
COLUMNS = "value, value_per_token, value_cosine, self_value, nll, worst_token, conditional_gain"


@pytest.fixture(scope="module", autouse=True)
def _end() -> Iterator[None]:
    yield
    stop_followers()


def assert_close(ours: Any, theirs: Any) -> None:
    ours, theirs = (torch.as_tensor(x, dtype=torch.float64) for x in (ours, theirs))
    assert float((ours - theirs).abs().max()) <= CLOSE * float(theirs.abs().max())


def pair(name: str) -> list[Loaded]:
    return [load(find(name), "cpu", "float32", parallel) for parallel in (1, 2)]


@pytest.mark.parametrize("name", [*FAMILIES, *EXPERTS])
def test_states_are_those_of_one_process(name: str, stories: Path, tmp_path: Path) -> None:
    one, two = pair(str(saved(name, stories, tmp_path)))
    assert (two.device_name, two.shares) == ("cpu x 2", one.shares)
    assert two.head.weight_VD.equal(one.head.weight_VD), "the head is whole"
    assert any(type(weight.data) is not torch.Tensor for weight in two.body.parameters()), "nothing is split"
    assert_close(two.states(IDS), one.states(IDS))
    for length in (20, 30):  # the followers keep the prefix, and drop it for the next
        after = [model.states(IDS[:, length:], past=model.prefix(IDS[0, :length].tolist())) for model in (one, two)]
        assert_close(after[1], after[0])


def test_pictures_reach_every_process() -> None:
    question = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what shape is this?"}]}
    turns = [question, {"role": "assistant", "content": "circle"}]
    states = []
    for model in pair(TOY):
        pictures = [Picture("", "", 64, 64, blank=True)]
        row = encode(turns, None, model.tokenizer, 500, vision=model.vision, pictures=pictures)
        longer = encode([turns[0], turns[1] | {"content": "red"}], None, model.tokenizer, 500, model.vision, pictures)
        states.append(torch.cat([part.h_TD for part in visit(model, [row, *[longer] * 20], 4096, lambda part: part)]))
    assert_close(*states)


def test_scores_are_those_of_one_process(stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SAMPLE", 16)
    (tmp_path / "rows.jsonl").write_text("".join(DOLLY[:50]))
    (tmp_path / "trusted.jsonl").write_text("".join((DATA / "trusted.jsonl").read_text().splitlines(True)[:20]))
    numbers, tokens, keys = [], [], set[str]()
    for parallel in (1, 2):
        config = Curate.model_validate(
            {
                "database": str(tmp_path / f"{parallel}.duckdb"),
                "dataset": {"name": "dolly", "path": str(tmp_path / "rows.jsonl")},
                "reference": {"name": "trusted", "path": str(tmp_path / "trusted.jsonl")},
                "model": {"name": str(stories), "device": "cpu", "parallel": parallel},
                "scoring": {"batch_tokens": 512, "max_tokens": 128},
            }
        )
        keys.add(scored(config).model_key)
        numbers.append(ask(config, f"SELECT {COLUMNS} FROM store.scores ORDER BY sample_id"))
        tokens.append(ask(config, "SELECT unnest(token_values) FROM store.scores ORDER BY sample_id"))
    assert len(numbers[1]) == 70
    for ours, theirs in zip(zip(*numbers[1], strict=True), zip(*numbers[0], strict=True), strict=True):
        assert_close(ours, theirs)
    assert_close(tokens[1], tokens[0])
    assert ask(config, "SELECT device, dtype FROM fits") == [("cpu x 2", "float32")]
    assert len(keys) == 2, "scores of both would be mixed"


def test_a_model_that_cannot_be_split_is_refused(stories: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match=r"parallel: 3 processes cannot share .* 8 .* and 4 .*set it to 2 or 4$"):
        split(AutoModelForCausalLM, AutoConfig.from_pretrained(stories), 3)
    for kind, name in ((AutoModelForCausalLM, "bloom (alibi)"), (AutoModelForSeq2SeqLM, "bart")):
        with pytest.raises(UnusableModel, match=r"model\.parallel: .* has no plan to split a B\w+; remove"):
            split(kind, build(name, torch.float32).config, 2)
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(UnusableModel, match=r"model\.parallel: an adapter cannot be merged .*; merge it into"):
        load(find(str(stories), adapter=str(tmp_path)), "cpu", parallel=2)


def test_devices_that_are_not_there_are_named(stories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = find(str(stories))
    with pytest.raises(UnusableModel, match=r"model\.parallel: 2 processes need a GPU each, and torch sees 0"):
        load(source, "cuda", parallel=2)
    with pytest.raises(UnusableModel, match=r"model\.parallel: .* not over mps; set model\.device: cuda"):
        load(source, "mps", parallel=2)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    with pytest.raises(UnusableModel, match=r"model\.parallel: .* not over cpu; .*CUDA_VISIBLE_DEVICES="):
        load(source, "cpu", parallel=2)


@pytest.mark.parametrize(("gpus", "parallel", "is_right"), [(0, 4, True), (4, 4, True), (1, 4, False), (4, 1, False)])
def test_an_actor_has_a_gpu_for_each_process(gpus: int, parallel: int, is_right: bool) -> None:
    config = {
        "dataset": {"name": "a", "path": "a.jsonl"},
        "model": {"parallel": parallel},
        "cluster": {"store": "s", "actors": 1, "gpus": gpus},
    }
    if is_right:
        assert Curate.model_validate(config).model.parallel == parallel
    else:
        with pytest.raises(
            ValidationError,
            match=rf"cluster\.gpus is {gpus}, and .* is {parallel}: .* set cluster\.gpus: {parallel}, or 0",
        ):
            Curate.model_validate(config)


def test_a_lost_process_is_a_sentence_and_the_next_model_gets_others(stories: Path) -> None:
    model = load(find(str(stories)), "cpu", "float32", parallel=2)
    assert model.followers is not None
    os.kill(model.followers.processes[0].pid, signal.SIGKILL)
    with pytest.raises(LostProcess, match=r"^model\.parallel: process 1 of 2 has ended with exit code -9"):
        model.states(IDS)
    assert load(find(str(stories)), "cpu", "float32", parallel=2).states(IDS).shape == (2, 40, 64)


def test_full_memory_is_a_sentence_and_followers_end_inside_a_layer(
    stories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(find(str(stories)), "cpu", "float32", parallel=2)

    def full(**_inputs: Any) -> None:
        time.sleep(0.5)  # the follower waits for this process inside the first layer
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(model, "body", full)
    with pytest.raises(ValueError, match=r"^model\.parallel: .*lower scoring\.batch_tokens or raise model\.parallel"):
        model.states(IDS)
    assert model.followers is not None
    assert [process.returncode for process in model.followers.processes] == [0]
    assert Followers.running is None
