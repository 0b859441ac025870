"""docs/sql.md names every view with every column, and each of its examples and named questions runs."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from oresight.tasks.database import let, reading, transaction, writing
from oresight.tasks.sqlfile import named_question, question_library
from tests.support.curated import Curated

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "sql.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S))
EXAMPLES = {name: re.findall(r"```sql\n(.*?)```", text, re.S) for name, text in SECTIONS.items()}
ROW = "(SELECT sample_id FROM scores WHERE dataset = 'easy' LIMIT 1)"
MACROS = {
    "worst_rows": "'easy'", "best_rows": "'easy'", "explain": ROW, "row_history": ROW, "split_diff": "'curated', 1, 2",
    "influences": ROW, "nearest_accepted": ROW, "value_against": "'trusted'",
}  # fmt: skip


def told(text: str) -> set[str]:
    """What the page names as a column."""
    return set(re.findall(r"`([a-z_0-9]+)`", text))


def answers(database: str, name: str, **given: Any) -> list[dict[str, Any]]:
    """What a named question answers."""
    one = named_question(name, [f"{key}={value}" for key, value in given.items()])
    with reading(database, guarded=True) as connection:
        let(connection, **one.parameters)
        found: list[dict[str, Any]] = connection.execute(one.sql).to_arrow_table().to_pylist()
    return found


def test_the_page_has_every_view_with_every_column_and_every_macro(curated: Curated) -> None:
    columns = curated.ask(
        "SELECT table_name, list(column_name) FROM duckdb_columns()"
        " WHERE schema_name = 'main' AND NOT internal GROUP BY ALL"
    )
    macros = curated.ask(
        "SELECT DISTINCT function_name FROM duckdb_functions()"
        " WHERE schema_name = 'main' AND function_type LIKE '%macro' AND NOT internal"
    )
    assert SECTIONS.keys() == {view for view, _ in columns} | {name for (name,) in macros}
    for view, names in columns:
        assert set(names) <= told(SECTIONS[view]), view
    assert {name for (name,) in macros} == MACROS.keys()
    with reading(curated.config.database, guarded=True) as connection:
        for name, values in MACROS.items():
            gives = {column[0] for column in connection.execute(f"FROM {name}({values})").description}
            assert gives <= told(SECTIONS[name]), name


@pytest.mark.parametrize("name", SECTIONS)
def test_each_example_of_the_page_runs(curated: Curated, name: str) -> None:
    (example,) = EXAMPLES[name]
    with reading(curated.config.database, guarded=True) as connection:
        rows = connection.execute(example).fetchall()
    empty = {"row_sources", "rejects", "stale_scores", "stale_versions", "forgotten", "verdicts", "verdict_history",
             "flag_precision", "approvals", "evaluations", "evaluation_summary", "comparisons"}  # fmt: skip
    assert bool(rows) == (name not in empty)


@pytest.mark.parametrize("name", question_library())
def test_each_named_question_runs(curated: Curated, name: str) -> None:
    one = named_question(name)
    with reading(curated.config.database, guarded=True) as connection:
        let(connection, **one.parameters)
        answer = connection.execute(one.sql)
        columns, rows = {column[0] for column in answer.description}, answer.fetchall()
    assert bool(rows) == (name not in {"model_disagreement", "moved_between_versions", "near_duplicates"})
    listed = re.search(rf"\| `{name}` \| (.*?) ?\| (.+) \| (.+) \|", PAGE)
    assert listed and listed[1] == ", ".join(f"{key} = {value}" for key, value in one.parameters.items())
    assert listed[2] == one.about and told(listed[3]) == columns


@pytest.fixture(scope="module")
def two_models(curated: Curated) -> str:
    """The curated database with a second model, and with an earlier version of the first, both of which rank all rows
    the other way round; and with a few more prompts."""
    database = f"{curated.folder}/two.duckdb"
    shutil.copyfile(curated.config.database, database)
    with writing(database) as connection, transaction(connection):
        for key, model in (("k1", "'other@1'"), ("k2", "regexp_replace(model, '@.*', '@0')")):
            connection.execute(
                f"INSERT INTO store.models BY NAME SELECT * REPLACE ('{key}' AS model_key, {model} AS model,"
                " last_used_at - INTERVAL 1 DAY AS last_used_at, 'w' AS weights) FROM store.models"
                " WHERE model_key NOT IN ('k1', 'k2')"
            )
            connection.execute(
                f"INSERT INTO store.scores BY NAME SELECT * REPLACE ('{key}' AS model_key, -value AS value)"
                " FROM store.scores WHERE model_key NOT IN ('k1', 'k2')"
            )
        for values in (
            ("a", "Name a colour.", "red"), ("b", " name a  COLOUR", "blue"), ("c", "Name two colours.", "red"),
            ("d", "What is 2 + 2?", "4"), ("e", "What is 2 - 2?", "0"),
            ("f", "Say yes", "yes"), ("g", "say yes!", "yes"),
        ):  # fmt: skip
            connection.execute(
                "INSERT INTO store.rows BY NAME SELECT * REPLACE (? AS sample_id, ? AS prompt, ? AS answer,"
                " NULL AS images, 'instruction' AS kind) FROM store.rows WHERE dataset = 'easy' LIMIT 1",
                values,
            )
    return database


def test_rows_on_which_models_and_versions_disagree_most_come_first(two_models: str, curated: Curated) -> None:
    ((model,),) = curated.ask("SELECT DISTINCT model FROM scores")
    ((rows,),) = curated.ask("SELECT count(*) FROM scores WHERE dataset = 'easy'")
    found = answers(two_models, "model_disagreement", n=100_000)
    assert len({(row["model_a"], row["model_b"]) for row in found}) == 3
    moved = [row for row in answers(two_models, "moved_between_versions", n=100_000) if row["dataset"] == "easy"]
    assert {(row["now"], row["why"]) for row in moved} == {(model, "the weights have changed")}
    assert {row["before"] for row in moved} == {model.split("@")[0] + "@0"} and len(moved) == rows
    for listed, one, other in ((found, "rank_a", "rank_b"), (moved, "rank_before", "rank_now")):
        differences = [abs(row[one] - row[other]) for row in listed]
        assert differences == sorted(differences, reverse=True) and differences[0] == pytest.approx(1)
    assert len(answers(two_models, "model_disagreement", n=3)) == 3


def test_prompts_that_are_nearly_the_same_are_found_with_their_answers(two_models: str) -> None:
    (found,) = answers(two_models, "near_duplicates")
    assert (found["rows"], found["answers"], found["sample_ids"]) == (2, ["red", "blue"], ["a", "b"])


def test_the_library_is_listed_and_takes_parameters(curated: Curated) -> None:
    listed = curated.oresight("sql", "--list").splitlines()
    assert [line.split(":")[0].split()[0] for line in listed] == sorted(question_library())
    place = ["--database", curated.config.database, "--format", "json"]
    for n in (1, 2):
        text = curated.oresight("sql", "--named", "worst_by_source", "--with", f"n={n}", *place)
        assert text.count("sample_id") == n


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--named", "best"], "--named best: there is no such question; there are: cost_of_runs, "),
        (["--named", "worst_by_source", "--with", "m=1"], "worst_by_source has no such parameter; there are: n=3"),
        (["--named", "worst_by_source", "--with", "n=many"], "--with n=many: must be like n=3"),
        ([], "`oresight sql --list` lists the names"),
        (["SELECT 1", "--named", "cost_of_runs"], "`oresight sql --list` lists the names"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(curated: Curated, arguments: list[str], sentence: str) -> None:
    done = curated.run("sql", *arguments, "--database", curated.config.database)
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
