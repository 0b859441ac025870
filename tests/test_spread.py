"""A model whose layers are partly on the disk computes what it computes in memory, to the last bit.

This machine has one device, so the layers that do not fit there go to the disk: the same hooks move the states.
"""

import math
from pathlib import Path
from typing import Any

import accelerate.utils
import pytest
import torch
from pydantic import ValidationError

from oresight.tasks.config import Curate
from oresight.tasks.scoring.forward import visit
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.picture import Picture
from oresight.tasks.scoring.prompt import encode
from oresight.tasks.scoring.source import TOY, UnusableModel, find
from oresight.tasks.scoring.spread import ROOM
from tests.support.clustered import DATA, DOLLY
from tests.support.scored import ask, scored
from tests.support.tiny import build, saved

pytestmark = pytest.mark.skipif(torch.accelerator.is_available(), reason="layers go to the disk on a CPU only")
IDS = torch.arange(3, 43)[None].repeat(2, 1)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says how many bytes the layers may take in memory."""

    def limit(size: int) -> None:
        monkeypatch.setattr(accelerate.utils, "get_max_memory", lambda: {0: size, "cpu": math.ceil(size / ROOM)})

    return limit


def pair(name: str, dtype: str = "float32") -> list[Loaded]:
    return [load(find(name), "cpu", dtype, spread=spread) for spread in (False, True)]


@pytest.mark.parametrize("name", ["llama", "gemma2 (capped, sliding)", "phi (biased)", "mixtral"])
def test_states_are_those_of_a_model_in_memory(name: str, stories: Path, tmp_path: Path, little_memory: Any) -> None:
    folder = saved(name, stories, tmp_path)
    little_memory(sum(weight.nbytes for weight in build(name, torch.float32).parameters()) // 2)
    one, two = pair(str(folder))
    assert two.places == ", its layers on cpu, disk", "a GPU is left out where the CPU is named"
    assert two.engines(["cpu"]) == ["cpu"]
    assert any(weight.is_meta for weight in two.body.parameters()), "nothing is on the disk"
    assert two.head.weight_VD.equal(one.head.weight_VD)
    assert two.states(IDS).equal(one.states(IDS))
    after = [model.states(IDS[:, 20:], past=model.prefix(IDS[0, :20].tolist())) for model in (one, two)]
    assert after[1].equal(after[0])


def test_a_model_that_fits_is_on_one_device(stories: Path) -> None:
    model = load(find(str(stories)), "cpu", "float32", spread=True)
    assert (model.places, model.engines(["cpu"])) == ("", ["cpu"])
    assert not any(weight.is_meta for weight in model.body.parameters())


def test_pictures_reach_layers_on_the_disk(little_memory: Any) -> None:
    little_memory(100_000)
    question = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what shape is this?"}]}
    states = []
    for model in pair(TOY):
        pictures = [Picture("", "", 64, 64, blank=True)]
        turns = [question, {"role": "assistant", "content": "circle"}]
        row = encode(turns, None, model.tokenizer, 500, vision=model.vision, pictures=pictures)
        states.append(torch.cat([part.h_TD for part in visit(model, [row] * 3, 4096, lambda part: part)]))
    assert states[1].equal(states[0])


def test_scores_are_those_of_a_model_in_memory(stories: Path, tmp_path: Path, little_memory: Any) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(DOLLY[:30]))
    (tmp_path / "trusted.jsonl").write_text("".join((DATA / "trusted.jsonl").read_text().splitlines(True)[:20]))
    little_memory(700_000)
    stored, keys = [], set[str]()
    for is_spread in (False, True):
        config = Curate.model_validate({
            "database": str(tmp_path / f"{is_spread}.duckdb"),
            "dataset": {"name": "dolly", "path": str(tmp_path / "rows.jsonl")},
            "reference": {"name": "trusted", "path": str(tmp_path / "trusted.jsonl")},
            "model": {"name": str(stories), "device": "cpu", "dtype": "float32", "spread": is_spread},
            "scoring": {"batch_tokens": 512, "max_tokens": 128},
        })  # fmt: skip
        keys.add(scored(config).model_key)
        stored.append(ask(config, "SELECT * EXCLUDE (run_id, scored_at) FROM store.scores ORDER BY sample_id"))
        stored[-1] += ask(config, "FROM store.packed ORDER BY sample_id")
    assert stored[1] == stored[0]
    assert len(keys) == 1, "rows need not be scored again"


def test_what_a_spread_model_cannot_be_is_said(stories: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match=r"model\.spread: the scores of this database are in mixed, .*float32$"):
        load(find(str(stories)), "cpu", "mixed", spread=True)
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(UnusableModel, match=r"model\.spread: an adapter cannot be merged .*; merge it into"):
        load(find(str(stories), adapter=str(tmp_path)), "cpu", spread=True)
    for other, words in (
        ({"parallel": 2}, "two ways to split a model"),
        ({"dtype": "mixed"}, "does not go with spread"),
    ):
        with pytest.raises(ValidationError, match=words):
            Curate.model_validate({"dataset": {"name": "a", "path": "a.jsonl"}, "model": {"spread": True} | other})
