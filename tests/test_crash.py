"""kill -9 at any moment: the next run continues, and ends with what an uninterrupted run ends with."""

import json
import os
import random
import signal
import time
from pathlib import Path

from oresight.flows.commands import pipeline as commands
from oresight.tasks.database import reading
from tests.support.processes import start_process

KILLS = int(os.environ.get("ORESIGHT_KILLS", "2"))
DATA = Path(__file__).parent / "data"
COMPARED = {
    "rows": "SELECT dataset, sample_id, prompt, answer, source_line FROM rows ORDER BY ALL",
    "scores": "SELECT dataset, sample_id, answer_tokens, truncated FROM scores ORDER BY ALL",
    "scored once": "SELECT count(*), count(DISTINCT sample_id) FROM store.scores",
    "flags": "SELECT sample_id, check_name FROM flags ORDER BY ALL",
    "splits": "SELECT split, version, rows_kept, rows_dropped FROM splits",
    "split_rows": "SELECT sample_id, decision, split_part(reason, ':', 1) FROM split_rows ORDER BY ALL",
    "numbers": "SELECT * EXCLUDE (scored_at, run_id) FROM store.scores ORDER BY sample_id",
    "vectors": "FROM store.packed ORDER BY sample_id",
    "fits": "SELECT content FROM store.fitted",
}
"""All that must be as in a run that nothing interrupted, to the last digit of every number."""


def tables(database: Path) -> dict[str, list[tuple[object, ...]]]:
    with reading(str(database)) as connection:
        return {name: connection.execute(sql).fetchall() for name, sql in COMPARED.items()}


def configured(folder: Path, model: Path) -> Path:
    folder.mkdir()
    settings = {
        "database": str(folder / "o.duckdb"),
        "dataset": {"name": "dolly", "path": str(folder / "rows.jsonl")},
        "reference": {"name": "trusted", "path": str(DATA / "trusted.jsonl")},
        "model": {"name": str(model)},
        "scoring": {"batch_tokens": 1024, "max_tokens": 256},
        "splitting": {"name": "kept", "keep": 0.5},
        "publishing": {"folder": str(folder / "out")},
    }
    (folder / "rows.jsonl").write_text("".join((DATA / "dolly.jsonl").open().readlines()[:120]))
    (folder / "config.yaml").write_text(json.dumps(settings))
    return folder / "config.yaml"


def pipeline(config: Path) -> None:
    """Several shards behind a short opening, and a commit after every batch."""
    import oresight.tasks.scoring.engine
    import oresight.tasks.workload.shards
    import oresight.tasks.workload.todo

    oresight.tasks.workload.todo.COMMIT_S = 0.0
    oresight.tasks.workload.shards.SHARD = 32
    oresight.tasks.scoring.engine.SAMPLE = 16
    for step in (commands.ingest, commands.score, commands.flag, commands.split, commands.publish):
        step(config)


def test_a_killed_run_is_continued_and_nothing_is_scored_twice(tmp_path: Path, stories: Path) -> None:
    whole = configured(tmp_path / "whole", stories)
    run, begin = start_process(pipeline, whole), time.monotonic()
    assert run.wait().returncode == 0
    duration = time.monotonic() - begin
    killed = configured(tmp_path / "killed", stories)
    moments, struck = random.Random(1), 0
    for _ in range(KILLS):
        run = start_process(pipeline, killed)
        time.sleep(moments.uniform(0.1, 0.95) * duration)
        run.process.kill()
        struck += run.wait().returncode == -signal.SIGKILL
    last = start_process(pipeline, killed).wait()
    assert last.returncode == 0, last.stderr
    assert struck, "every run had ended before it was killed"
    expected, found = tables(tmp_path / "whole" / "o.duckdb"), tables(tmp_path / "killed" / "o.duckdb")
    for name in COMPARED:
        assert found[name] == expected[name], name
    assert not (tmp_path / "killed" / "o.duckdb.shards").exists()
    versions = [path.name for path in (tmp_path / "killed" / "out" / "kept").iterdir() if path.is_dir()]
    assert sorted(versions) == ["latest", "v1"]
