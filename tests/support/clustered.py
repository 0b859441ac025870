"""Scoring runs of a few hundred rows that a cluster can share."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from oresight.tasks.config import Curate
from oresight.tasks.score import Scored
from oresight.tasks.scoring import engine
from oresight.tasks.workload import exchange, shards
from tests.support.scored import ask, scored

DATA = Path(__file__).parents[1] / "data"
DOLLY = (DATA / "dolly.jsonl").read_text().splitlines(keepends=True)
ROWS, SHARD = 300, 32
OPENING = 24 + 16
"""Rows that are scored before the others are cut into shards: those held out, and those that the index is fitted on."""
STORED = (
    "SELECT * EXCLUDE (scored_at, run_id) FROM store.scores ORDER BY sample_id",
    "FROM store.packed ORDER BY sample_id",
    "SELECT content FROM store.fitted",
)
"""All that must be equal, to the last digit, wherever the rows were scored."""


def configured(folder: Path, model: Path, rows: list[str], **cluster: Any) -> Curate:
    """A configuration for these rows; with settings of a cluster, for that cluster."""
    folder.mkdir(exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(rows))
    settings = {"actors": 2, "shard_rows": SHARD, "store": str(folder / "store")} | cluster
    return Curate.model_validate(
        {
            "database": str(folder / "o.duckdb"),
            "dataset": {"name": "dolly", "path": str(folder / "rows.jsonl")},
            "reference": {"name": "trusted", "path": str(DATA / "trusted.jsonl")},
            "model": {"name": str(model), "device": "cpu"},
            "scoring": {"batch_tokens": 1024, "max_tokens": 256},
            "cluster": settings if cluster else None,
        }
    )


def score(config: Curate, **options: Any) -> Scored:
    """Ingest and score, in several shards behind a short opening."""
    engine.SAMPLE, shards.SHARD = OPENING - engine.HELD, SHARD
    return scored(config, **options)


def stored(config: Curate) -> list[list[tuple[Any, ...]]]:
    return [ask(config, question) for question in STORED]


def score_until_killed(config: str, merges: int) -> None:
    """A head that is killed when it is about to commit a shard, after so many others."""
    commit, left = exchange.commit_shard, merges

    def commit_or_die(*arguments: Any) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        commit(*arguments)

    exchange.commit_shard = commit_or_die
    score(Curate.model_validate(json.loads(config)))
