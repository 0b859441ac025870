"""Groups of results are stored completely or not at all, and are computed once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oresight.tasks.database import reading, records
from oresight.tasks.evaluation.ledger import Ledger, Result
from oresight.tasks.evaluation.page import write_evaluations
from oresight.tasks.evaluation.tables import metric_matrix, result_table
from oresight.tasks.runs.record import recorded
from tests.test_split import settings


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    config = settings(tmp_path)
    with recorded(config, "evaluate") as run:
        yield Ledger(database=config.database, run_id=run.run_id, evaluation="planted", dataset="rows", model="model@1")


def ask(ledger: Ledger, question: str) -> list[tuple[object, ...]]:
    with reading(ledger.database) as connection:
        return connection.execute(question).fetchall()


def areas(ledger: Ledger, method: str, values: list[float]) -> list[str]:
    """Store one AUC per seed. Returns the units."""
    return [
        ledger.compute_once(ledger.unit(m=method, seed=seed), lambda: [Result("s", method, seed, "auc", value)], method)  # noqa: B023
        for seed, value in enumerate(values)
    ]


def test_stored_results_are_not_computed_again_and_depend_on_all_inputs(ledger: Ledger) -> None:
    calls = []

    def compute() -> Iterator[Result]:
        calls.append(1)
        yield Result("s", "value", 3, "auc", 0.75)
        yield Result("s", "value", None, "auc", float("nan"))

    unit = ledger.unit(content="a", share=0.2)
    assert (
        ledger.compute_once(unit, compute, "it") == ledger.compute_once(unit, compute, "it") == unit and len(calls) == 1
    )
    assert ask(ledger, "SELECT evaluation, dataset, model, setting, method, seed, metric, value FROM evaluations") == [
        ("planted", "rows", "model@1", "s", "value", 3, "auc", 0.75)
    ]
    assert unit not in {ledger.unit(content="b", share=0.2), ledger.unit(content="a", share=0.3)}
    ledger.compute_once(ledger.unit(content="b", share=0.2), compute, "other data")
    assert len(calls) == 2


def test_an_interrupted_computation_stores_nothing(ledger: Ledger) -> None:
    def compute() -> Iterator[Result]:
        yield Result("s", "value", 0, "auc", 0.5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.compute_once(ledger.unit(x=1), compute, "it")
    assert ask(ledger, "FROM evaluations") == []


def test_methods_are_compared_on_common_seeds_and_a_comparison_is_stored_once(ledger: Ledger) -> None:
    units = areas(ledger, "suspicion", [0.9, 0.8, 0.95, 0.85]) + areas(ledger, "nll", [0.7, 0.7, 0.7])
    for _ in range(2):
        ((setting, method, comparison),) = ledger.compare(units, "auc", ["nll"], test="t")
    assert (setting, method, comparison.against, comparison.pairs) == ("s", "suspicion", "nll", 3)
    assert comparison.difference == pytest.approx(0.55 / 3)
    stored = "SELECT method, against, metric, pairs, difference, test, p FROM comparisons"
    assert ask(ledger, stored) == [("suspicion", "nll", "auc", 3, comparison.difference, "t", comparison.p)]
    assert ledger.compare(units, "auc", ["nll"], test="t", methods=["nothing"]) == []


def test_a_table_has_a_line_per_method_with_mean_and_deviation_over_seeds(ledger: Ledger) -> None:
    results = ledger.read(areas(ledger, "value", [0.5, 0.7]))
    assert result_table(results, ("auc", "recall")) == [
        "| setting | method | auc |",
        "|---|---|---|",
        "| s | value | 0.6000 ± 0.1414 |",
    ]
    assert metric_matrix(results, "auc") == ["| auc | s |", "|---|---|", "| value | 0.6000 ± 0.1414 |"]
    ((numbers, mean, deviation),) = ask(ledger, "SELECT numbers, mean, deviation FROM evaluation_summary")
    assert (numbers, mean, deviation) == (2, pytest.approx(0.6), pytest.approx(0.02**0.5))


def test_results_of_other_conditions_are_not_pooled_and_the_page_shows_the_newest(ledger: Ledger) -> None:
    few, many = ledger.under(rows=100), ledger.under(rows=900)
    old = areas(few, "suspicion", [0.5, 0.6]) + areas(few, "nll", [0.5, 0.5])
    few.compare(old, "auc", ["nll"], test="t")
    for seeds in (2, 3):
        new = areas(many, "suspicion", [0.9, 0.8, 0.7][:seeds]) + areas(many, "nll", [0.7, 0.7, 0.7][:seeds])
        many.compare(new, "auc", ["nll"], test="t")
    summary = "SELECT conditions->>'rows', numbers, round(mean, 3) FROM evaluation_summary WHERE method = 'suspicion'"
    assert ask(ledger, f"{summary} ORDER BY mean") == [("100", 2, 0.55), ("900", 3, 0.8)]
    comparisons = ask(ledger, "SELECT conditions->>'rows', pairs, round(difference, 3) FROM comparisons ORDER BY pairs")
    assert comparisons == [("100", 2, 0.05), ("900", 3, 0.1)]
    with reading(ledger.database) as connection:
        numbers, compared = (records(connection, name, {}) for name in ("page_numbers", "page_compared"))
    assert {row["conditions"] for row in [*numbers, *compared]} == {'{"rows": 900}'}
    assert len(numbers) == 2 and [row["pairs"] for row in compared] == [3]


def test_the_page_has_a_figure_per_setting_and_one_of_all_removals(ledger: Ledger, tmp_path: Path) -> None:
    drawn = {
        ("influence", "auc of seeds"): ("9 rows", "90 rows"),
        ("planted", "auc"): ("20% bad, all kinds", "10% bad, all kinds"),
        ("removal", "test loss"): ("without 10%", "without 20%"),
    }
    for (evaluation, metric), names in drawn.items():
        for setting in names:
            results = [Result(setting, method, 0, metric, 0.5) for method in ("nothing", "value")]
            other = replace(ledger, evaluation=evaluation)
            other.compute_once(other.unit(setting=setting), lambda: results, setting)  # noqa: B023
    page = write_evaluations(settings(tmp_path)).read_text()
    assert page.count("<svg") == page.count("<figcaption>") == 5
    for setting in (*drawn["influence", "auc of seeds"], *drawn["planted", "auc"]):
        assert f"rows, model@1, {setting}</figcaption>" in page
