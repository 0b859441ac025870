"""What changed between two versions is listed with its cause."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oresight.flows.cli import app
from oresight.tasks.config import Curate
from oresight.tasks.database import query, reading, transaction, writing
from tests.test_split import divide, fill, open_run, row, sample_id, settings


@pytest.fixture
def config(tmp_path: Path) -> Curate:
    """Two versions of a split, between which one thing happened to each row."""
    config = settings(tmp_path, rows=6)
    with open_run(config) as run:
        before: dict[int, float | None] = {n: float(n) for n in range(10)} | {1: None}
        fill(config.database, [row(n, value) for n, value in before.items()], [(sample_id(8), "odd", "warning")])
        assert divide(run).version == 1
    with open_run(config) as run:
        after = {n: value for n, value in before.items() if n != 0} | {1: 1.0, 3: -5.0, 5: None, 10: 10.0}
        fill(config.database, [row(n, value) for n, value in after.items()], [(sample_id(9), "odd", "warning")])
        with writing(config.database) as connection, transaction(connection):
            verdict = {"verdict": "drop", "answer": None, "record": None, "why": "wrong", "who": "ada"}
            verdict |= {"page": "review", "trusted_as": None}
            connection.execute(query("verdict_insert"), {"sample_id": sample_id(7), "dataset": "raw"} | verdict)
        assert divide(run).version == 2
    return config


CAUSES = {
    0: ("drop", None, "row is gone"),
    1: ("drop", "keep", "score appeared"),
    2: ("drop", "keep", "budget"),
    3: ("keep", "drop", "score moved"),
    5: ("keep", "drop", "score gone"),
    7: ("keep", "drop", "verdict"),
    8: ("drop", "keep", "flag gone"),
    9: ("keep", "drop", "flag appeared"),
    10: (None, "keep", "row is new"),
}


def test_each_row_that_is_decided_otherwise_has_its_cause(config: Curate) -> None:
    with reading(config.database) as connection:
        question = "SELECT sample_id, decision_a, decision_b, cause FROM split_diff('chosen', {}, {})"
        forwards = {name: rest for name, *rest in connection.execute(question.format(1, 2)).fetchall()}
        backwards = {name: cause for name, *_, cause in connection.execute(question.format(2, 1)).fetchall()}
        assert connection.execute(question.format(2, 2)).fetchall() == []
    assert forwards == {sample_id(n): list(change) for n, change in CAUSES.items()}
    assert backwards[sample_id(7)] == "verdict taken back" and backwards[sample_id(8)] == "flag appeared"
    assert backwards[sample_id(0)] == "row is new" and backwards[sample_id(5)] == "score appeared"


def test_a_check_may_say_what_a_person_would(tmp_path: Path) -> None:
    """The cause is stored where the row is decided, and not guessed from what a reason says."""
    config = settings(tmp_path)
    rows = [row(n, float(n)) for n in range(3)]
    for flags in (
        [],
        [(sample_id(1), "knit by hand", "warning"), (sample_id(2), "kept by hand: not scored: x", "warning")],
    ):
        with open_run(config) as run:
            fill(config.database, rows, flags)
            divide(run)
    with reading(config.database) as connection:
        causes = connection.execute("SELECT sample_id, cause FROM split_diff('chosen', 1, 2)").fetchall()
        stored = connection.execute("SELECT DISTINCT cause FROM split_rows WHERE version = 2 ORDER BY ALL").fetchall()
    assert dict(causes) == {sample_id(1): "flag appeared", sample_id(2): "flag appeared"}
    assert stored == [("flag",), ("rank",)]


def command(config: Curate, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["diff", "chosen", *arguments, "--database", config.database])
    assert result.exit_code == 0
    return result.stdout


def test_the_command_counts_the_causes_and_lists_the_rows(config: Curate) -> None:
    lines = command(config, "1", "2").splitlines()
    assert lines[0] == "chosen/v1 -> v2: 9 rows are decided differently"
    assert {line.strip() for line in lines[1:10]} == {
        f"1  {was or 'absent'} -> {now or 'absent'}: {cause}" for was, now, cause in CAUSES.values()
    }
    listed = {line.split()[0]: line for line in lines[10:] if line and not line.startswith(" ")}
    assert listed.keys() == {sample_id(n)[:12] for n in CAUSES}
    assert listed[sample_id(2)[:12]].endswith("  drop -> keep: budget")
    assert command(config, "2", "2") == "chosen/v2 -> v2: 0 rows are decided differently\n"


def test_the_command_says_how_many_rows_it_leaves_out(config: Curate) -> None:
    text = command(config, "1", "2", "--limit", "2")
    assert sum(line.startswith(sample_id(n)[:12]) for n in CAUSES for line in text.splitlines()) == 2
    assert text.endswith("\n7 more rows; --limit 9 lists all\n")
    document = json.loads(command(config, "1", "2", "--json", "--limit", "2"))
    assert document["rows_changed"] == 9 and len(document["rows"]) == 2


def test_json_has_the_exact_numbers_of_all_rows(config: Curate) -> None:
    document = json.loads(command(config, "1", "2", "--json"))
    assert (document["split"], document["version_a"], document["version_b"]) == ("chosen", 1, 2)
    rows = {row["sample_id"]: row for row in document["rows"]}
    assert {name: (row["decision_a"], row["decision_b"], row["cause"]) for name, row in rows.items()} == {
        sample_id(n): change for n, change in CAUSES.items()
    }
    assert (rows[sample_id(3)]["value_a"], rows[sample_id(3)]["value_b"]) == (3.0, -5.0)
    assert sum(cause["rows"] for cause in document["causes"]) == 9


def test_a_version_that_is_not_there_is_refused_with_those_that_are(config: Curate) -> None:
    for split, versions in (("chosen", "[1, 2]"), ("other", "none")):
        result = CliRunner().invoke(app, ["diff", split, "1", "3", "--database", config.database])
        assert str(result.exception).endswith(f"the versions of the split '{split}' are {versions}")
