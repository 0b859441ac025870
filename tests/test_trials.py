"""A trial plants defects in copies of rows, in a separate database, and continues where it was killed."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oresight.tasks.config import Curate, Dataset, Evaluating
from oresight.tasks.database import reading
from oresight.tasks.detection.defects import KINDS
from oresight.tasks.evaluation.trials import PLANTABLE, draw_trial
from oresight.tasks.ingest import ingest
from oresight.tasks.runs.record import recorded
from tests.support.curated import Curated
from tests.support.processes import command, start_process

UNCHANGED = (
    "SELECT dataset, sample_id, answer FROM rows ORDER BY ALL",
    "SELECT split, version, sample_id, decision FROM split_rows ORDER BY ALL",
    "SELECT sample_id, reference, value FROM scores ORDER BY ALL",
    "SELECT sample_id, check_name FROM flags ORDER BY ALL",
    "SELECT sample_id, canary FROM canaries ORDER BY ALL",
)


def ask(database: str, question: str) -> list[tuple[Any, ...]]:
    with reading(database) as connection:
        return connection.execute(question).fetchall()


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """The rows of the demo, ingested."""
    folder, data = tmp_path_factory.mktemp("text"), Path(__file__).parent / "data"
    config = Curate.model_validate(
        {
            "database": str(folder / "o.duckdb"),
            "dataset": {"name": "dolly", "path": str(data / "dolly.jsonl")},
            "reference": {"name": "trusted", "path": str(data / "trusted.jsonl")},
        }
    )
    with recorded(config, "ingest") as run:
        ingest(run, "dataset")
    return config


@pytest.mark.parametrize("which", ["text", "pictures"])
def test_a_share_gets_a_defect_and_the_other_rows_do_not_change(which: str, text: Curate, curated: Curated) -> None:
    config = (text if which == "text" else curated.config).model_copy(update={"evaluating": Evaluating(rows=120)})
    before = {row[1]: row[2] for row in ask(config.database, UNCHANGED[0]) if row[0] == config.dataset.name}
    seen = []
    for seed in range(2):
        trial = draw_trial(config, seed)
        assert trial.database != config.database and trial.reference == config.reference
        with recorded(trial, "ingest") as run:
            assert ingest(run, "dataset").rejected == 0
        rows = ask(
            trial.database,
            f"SELECT sample_id, answer, metadata->>'defect' FROM rows WHERE dataset = '{trial.dataset.name}'",
        )
        bad = {row[0]: row[2] for row in rows if row[2] != "none"}
        assert len(rows) in (119, 120) and len(bad) in (23, 24), "two defects may make the same row"
        assert set(bad.values()) <= set(PLANTABLE) and len(set(bad.values())) > 2
        assert all(before[row[0]] == row[1] for row in rows if row[2] == "none")
        assert not bad.keys() & before.keys()
        seen.append({row[0] for row in rows})
    assert seen[0] != seen[1] and len(seen[0] & seen[1]) > 50


def test_the_defect_of_a_row_is_the_same_for_every_seed(text: Curate) -> None:
    few = text.model_copy(update={"evaluating": Evaluating(rows=100)})
    planted: dict[tuple[str, str], str] = {}
    for seed in range(4):
        for line in Path(draw_trial(few, seed).dataset.path).read_text().splitlines():
            row = json.loads(line)
            key = row["messages"][0]["content"], row["defect"]
            if row["defect"] != "none":
                assert planted.setdefault(key, row["messages"][-1]["content"]) == row["messages"][-1]["content"]
    assert {kind for _, kind in planted} <= set(KINDS)


def test_too_few_rows_for_a_trial_are_named(text: Curate) -> None:
    other = text.model_copy(update={"dataset": Dataset(name="nothing", path="nowhere.jsonl")})
    with pytest.raises(ValueError, match="'nothing' has 0 rows; a trial needs at least 20"):
        draw_trial(other, 0)


def evaluated(curated: Curated) -> list[str]:
    return ["evaluate", *curated.arguments, "--rows", "90", "--seeds", "2"]


def areas(curated: Curated, method: str, setting: str = "20% bad, all kinds") -> list[float]:
    question = "SELECT value FROM evaluations WHERE method = ? AND setting = ? AND metric = 'auc' AND seed IS NOT NULL"
    return [value for (value,) in curated.ask(f"{question} ORDER BY seed", method, setting)]


def test_a_killed_evaluation_continues_and_changes_no_rows_scores_or_splits(curated: Curated) -> None:
    before = [ask(curated.config.database, question) for question in UNCHANGED]
    run = start_process(command, evaluated(curated))
    while run.process.is_alive() and "planted: seed 1" not in run.output():
        time.sleep(0.1)
    time.sleep(0.2)
    run.process.kill()
    assert run.wait().returncode == -signal.SIGKILL
    assert len(areas(curated, "random")) == 1, "the first seed is stored, and nothing of the second"
    printed = curated.run(*evaluated(curated))
    assert printed.returncode == 0, printed.stderr
    assert "planted: seed 0, defects in 20% of at most 90 rows: stored, not computed again" in printed.stderr
    assert [ask(curated.config.database, question) for question in UNCHANGED] == before
    again = curated.run(*evaluated(curated))
    assert again.stdout == printed.stdout
    assert (
        all(f"seed {seed}," in again.stderr for seed in range(2))
        and again.stderr.count(": stored, not computed again") == 3
    )


def test_the_toy_model_finds_planted_defects_and_random_numbers_do_not(curated: Curated) -> None:
    auc = np.mean(areas(curated, "suspicion"))
    # A fifth of the demo's rows are wrong already; here they count as right.
    assert auc > 0.7 and auc > np.mean(areas(curated, "embedding cosine")) + 0.1
    assert abs(np.mean(areas(curated, "random")) - 0.5) < 0.15
    ((pairs, difference),) = curated.ask(
        "SELECT pairs, difference FROM comparisons WHERE method = 'suspicion' AND against = 'random'"
        " AND setting LIKE '%all kinds'"
    )
    assert pairs == 2 and difference == pytest.approx(auc - np.mean(areas(curated, "random")))
    ((correlation,),) = curated.ask(
        "SELECT value FROM evaluations WHERE evaluation = 'approximation' AND method = 'value'"
        " AND metric = 'rank correlation'"
    )
    assert 0.3 < correlation <= 1


def test_the_page_has_the_figures_and_the_numbers(curated: Curated) -> None:
    page = (curated.folder / "out" / "curated" / "evaluations.html").read_text()
    assert page.count("<svg") == 1 and "rank correlation" in page and "suspicion" in page
    assert not [link for link in page.split('"') if link.startswith(("http:", "https:")) and "w3.org" not in link]


def test_a_forgotten_row_is_in_no_trial(curated: Curated) -> None:
    ((sample_id, prompt),) = curated.ask("SELECT sample_id, prompt FROM rows WHERE dataset = 'easy' LIMIT 1")
    folder = Path(f"{curated.config.database}.evaluation")
    assert list(folder.rglob("*.jsonl")) and prompt
    curated.oresight("forget", sample_id, "--reason", "asked to", "--database", curated.config.database)
    assert not list(folder.glob("*"))
