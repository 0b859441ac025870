"""Quality of signals and flags against a truth column, judged by scikit-learn and counts by hand."""

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
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from oresight.flows.evaluate import evaluate as flow
from oresight.tasks.configfile import read_config
from oresight.tasks.database import writing
from oresight.tasks.detection.signals import MEASURED, SIGNALS
from oresight.tasks.evaluation.measure import measure_signal
from oresight.tasks.evaluation.truth import Evaluation, measure_against_truth
from oresight.tasks.runs.record import Run
from tests.support.curated import Curated
from tests.support.processes import start_process

DATA = Path(__file__).parent / "data" / "easy_vqa"
NUMBER = r"(\d\.\d{3}) \((\d\.\d{3}) to (\d\.\d{3})\)"


def drawn(seed: int, decimals: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Values (some missing, and some tied if decimals are few), and which rows are wrong."""
    draw = np.random.default_rng(seed)
    wrong = draw.random(160) < 0.25
    values = (draw.normal(size=160) + wrong).round(decimals)
    values[draw.random(160) < 0.1] = np.nan
    return values, wrong


@pytest.mark.parametrize("decimals", [9, 0])
@pytest.mark.parametrize(("end", "sign"), [("high", 1), ("low", -1)])
def test_auc_is_scikit_learns_over_the_rows_that_have_the_signal(end: str, sign: int, decimals: int) -> None:
    values, wrong = drawn(1, decimals)
    quality, has = measure_signal("nll", values, wrong, end), ~np.isnan(values)
    assert quality is not None
    assert quality.auc == pytest.approx(roc_auc_score(wrong[has], sign * values[has]))
    assert (quality.rows, quality.wrong) == (has.sum(), wrong[has].sum())


@pytest.mark.parametrize("decimals", [9, 0])
def test_recall_at_k_counts_tied_rows_by_their_expected_number(decimals: int) -> None:
    values, wrong = drawn(2, decimals)
    quality, has = measure_signal("nll", values, wrong, "high"), ~np.isnan(values)
    assert quality is not None
    values, wrong, draw = values[has], wrong[has], np.random.default_rng(0)
    orders = [np.lexsort((draw.random(len(values)), -values))[: wrong.sum()] for _ in range(4000)]
    assert quality.recall == pytest.approx(np.mean([wrong[order].mean() for order in orders]), abs=0.005)


def test_intervals_cover_the_truth_at_about_their_stated_rate_and_are_reproducible() -> None:
    covered = []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        values, wrong = np.concatenate([draw.normal(1, 1, 40), draw.normal(0, 1, 120)]), np.arange(160) < 40
        quality = measure_signal("nll", values, wrong, "high")
        assert quality is not None
        assert quality.recall_low <= quality.recall <= quality.recall_high
        covered.append(quality.auc_low <= norm.cdf(1 / np.sqrt(2)) <= quality.auc_high)
    assert np.mean(covered) >= 0.85
    assert measure_signal("nll", values, wrong, "high") == quality


def test_a_signal_of_a_single_wrong_row_is_not_measured() -> None:
    wrong = np.arange(20) < 5
    assert measure_signal("nll", np.where(np.arange(20) < 4, np.nan, 1.0), wrong, "high") is None
    assert measure_signal("nll", np.where(np.arange(20) < 3, np.nan, 1.0), wrong, "high") is not None


@dataclass
class WithTruth(Curated):
    """The demo with truth columns: `wrong` is missing in ten rows, `a/b~c` spells the same truth differently."""

    @property
    def arguments(self) -> list[str]:
        """The demo's arguments, with the rows of this folder."""
        paths = {"dataset.path": self.folder / "rows.json", "dataset.root": DATA}
        return [*super().arguments, *(part for key, path in paths.items() for part in ("--set", f"{key}={path}"))]

    def evaluated(self, truth: str, *changes: str) -> Evaluation:
        """Measure by the step alone, in this process."""
        config = read_config(Path(self.arguments[0]), [*self.arguments[2::2], *changes])
        return measure_against_truth(Run(config), truth)


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> WithTruth:
    demo = WithTruth(tmp_path_factory.mktemp("evaluate"))
    with (DATA / "truth.csv").open() as file:
        wrong = {row["id"]: row["wrong"] == "1" for row in csv.DictReader(file)}
    rows = json.loads((DATA / "rows.json").read_text())
    spelled: list[dict[bool, Any]] = [{True: 1, False: 0}, {True: "True", False: "false"}, {True: True, False: False}]
    for i, row in enumerate(rows):
        truth = wrong[row["id"]]
        row |= {"a/b~c": spelled[i % 3][truth] if i >= 10 else "", "never": False, "rating": "maybe" if i == 7 else 1}
        row |= {"wrong": truth} if i >= 10 else {"wrong": None} if i >= 5 else {}
    (demo.folder / "rows.json").write_text(json.dumps(rows))
    demo.oresight("curate", *demo.arguments)
    return demo


TABLES = ("rows", "canaries", "scores", "flags", "splits", "split_rows")


@pytest.fixture(scope="module")
def printed(curated: WithTruth) -> list[str]:
    """The lines that the command prints. It adds its results to the database and changes nothing else."""
    before = [curated.ask(f"FROM store.{table} ORDER BY ALL") for table in TABLES]
    lines = curated.oresight("evaluate", *curated.arguments, "--truth", "wrong").splitlines()
    assert [curated.ask(f"FROM store.{table} ORDER BY ALL") for table in TABLES] == before
    return lines


def test_the_command_measures_every_signal(curated: WithTruth, printed: list[str]) -> None:
    assert re.match(
        r"easy with easy-vqa-llava@\w{8}: 390 rows, \d+ wrong by 'wrong'; 10 more rows have no truth", printed[0]
    )
    table = {line.split()[0]: line for line in printed[4:-1]}
    judged = ("label_probe", "agreement", "suspicion")
    columns = ", ".join(f"p.{name}" if name in judged else name for name in MEASURED)
    rows = curated.ask(
        f"SELECT (metadata->>'wrong')::BOOLEAN AS truth, {columns} FROM scores AS s"
        " JOIN rows USING (sample_id, dataset)"
        " JOIN suspicions AS p USING (sample_id, dataset) WHERE dataset = 'easy' AND truth IS NOT NULL"
    )
    for i, name in enumerate(MEASURED, start=1):
        end = SIGNALS[name].suspicious
        has = [row for row in rows if row[i] is not None]
        auc = roc_auc_score([row[0] for row in has], [row[i] * (1 if end == "high" else -1) for row in has])
        match = re.fullmatch(
            rf"{name} +{end} +{len(has)} +{sum(row[0] for row in has)}  {NUMBER}  {NUMBER}", table[name]
        )
        assert match and float(match[1]) == pytest.approx(auc, abs=0.0006)
        assert float(match[2]) <= float(match[1]) <= float(match[3])
    assert float(re.findall(NUMBER, table["suspicion"])[0][0]) > 0.95


def test_the_last_line_judges_the_flags(curated: WithTruth, printed: list[str]) -> None:
    ((flagged, false, true, wrong),) = curated.ask(
        "SELECT count(f.sample_id), count(f.sample_id) FILTER (NOT w), count(f.sample_id) FILTER (w),"
        " count(*) FILTER (w) FROM (SELECT *, (metadata->>'wrong')::BOOLEAN AS w FROM rows WHERE dataset = 'easy') AS r"
        " LEFT JOIN (FROM flags WHERE check_name = 'looks_mislabeled') AS f USING (sample_id) WHERE w IS NOT NULL"
    )
    assert flagged > 20
    head = f"looks_mislabeled at a stated rate of 10%: {flagged} flagged, {false} false flags: false-discovery"
    match = re.fullmatch(rf"{head} proportion {NUMBER}, recall {NUMBER}", printed[-1])
    assert match and float(match[1]) == pytest.approx(false / flagged, abs=0.0006)
    assert float(match[4]) == pytest.approx(true / wrong, abs=0.0006)


def test_a_truth_may_be_spelled_in_other_ways(curated: WithTruth, printed: list[str]) -> None:
    again = curated.evaluated("a/b~c").lines()
    assert again[1:] == printed[1:]
    assert again[0] == printed[0].replace("'wrong'", "'a/b~c'")


def _run_flow(config: dict[str, Any]) -> None:
    """Run the flow as a deployment passes its parameters, and print its lines and its artifact."""
    lines = flow(config, "wrong")
    artifact = Artifact.get("curated-evaluation")
    assert artifact is not None and artifact.type == "table"
    print(json.dumps({"lines": lines, "data": str(artifact.data), "description": str(artifact.description)}))


def test_a_run_of_the_flow_shows_the_table_in_prefect(curated: WithTruth) -> None:
    done = start_process(_run_flow, curated.config.model_dump(mode="json")).wait()
    assert done.returncode == 0, done.stderr
    artifact = json.loads(done.stdout.splitlines()[-1])
    lines = artifact["lines"]
    shown = json.loads(artifact["data"])
    assert [row["signal"] for row in shown] == [line.split()[0] for line in lines[4:-1]]
    assert lines[-1] in artifact["description"]
    stored = curated.ask(
        "SELECT method, round(value, 3) FROM evaluations WHERE evaluation = 'truth' AND metric = 'auc'"
    )
    assert dict(stored) == {row["signal"]: round(row["auc"], 3) for row in shown}


@pytest.mark.parametrize(
    ("truth", "change", "message"),
    [
        ("Wrong", [], "no row of 'easy' has a column 'Wrong'; there are: a/b~c, id, never, rating, wrong"),
        ("never", [], "of 400 rows of 'easy' that have 'never', 0 are wrong and 400 right; at least 2 of each"),
        ("rating", [], "'rating' of 'easy' must be true or false, or 1 or 0, and is 'maybe' in 1 rows"),
        ("wrong", ["scoring.max_tokens=99"], "against 'trusted'; run `oresight score CONFIG.yaml` first"),
        ("wrong", ["dataset.name=other"], "holds no 'other'; run `oresight ingest CONFIG.yaml` first"),
        ("wrong", ["database=nowhere.duckdb"], "no such database; run `oresight curate CONFIG.yaml` first"),
    ],
)
def test_a_truth_that_cannot_be_used_is_refused_in_one_line(
    curated: WithTruth, truth: str, change: list[str], message: str
) -> None:
    with pytest.raises(ValueError) as refused:
        curated.evaluated(truth, *change)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_the_command_exits_with_2_and_the_message(curated: WithTruth) -> None:
    process = curated.run("evaluate", *curated.arguments, "--truth", "never")
    assert (process.returncode, process.stdout) == (2, "")
    assert re.fullmatch(r"oresight: --truth: of 400 rows of 'easy' .* are needed\n", process.stderr)


def test_scores_are_measured_without_flags_and_the_missing_step_is_named(curated: WithTruth) -> None:
    other = str(curated.folder / "scored.duckdb")
    shutil.copyfile(curated.config.database, other)
    with writing(other) as connection:
        connection.execute("DELETE FROM store.suspicions")
    evaluation = curated.evaluated("wrong", f"database={other}")
    assert {quality.signal for quality in evaluation.signals} == set(MEASURED) - {
        "label_probe",
        "agreement",
        "suspicion",
    }
    assert evaluation.lines()[-1] == "looks_mislabeled: no row was judged; run `oresight flag CONFIG.yaml` first"
