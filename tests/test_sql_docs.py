"""docs/sql.md names every view with every column, and each of its examples and named questions runs."""

import re
from pathlib import Path

import pytest

from tasks.database import let, reading
from tasks.named import library, named
from tests.curated import Curated

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "sql.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S))
EXAMPLES = {name: re.findall(r"```sql\n(.*?)```", text, re.S) for name, text in SECTIONS.items()}


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    done = Curated(tmp_path_factory.mktemp("sql"))
    done.oresight("curate", *done.arguments)
    return done


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
        assert set(names) <= set(re.findall(r"`([a-z_0-9]+)`", SECTIONS[view])), view


@pytest.mark.parametrize("name", SECTIONS)
def test_each_example_of_the_page_runs(curated: Curated, name: str) -> None:
    (example,) = EXAMPLES[name]
    with reading(curated.config.database, guarded=True) as connection:
        rows = connection.execute(example).fetchall()
    empty = {"row_sources", "rejects", "stale_scores", "stale_versions", "forgotten", "verdicts", "verdict_history",
             "flag_precision", "approvals"}  # fmt: skip
    assert bool(rows) == (name not in empty)


@pytest.mark.parametrize("name", library())
def test_each_named_question_runs(curated: Curated, name: str) -> None:
    one = named(name)
    with reading(curated.config.database, guarded=True) as connection:
        let(connection, **one.parameters)
        rows = connection.execute(one.sql).fetchall()
    assert bool(rows) == (name not in {"model_disagreement", "moved_between_versions", "near_duplicates"})
    listed = re.search(rf"\| `{name}` \| (.*?) ?\| (.+) \|", PAGE)
    assert listed and listed[1] == ", ".join(f"{key} = {value}" for key, value in one.parameters.items())
    assert listed[2] == one.about


def test_the_library_is_listed_and_takes_parameters(curated: Curated) -> None:
    listed = curated.oresight("sql", "--list").splitlines()
    assert [line.split(":")[0].split()[0] for line in listed] == sorted(library())
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
