"""What signals and flags are worth where the truth is known; scikit-learn and a count by hand are the judges."""

import csv
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.artifacts import Artifact
from prefect.testing.utilities import prefect_test_harness
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from oresight.flows.evaluate import evaluate as flow
from oresight.tasks.configfile import read_config
from oresight.tasks.database import writing
from oresight.tasks.detection.signals import MEASURED, SIGNALS
from oresight.tasks.evaluation.measure import measure
from oresight.tasks.evaluation.truth import Evaluation, measure_against_truth
from oresight.tasks.runs.record import Run
from tests.support.curated import Curated

DATA = Path(__file__).parent / "data" / "easy_vqa"
NUMBER = r"(\d\.\d{3}) \((\d\.\d{3}) to (\d\.\d{3})\)"


def drawn(seed: int, decimals: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Values, of which some are missing and, of few decimals, some equal; and which rows are wrong."""
    draw = np.random.default_rng(seed)
    wrong = draw.random(160) < 0.25
    values = (draw.normal(size=160) + wrong).round(decimals)
    values[draw.random(160) < 0.1] = np.nan
    return values, wrong


@pytest.mark.parametrize("decimals", [9, 0])
@pytest.mark.parametrize(("end", "sign"), [("high", 1), ("low", -1)])
def test_auc_is_scikit_learns_over_the_rows_that_have_the_signal(end: str, sign: int, decimals: int) -> None:
    values, wrong = drawn(1, decimals)
    found, has = measure("nll", values, wrong, end), ~np.isnan(values)
    assert found is not None
    assert found.auc == pytest.approx(roc_auc_score(wrong[has], sign * values[has]))
    assert (found.rows, found.wrong) == (has.sum(), wrong[has].sum())


@pytest.mark.parametrize("decimals", [9, 0])
def test_recall_is_that_among_as_many_rows_as_are_wrong_and_equal_rows_count_as_by_chance(decimals: int) -> None:
    values, wrong = drawn(2, decimals)
    found, has = measure("nll", values, wrong, "high"), ~np.isnan(values)
    assert found is not None
    values, wrong, draw = values[has], wrong[has], np.random.default_rng(0)
    orders = [np.lexsort((draw.random(len(values)), -values))[: wrong.sum()] for _ in range(4000)]
    assert found.recall == pytest.approx(np.mean([wrong[order].mean() for order in orders]), abs=0.005)


def test_intervals_hold_the_truth_about_as_often_as_they_say_and_are_the_same_each_time() -> None:
    held = []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        values, wrong = np.concatenate([draw.normal(1, 1, 40), draw.normal(0, 1, 120)]), np.arange(160) < 40
        found = measure("nll", values, wrong, "high")
        assert found is not None
        assert found.recall_low <= found.recall <= found.recall_high
        held.append(found.auc_low <= norm.cdf(1 / np.sqrt(2)) <= found.auc_high)
    assert np.mean(held) >= 0.85
    assert measure("nll", values, wrong, "high") == found


def test_a_signal_that_one_wrong_row_has_is_not_measured() -> None:
    wrong = np.arange(20) < 5
    assert measure("nll", np.where(np.arange(20) < 4, np.nan, 1.0), wrong, "high") is None
    assert measure("nll", np.where(np.arange(20) < 3, np.nan, 1.0), wrong, "high") is not None


@dataclass
class WithTruth(Curated):
    """The demo whose rows say which are wrong: `wrong` lacks of ten rows, `a/b~c` says the same in other words."""

    @property
    def arguments(self) -> list[str]:
        places = {"dataset.path": self.folder / "rows.json", "dataset.root": DATA}
        return [*super().arguments, *(part for key, place in places.items() for part in ("--set", f"{key}={place}"))]

    def evaluated(self, truth: str, *changes: str) -> Evaluation:
        """By the step alone, in this process."""
        config = read_config(Path(self.arguments[0]), [*self.arguments[2::2], *changes])
        return measure_against_truth(Run(config), truth)


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> WithTruth:
    done = WithTruth(tmp_path_factory.mktemp("evaluate"))
    with (DATA / "truth.csv").open() as file:
        wrong = {row["id"]: row["wrong"] == "1" for row in csv.DictReader(file)}
    rows = json.loads((DATA / "rows.json").read_text())
    spelled: list[dict[bool, Any]] = [{True: 1, False: 0}, {True: "True", False: "false"}, {True: True, False: False}]
    for i, row in enumerate(rows):
        truth = wrong[row["id"]]
        row |= {"a/b~c": spelled[i % 3][truth] if i >= 10 else "", "never": False, "rating": "maybe" if i == 7 else 1}
        row |= {"wrong": truth} if i >= 10 else {"wrong": None} if i >= 5 else {}
    (done.folder / "rows.json").write_text(json.dumps(rows))
    done.oresight("curate", *done.arguments)
    return done


HELD = ("rows", "canaries", "scores", "flags", "splits", "split_rows")


@pytest.fixture(scope="module")
def printed(curated: WithTruth) -> list[str]:
    """By the command, which adds what it found to the database and changes nothing else."""
    before = [curated.ask(f"FROM store.{table} ORDER BY ALL") for table in HELD]
    lines = curated.oresight("evaluate", *curated.arguments, "--truth", "wrong").splitlines()
    assert [curated.ask(f"FROM store.{table} ORDER BY ALL") for table in HELD] == before
    return lines


def test_the_command_measures_every_signal_that_there_is(curated: WithTruth, printed: list[str]) -> None:
    assert re.match(
        r"easy with easy-vqa-llava@\w{8}: 390 rows, \d+ wrong by 'wrong'; 10 more have no truth", printed[0]
    )
    table = {line.split()[0]: line for line in printed[4:-1]}
    judged = ("label_probe", "agreement", "suspicion")
    asked = ", ".join(f"p.{name}" if name in judged else name for name in MEASURED)
    rows = curated.ask(
        f"SELECT (metadata->>'wrong')::BOOLEAN AS truth, {asked} FROM scores AS s JOIN rows USING (sample_id, dataset)"
        " JOIN suspicions AS p USING (sample_id, dataset) WHERE dataset = 'easy' AND truth IS NOT NULL"
    )
    for i, name in enumerate(MEASURED, start=1):
        end = SIGNALS[name].suspicious
        has = [row for row in rows if row[i] is not None]
        auc = roc_auc_score([row[0] for row in has], [row[i] * (1 if end == "high" else -1) for row in has])
        told = re.fullmatch(
            rf"{name} +{end} +{len(has)} +{sum(row[0] for row in has)}  {NUMBER}  {NUMBER}", table[name]
        )
        assert told and float(told[1]) == pytest.approx(auc, abs=0.0006)
        assert float(told[2]) <= float(told[1]) <= float(told[3])
    assert float(re.findall(NUMBER, table["suspicion"])[0][0]) > 0.95


def test_the_last_line_judges_the_flags(curated: WithTruth, printed: list[str]) -> None:
    ((flagged, false, found, wrong),) = curated.ask(
        "SELECT count(f.sample_id), count(f.sample_id) FILTER (NOT w), count(f.sample_id) FILTER (w),"
        " count(*) FILTER (w) FROM (SELECT *, (metadata->>'wrong')::BOOLEAN AS w FROM rows WHERE dataset = 'easy') AS r"
        " LEFT JOIN (FROM flags WHERE check_name = 'looks_mislabeled') AS f USING (sample_id) WHERE w IS NOT NULL"
    )
    assert flagged > 20
    head = f"looks_mislabeled at a stated rate of 10%: {flagged} flagged, {false} of them false flags: false-discovery"
    told = re.fullmatch(rf"{head} proportion {NUMBER}, recall {NUMBER}", printed[-1])
    assert told and float(told[1]) == pytest.approx(false / flagged, abs=0.0006)
    assert float(told[4]) == pytest.approx(found / wrong, abs=0.0006)


def test_a_truth_may_be_spelled_in_other_ways(curated: WithTruth, printed: list[str]) -> None:
    again = curated.evaluated("a/b~c").lines()
    assert again[1:] == printed[1:]
    assert again[0] == printed[0].replace("'wrong'", "'a/b~c'")


def test_a_run_of_the_flow_shows_the_table_in_prefect(curated: WithTruth) -> None:
    with prefect_test_harness(server_startup_timeout=120):
        told = flow(curated.config.model_dump(mode="json"), "wrong")  # as a deployment hands its parameters over
        artifact = Artifact.get("curated-evaluation")
    assert artifact is not None and artifact.type == "table"
    shown = json.loads(str(artifact.data))
    assert [row["signal"] for row in shown] == [line.split()[0] for line in told[4:-1]]
    assert told[-1] in str(artifact.description)
    kept = curated.ask("SELECT method, round(value, 3) FROM evaluations WHERE evaluation = 'truth' AND metric = 'auc'")
    assert dict(kept) == {row["signal"]: round(row["auc"], 3) for row in shown}


@pytest.mark.parametrize(
    ("truth", "change", "told"),
    [
        ("Wrong", [], "no row of 'easy' has a column 'Wrong'; there are: a/b~c, id, never, rating, wrong"),
        ("never", [], "of 400 rows of 'easy' that have 'never', 0 are wrong and 400 right; at least 2 of each"),
        ("rating", [], "'rating' of 'easy' must be true or false, or 1 or 0, and is 'maybe' in 1 rows"),
        ("wrong", ["scoring.max_tokens=99"], "against 'trusted'; run `oresight score CONFIG.yaml` first"),
        ("wrong", ["dataset.name=other"], "holds no 'other'; run `oresight ingest CONFIG.yaml` first"),
        ("wrong", ["database=nowhere.duckdb"], "no such database; run `oresight curate CONFIG.yaml` first"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_line(
    curated: WithTruth, truth: str, change: list[str], told: str
) -> None:
    with pytest.raises(ValueError) as refused:
        curated.evaluated(truth, *change)
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_the_command_ends_with_2_and_the_sentence(curated: WithTruth) -> None:
    done = curated.run("evaluate", *curated.arguments, "--truth", "never")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"oresight: --truth: of 400 rows of 'easy' .* are needed\n", done.stderr)


def test_scores_without_a_judgement_are_measured_and_the_missing_step_is_named(curated: WithTruth) -> None:
    other = str(curated.folder / "scored.duckdb")
    shutil.copyfile(curated.config.database, other)
    with writing(other) as connection:
        connection.execute("DELETE FROM store.suspicions")
    found = curated.evaluated("wrong", f"database={other}")
    assert {one.signal for one in found.signals} == set(MEASURED) - {"label_probe", "agreement", "suspicion"}
    assert found.lines()[-1] == "looks_mislabeled: no row was judged; run `oresight flag CONFIG.yaml` first"
