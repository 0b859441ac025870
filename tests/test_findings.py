"""Results are rows that are there whole or not at all, and that are found once."""

from collections.abc import Iterator
from dataclasses import reledger
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
        yield Ledger(config.database, run.run_id, "planted", "rows", "model@1")


def ask(ledger: Ledger, question: str) -> list[tuple[object, ...]]:
    with reading(ledger.database) as connection:
        return connection.execute(question).fetchall()


def areas(ledger: Ledger, method: str, values: list[float]) -> list[str]:
    """A unit a seed."""
    return [
        ledger.once(ledger.unit(m=method, seed=seed), lambda: [Result("s", method, seed, "auc", value)], method)  # noqa: B023
        for seed, value in enumerate(values)
    ]


def test_what_is_known_is_not_found_again_and_hangs_on_all_that_it_was_given(ledger: Ledger) -> None:
    asked = []

    def compute() -> Iterator[Result]:
        asked.append(1)
        yield Result("s", "value", 3, "auc", 0.75)
        yield Result("s", "value", None, "auc", float("nan"))

    unit = ledger.unit(content="a", share=0.2)
    assert ledger.once(unit, compute, "it") == ledger.once(unit, compute, "it") == unit and len(asked) == 1
    assert ask(ledger, "SELECT evaluation, dataset, model, setting, method, seed, metric, value FROM evaluations") == [
        ("planted", "rows", "model@1", "s", "value", 3, "auc", 0.75)
    ]
    assert unit not in {ledger.unit(content="b", share=0.2), ledger.unit(content="a", share=0.3)}
    ledger.once(ledger.unit(content="b", share=0.2), compute, "other data")
    assert len(asked) == 2


def test_what_ends_half_way_leaves_nothing(ledger: Ledger) -> None:
    def compute() -> Iterator[Result]:
        yield Result("s", "value", 0, "auc", 0.5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.once(ledger.unit(x=1), compute, "it")
    assert ask(ledger, "FROM evaluations") == []


def test_methods_are_compared_on_the_seeds_that_both_have_and_a_comparison_is_kept_once(ledger: Ledger) -> None:
    units = areas(ledger, "suspicion", [0.9, 0.8, 0.95, 0.85]) + areas(ledger, "nll", [0.7, 0.7, 0.7])
    for _ in range(2):
        ((setting, method, one),) = ledger.compare(units, "auc", ["nll"], "t")
    assert (setting, method, one.against, one.pairs) == ("s", "suspicion", "nll", 3)
    assert one.difference == pytest.approx(0.55 / 3)
    kept = "SELECT method, against, metric, pairs, difference, test, p FROM comparisons"
    assert ask(ledger, kept) == [("suspicion", "nll", "auc", 3, one.difference, "t", one.p)]
    assert ledger.compare(units, "auc", ["nll"], "t", ["nothing"]) == []


def test_a_table_has_a_line_a_method_and_mean_and_deviation_over_seeds(ledger: Ledger) -> None:
    found = ledger.read(areas(ledger, "value", [0.5, 0.7]))
    assert result_table(found, ("auc", "recall")) == [
        "| setting | method | auc |",
        "|---|---|---|",
        "| s | value | 0.6000 ± 0.1414 |",
    ]
    assert metric_matrix(found, "auc") == ["| auc | s |", "|---|---|", "| value | 0.6000 ± 0.1414 |"]
    ((numbers, mean, deviation),) = ask(ledger, "SELECT numbers, mean, deviation FROM evaluation_summary")
    assert (numbers, mean, deviation) == (2, pytest.approx(0.6), pytest.approx(0.02**0.5))


def test_other_conditions_are_no_more_seeds_and_the_newest_comparison_of_a_series_is_told(ledger: Ledger) -> None:
    few, many = ledger.under(rows=100), ledger.under(rows=900)
    old = areas(few, "suspicion", [0.5, 0.6]) + areas(few, "nll", [0.5, 0.5])
    few.compare(old, "auc", ["nll"], "t")
    for seeds in (2, 3):
        new = areas(many, "suspicion", [0.9, 0.8, 0.7][:seeds]) + areas(many, "nll", [0.7, 0.7, 0.7][:seeds])
        many.compare(new, "auc", ["nll"], "t")
    summary = "SELECT conditions->>'rows', numbers, round(mean, 3) FROM evaluation_summary WHERE method = 'suspicion'"
    assert ask(ledger, f"{summary} ORDER BY mean") == [("100", 2, 0.55), ("900", 3, 0.8)]
    told = ask(ledger, "SELECT conditions->>'rows', pairs, round(difference, 3) FROM comparisons ORDER BY pairs")
    assert told == [("100", 2, 0.05), ("900", 3, 0.1)]
    with reading(ledger.database) as connection:
        numbers, compared = (records(connection, name, {}) for name in ("page_numbers", "page_compared"))
    assert {row["conditions"] for row in [*numbers, *compared]} == {'{"rows": 900}'}
    assert len(numbers) == 2 and [row["pairs"] for row in compared] == [3]


def test_the_page_has_a_figure_a_setting_and_one_of_all_removals(ledger: Ledger, tmp_path: Path) -> None:
    drawn = {
        ("influence", "auc of seeds"): ("9 rows", "90 rows"),
        ("planted", "auc"): ("20% bad, all kinds", "10% bad, all kinds"),
        ("removal", "test loss"): ("without 10%", "without 20%"),
    }
    for (evaluation, metric), names in drawn.items():
        for setting in names:
            found = [Result(setting, method, 0, metric, 0.5) for method in ("nothing", "value")]
            of = reledger(ledger, evaluation=evaluation)
            of.once(of.unit(setting=setting), lambda: found, setting)  # noqa: B023
    page = write_evaluations(settings(tmp_path)).read_text()
    assert page.count("<svg") == page.count("<figcaption>") == 5
    for setting in (*drawn["influence", "auc of seeds"], *drawn["planted", "auc"]):
        assert f"rows, model@1, {setting}</figcaption>" in page
