"""The end of `oresight curate` says what is so, with commands that work as they stand."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from oresight.flows.commands.curated import document, next_steps, sentences, summary
from oresight.flows.curate import Curated
from oresight.tasks.config import Curate
from oresight.tasks.pages.verdict import SAID_WITHOUT_TRUSTED
from oresight.tasks.split import Split

SETTINGS = Curate.model_validate({"dataset": {"name": "raw", "path": "r"}, "database": "my data.duckdb"})
CONFIG = Path("my config.yaml")
COUNTS = {
    "rows read": 110, "rejected": 2, "duplicates": 8, "scored": 100, "reused": 0, "canaries": 10, "flagged": 12,
    "kept": 70, "dropped": 30,
}  # fmt: skip
CURATED = Curated(
    counts=COUNTS,
    seconds=1.25,
    folder=Path("out/curated/v2"),
    new_version=True,
    report=Path("out/curated/report.html"),
    run_id="r1",
    split=Split("curated", 2, new=True, rows_kept=70, rows_dropped=30, tokens_kept=700),
    dropped={"rank": 18, "flag": 12},
    flagged={"looks_mislabeled": 11, "personal_data": 2},
    verdict=["11 rows look mislabeled.", "At most 10%."],
)
UNCHANGED = replace(CURATED, new_version=False, counts=COUNTS | {"scored": 0, "flagged": 0})


def test_the_verdict_counts_the_rows_that_go_by_cause() -> None:
    assert [" ".join(sentence.split()) for sentence in sentences(CURATED, CONFIG)] == [
        "curated/v2 keeps 70 of 100 rows and drops:",
        "18 over the budget",
        "12 flagged (by looks_mislabeled 11, personal_data 2)",
        "Beside these, 2 rejected and 8 duplicates, of 110 that were read.",
        "11 rows look mislabeled.",
        "At most 10%.",
    ]


def test_a_run_that_changes_nothing_says_so_and_one_that_drops_nothing_lists_no_cause() -> None:
    assert next(sentences(UNCHANGED, CONFIG)) == "Nothing has changed since the last run: curated/v2 stands."
    whole = replace(CURATED, dropped={}, counts=COUNTS | {"kept": 100, "dropped": 0, "rejected": 0, "duplicates": 1})
    assert [*sentences(whole, CONFIG)][:2] == [
        "curated/v2 keeps 100 of 100 rows.",
        "Beside these, 1 duplicate, of 110 that were read.",
    ]
    (review, _), _ = next_steps(whole, SETTINGS, CONFIG, [])
    assert shlex.split(review)[1] == "review"


def test_the_summary_has_its_lines() -> None:
    lines = [line.split(None, 1)[0] for line in summary(CURATED, SETTINGS)]
    assert lines == [name.split()[0] for name in COUNTS] + ["seconds", "split", "checks", "report", "database"]
    assert "(unchanged, no new version)" in "\n".join(summary(UNCHANGED, SETTINGS))


@pytest.mark.parametrize(("verdict", "name"), [(CURATED.verdict, "review"), (SAID_WITHOUT_TRUSTED, "trust")])
def test_what_to_do_next_works_with_this_configuration(verdict: list[str], name: str) -> None:
    curated = replace(CURATED, verdict=verdict)
    first, second, page = (command for command, _ in next_steps(curated, SETTINGS, CONFIG, ["splitting.keep=0.5"]))
    assert shlex.split(first)[1:] == [name, "my config.yaml", "--set", "splitting.keep=0.5"]
    assert shlex.split(second)[1:4] == ["sql", "--database", "my data.duckdb"]
    assert "split = 'curated' AND version = 2" in shlex.split(second)[4] and page == "out/curated/report.html"
    assert "CONFIG.yaml" not in " ".join(sentences(curated, CONFIG))


def test_the_document_has_the_counts_and_the_paths() -> None:
    found = document(CURATED, SETTINGS, CONFIG, ["a warning"])
    assert found["rows"] == 110 and found["kept"] == 70 and found["dropped_by_cause"] == CURATED.dropped
    assert found["paths"]["split"] == "out/curated/v2" and found["warnings"] == ["a warning"]
    assert (found["run_id"], found["version"], found["is_new"]) == ("r1", 2, True)
