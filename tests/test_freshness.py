"""After a change exactly what must be is scored again, and `stale_scores` tells why."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from oresight.tasks.config import Curate
from tests.support.scored import ask, scored
from tests.test_models import adapted
from tests.test_score import TRUSTED, changed

STALE = "SELECT dataset, why, count(*) FROM stale_scores GROUP BY ALL ORDER BY ALL"
ROWS, REFERENCE = 10_000, 20


@pytest.fixture
def config(tmp_path: Path, stories: Path) -> Curate:
    shutil.copytree(stories, tmp_path / "model", copy_function=shutil.copyfile)
    (tmp_path / "trusted.jsonl").write_text("".join(TRUSTED[:REFERENCE]))
    return Curate.model_validate(
        {
            "database": str(tmp_path / "o.duckdb"),
            "dataset": {"name": "many", "path": str(tmp_path / "rows.jsonl")},
            "reference": {"name": "trusted", "path": str(tmp_path / "trusted.jsonl")},
            "model": {"name": str(tmp_path / "model"), "device": "cpu"},
            "scoring": {"max_tokens": 64, "conditional_gain": False},
        }
    )


def put(folder: Path, count: int, **other: str) -> None:
    """So many rows, the last one with another answer."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = [
        {"question": f"What is {i} and {draw.choice('abcdef')}?", "answer": f"{i * 7 % 100} "} for i in range(count)
    ]
    rows[-1] |= other
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_one_changed_row_of_10000_is_one_row_to_score_and_batches_and_threads_are_none(
    config: Curate, tmp_path: Path
) -> None:
    put(tmp_path, ROWS)
    assert scored(config).scored == ROWS + REFERENCE
    assert ask(config, STALE) == []
    put(tmp_path, ROWS, answer="another")
    done = scored(config)
    assert (done.scored, done.reused) == (1, ROWS + REFERENCE - 1)
    assert ask(config, STALE) == [("many", "the row has changed or is gone", 1)]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        done = scored(changed(config, scoring={"batch_tokens": 512}))
    finally:
        torch.set_num_threads(threads)
    assert (done.scored, done.reused) == (0, ROWS + REFERENCE)
    assert ask(config, STALE) == [("many", "the row has changed or is gone", 1)]


def another_reference(config: Curate, folder: Path) -> Curate:
    (folder / "trusted.jsonl").write_text("".join(TRUSTED[: REFERENCE - 1]))
    return config


def another_template(config: Curate, folder: Path) -> Curate:
    file = folder / "model" / "tokenizer_config.json"
    template = "{% for m in messages %}{{ m['role'] }} says {{ m['content'] }}\n{% endfor %}"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": template}))
    return config


def an_adapter(config: Curate, folder: Path) -> Curate:
    adapted(Path(config.model.name), folder / "lora")
    return changed(config, model={"adapter": str(folder / "lora")})


def fewer_tokens(config: Curate, _: Path) -> Curate:
    return changed(config, scoring={"max_tokens": 32})


@pytest.mark.parametrize(
    ("change", "why", "gone"),
    [
        (another_reference, "the reference has changed", 1),
        (another_template, "the prompt template has changed", 0),
        (an_adapter, "the adapter has changed", 0),
        (fewer_tokens, "max_tokens was 64 and is 32", 0),
    ],
)
def test_what_all_scores_hang_on_makes_all_be_scored_again_and_its_return_none(
    config: Curate, tmp_path: Path, change: Any, why: str, gone: int
) -> None:
    put(tmp_path, 200)
    scored(config)
    other = change(config, tmp_path)
    done = scored(other)
    assert (done.scored, done.reused) == (200 + REFERENCE - gone, 0)
    stale = ask(other, STALE)
    assert stale[0] == ("many", why, 200)
    if gone:
        assert stale[1:] == [
            ("trusted", why, REFERENCE - 1), ("trusted", f"the row has changed or is gone; {why}", 1)
        ]  # fmt: skip
    else:
        assert stale[1:] == [("trusted", why, REFERENCE)]
    if other is not config:
        assert scored(config).scored == 0
        back = why.replace("was 64 and is 32", "was 32 and is 64")
        assert ask(config, STALE) == [("many", back, 200), ("trusted", back, REFERENCE)]
