"""A plan says what a run then does, and leaves no trace."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import oresight.tasks.plan
from oresight.flows.plan import Plan, probe
from oresight.tasks.config import Curate
from oresight.tasks.database import reading
from oresight.tasks.ingest import ingest
from oresight.tasks.plant import plant
from oresight.tasks.runs.record import recorded
from oresight.tasks.score import Scored, score
from oresight.tasks.scoring import engine
from oresight.tasks.scoring.engine import Options, open_engine
from oresight.tasks.scoring.parts import take_apart
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.workload import cost
from oresight.tasks.workload.cost import forward_ids, scoring_ids
from tests.support.curated import Curated
from tests.support.tiny import build

DATA = Path(__file__).parent / "data" / "easy_vqa"
ROWS, TRUSTED = (json.loads((DATA / f"{name}.json").read_text()) for name in ("rows", "trusted"))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Curate:
    monkeypatch.setattr(engine, "SAMPLE", 16)
    monkeypatch.setattr(cost, "FIT_TOKENS", 32)
    put(tmp_path, 60)
    return Curate.model_validate(
        {
            "database": str(tmp_path / "place" / "o.duckdb"),
            "dataset": {"name": "easy", "path": str(tmp_path / "rows.json"), "root": str(DATA)},
            "reference": {"name": "trusted", "path": str(tmp_path / "trusted.json"), "root": str(DATA)},
            "model": {"name": "easy-vqa-llava", "device": "cpu"},
            "splitting": {"keep": 0.5},
            "publishing": {"folder": str(tmp_path / "place" / "out"), "approval": "required"},
        }
    )


def put(folder: Path, rows: int) -> None:
    """So many rows of the dataset, of which one is no row, and 30 that are trusted."""
    (folder / "rows.json").write_text(json.dumps([{"id": "nothing"}, *ROWS[:rows]]))
    (folder / "trusted.json").write_text(json.dumps(TRUSTED[:30]))


def run(config: Curate) -> Scored:
    """Read and score, as a run does."""
    with recorded(config, "score") as run:
        ingest(run, "dataset")
        ingest(run, "reference")
        plant(run)
        return score(run)


def ask(config: Curate, question: str) -> list[tuple[Any, ...]]:
    with reading(config.database) as connection:
        return connection.execute(question).fetchall()


def standing(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """All files below, with content and time of change."""
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.rglob("*") if file.is_file()}


def left_alone(config: Curate) -> Plan:
    """A plan, which changed nothing where the run works."""
    folder = Path(config.database).parent
    before = standing(folder)
    found = probe(config)
    assert standing(folder) == before
    assert folder.exists() == bool(before)
    return found


def test_a_plan_does_not_say_that_it_plants(config: Curate, caplog: pytest.LogCaptureFixture) -> None:
    probe(config)
    assert "recognised the layout" in caplog.text and "plant:" not in caplog.text


def test_a_plan_counts_what_the_run_then_does_and_writes_nothing(config: Curate, tmp_path: Path) -> None:
    first = left_alone(config)
    assert (first.rows, first.rejected, first.duplicates) == (61, 1, 0)
    done = run(config)
    assert (first.scoring.to_score, first.scoring.reused) == (done.scored, done.reused) == (90, 0)
    assert first.canaries == ask(config, "SELECT count(*) FROM canaries")[0][0] > 0
    assert first.scoring.tokens == ask(config, "SELECT tokens_scored FROM runs")[0][0]
    assert first.scoring.probed > 0 and min(first.seconds.values()) > 0
    assert first.disk > Path(config.database).stat().st_size / 2 and first.scoring.memory > 2**27

    again = left_alone(config)
    assert (again.scoring.to_score, again.scoring.reused, again.scoring.canaries) == (0, 90, 0)
    assert (again.scoring.tokens, again.scoring.probed, again.seconds["scoring"]) == (0, 0, 0)
    assert again.canaries == first.canaries

    put(tmp_path, 61)
    more = left_alone(config)
    done = run(config)
    assert (more.scoring.to_score, more.scoring.reused) == (done.scored, done.reused) == (1, 90)


def test_of_many_rows_a_part_is_read_and_the_counts_are_still_exact(
    config: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oresight.tasks.plan, "SAMPLE", 24)
    monkeypatch.setattr(oresight.tasks.plan, "FILLED", 10)
    found = left_alone(config)
    done = run(config)
    assert found.scoring.is_sampled and found.scoring.made_up < 1
    assert found.scoring.to_score == done.scored
    assert found.scoring.tokens == pytest.approx(ask(config, "SELECT tokens_scored FROM runs")[0][0], rel=0.05)


def test_what_a_critical_check_would_refuse_is_said_and_the_plan_goes_on(
    config: Curate, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checks = tmp_path / "checks" / "raw"
    checks.mkdir(parents=True)
    select = "SELECT sample_id, dataset, 'no' AS reason FROM rows WHERE dataset = getvariable('dataset')"
    (checks / "never.sql").write_text(f"-- critical: nothing is good enough\n{select}\n")
    config.flagging.checks_folder = str(tmp_path / "checks")
    with caplog.at_level(logging.WARNING, logger="oresight"):
        assert probe(config).scoring.to_score == 90
    assert "plan: a run would end before it scores" in caplog.text and "never" in caplog.text


def test_no_receiver_of_lineage_hears_of_a_plan(config: Curate, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    monkeypatch.setattr("openlineage.client.OpenLineageClient.emit", lambda _self, event: sent.append(event))
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    probe(config)
    assert sent == [] and os.environ["OPENLINEAGE_URL"] == "http://127.0.0.1:9"


@pytest.mark.parametrize("gain", [True, False])
def test_work_is_the_ids_that_go_through_the_body(gain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = take_apart(build("llama", torch.float32), None, "llama")  # type: ignore[arg-type]
    draw = torch.Generator().manual_seed(1)
    rows = []
    for length in (30, 50, 41, 64, 37, 59, 60, 61):
        ids = [5] * 20 + torch.randint(3, 60, (length - 20,), generator=draw).tolist()
        rows.append(Encoded(ids, length - 6, length, [1]))
    options = Options(batch_tokens=128, conditional_gain=gain)
    scorer = open_engine(model, rows[:3], rows[3:5], options).engine
    seen: list[int] = []
    states = type(model).states

    def counted(self: Any, ids_NL: torch.Tensor, **more: Any) -> torch.Tensor:
        seen.append(ids_NL.numel())
        return states(self, ids_NL, **more)

    monkeypatch.setattr(type(model), "states", counted)
    model.release()
    assert sum(len(part) for part in scorer.score(rows)) == len(rows)
    assert scoring_ids(model, rows, options) == sum(seen)
    assert (scoring_ids(model, rows, options) > forward_ids(model, rows, options)) == gain


def test_the_command_prints_each_number_with_its_unit_and_refuses_as_the_others_do(tmp_path: Path) -> None:
    demo = Curated(tmp_path / "place")
    printed = demo.oresight("plan", *demo.arguments)
    lines = dict(line.split(maxsplit=1) for line in printed.replace("to score", "to_score").splitlines())
    assert lines["rows"] == "400 rows read" and lines["to_score"].startswith("600 rows")
    assert lines["time"].split()[1].startswith("s") and lines["memory"].split()[1] == lines["disk"].split()[1] == "MB"
    assert lines["measured"].startswith("on: ")
    assert not demo.folder.exists()
    refused = demo.run("plan", *demo.arguments, "--set", "dataset.path=nowhere.json")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("oresight: dataset.path: ")
    assert not demo.folder.exists()
