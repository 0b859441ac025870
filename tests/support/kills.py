"""Work that tests kill at random moments: what stands before it, its commands, and what must be equal after it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from oresight.flows.commands import evaluation, operations
from oresight.flows.commands import pipeline as commands
from oresight.tasks.database import reading
from tests.support.clustered import DOLLY, configured
from tests.support.tiny_vlm import build
from tests.test_exchange import DeadHead, fit_and_die, written

DATA = Path(__file__).parents[1] / "data"
STORED = {
    "rows": "SELECT dataset, sample_id, prompt, answer, source_line FROM rows ORDER BY ALL",
    "scores": "SELECT dataset, sample_id, answer_tokens, truncated FROM scores ORDER BY ALL",
    "scored once": "SELECT count(*), count(DISTINCT sample_id) FROM store.scores",
    "numbers": "SELECT * EXCLUDE (scored_at, run_id) FROM store.scores ORDER BY sample_id",
    "vectors": "FROM store.packed ORDER BY sample_id",
    "fits": "SELECT content FROM store.fitted",
}
DECIDED = {
    "flags": "SELECT sample_id, check_name FROM flags ORDER BY ALL",
    "splits": "SELECT split, version, rows_kept, rows_dropped FROM splits",
    "split_rows": "SELECT sample_id, decision, split_part(reason, ':', 1) FROM split_rows ORDER BY ALL",
}
COMPARED = STORED | DECIDED
"""All that must be as in a run that nothing interrupted, to the last digit of every number."""
MEASURED = {
    "evaluations": "SELECT * EXCLUDE (run_id, made_at) FROM store.evaluations ORDER BY ALL",
    "comparisons": "SELECT * EXCLUDE (run_id, made_at) FROM store.comparisons ORDER BY ALL",
}
Tables = dict[str, list[tuple[object, ...]]]


@dataclass(frozen=True)
class Work:
    """Commands that are killed and run again. They find the configuration in the folder, as config.yaml."""

    make: Callable[[Path, Path], None]
    """Fills the folder for commands with a text model."""
    run: Callable[[Path], None]
    compared: Mapping[str, str]
    inspect: Callable[[Path, Tables, Tables], None] = field(default=lambda _folder, _before, _after: None)
    """Asserts what must hold after every kill, of the tables before the work and after it."""


def tables(database: Path, compared: Mapping[str, str] = COMPARED) -> Tables:
    with reading(str(database)) as connection:
        return {name: connection.execute(sql).fetchall() for name, sql in compared.items()}


def small_steps() -> None:
    """Several shards behind a short opening, and a commit after every batch."""
    import oresight.tasks.scoring.engine
    import oresight.tasks.workload.shards
    import oresight.tasks.workload.todo

    oresight.tasks.workload.todo.COMMIT_S = 0.0
    oresight.tasks.workload.shards.SHARD = 32
    oresight.tasks.scoring.engine.SAMPLE = 16


def write_config(folder: Path, **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    settings = {"database": "o.duckdb", "publishing": {"folder": "out"}} | settings
    (folder / "config.yaml").write_text(json.dumps(settings))
    return folder / "config.yaml"


def texts(folder: Path, model: Path, **settings: Any) -> None:
    lines = (DATA / "dolly.jsonl").open().readlines()
    write_config(
        folder,
        dataset={"name": "dolly", "path": "rows.jsonl"},
        reference={"name": "trusted", "path": str(DATA / "trusted.jsonl")},
        model={"name": str(model), "dtype": "mixed"},  # in which a score hangs on the batch of its row
        scoring={"batch_tokens": 1024, "max_tokens": 256},
        splitting={"name": "kept", "keep": 0.5},
        **settings,
    )
    (folder / "rows.jsonl").write_text("".join(lines[:120]))
    (folder / "test.jsonl").write_text("".join(lines[200:240]))


def pictures(folder: Path, _model: Path) -> None:
    made = DATA / "easy_vqa"
    write_config(
        folder,
        dataset={"name": "easy", "path": "rows.json", "root": str(made)},
        reference={"name": "trusted", "path": "trusted.json", "root": str(made)},
        model={"name": str(folder / "model")},
        splitting={"name": "kept", "keep": 0.5},
        publishing={"folder": "out", "copy_images": True},
    )
    for name in ("rows", "trusted"):
        (folder / f"{name}.json").write_text(json.dumps(json.loads((made / f"{name}.json").read_text())[:80]))
    for part in build("llava", torch.float32):
        part.save_pretrained(folder / "model")


def curated(folder: Path, model: Path) -> None:
    texts(folder, model)
    curate(folder)
    operations.backup(folder / "backup.duckdb", str(folder / "o.duckdb"))


def left_by_a_dead_head(folder: Path, model: Path) -> None:
    fit_and_die(configured(folder, model, DOLLY[:260]))
    head = DeadHead(configured(folder, model, DOLLY[:260], address="auto"))
    head.score(*range(len(head.shards.unfinished)))
    written(head.config, folder)


def curate(folder: Path) -> None:
    small_steps()
    for step in (commands.ingest, commands.score, commands.flag, commands.split, commands.publish):
        step(folder / "config.yaml")


def back_up(folder: Path) -> None:
    for _ in range(3):
        operations.backup(folder / "backup.duckdb", str(folder / "o.duckdb"))


def forget_row(folder: Path) -> None:
    operations.forget(forgotten(folder), "asked for", str(folder / "o.duckdb"), "Ada")


def forgotten(folder: Path) -> str:
    """The row of the first line, also after it was forgotten."""
    question = (
        "SELECT sample_id FROM rows WHERE source_line = 1 AND dataset = 'dolly' UNION SELECT sample_id FROM forgotten"
    )
    with reading(str(folder / "o.duckdb")) as connection:
        ((sample_id,),) = connection.execute(question).fetchall()
    return str(sample_id)


def evaluate(folder: Path) -> None:
    small_steps()
    evaluation.evaluate(folder / "config.yaml", rows=40, seeds=2)


def settle(folder: Path) -> None:
    small_steps()
    choices = {"tokens": 200, "seeds": 2, "rate": 3e-3, "against": ["lowest nll"]}
    evaluation.settle(folder / "config.yaml", str(folder / "test.jsonl"), **choices)  # type: ignore[arg-type]


def merge(folder: Path) -> None:
    operations.merge(folder / "config.yaml")


def old_or_new(folder: Path, before: Tables, after: Tables) -> None:
    assert tables(folder / "o.duckdb") in (before, after)


def backup_is_whole(folder: Path, before: Tables, _after: Tables) -> None:
    for name in ("o.duckdb", "backup.duckdb"):
        assert tables(folder / name) == before, name


WORKS = {
    "text": Work(texts, curate, COMPARED),
    "pictures": Work(pictures, curate, COMPARED),
    "backup": Work(curated, back_up, COMPARED, backup_is_whole),
    "forget": Work(curated, forget_row, COMPARED, old_or_new),
    "evaluate": Work(curated, evaluate, COMPARED | MEASURED),
    "settle": Work(curated, settle, COMPARED | MEASURED),
    "merge": Work(left_by_a_dead_head, merge, STORED),
}
