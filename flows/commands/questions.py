"""Commands that query the database. They change nothing in it."""

import csv
import io
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from oresight.flows.commands.explained import BESIDE, changed_facts, row_facts, transition
from oresight.flows.commands.options import Changes, Config, Database, SampleId, as_text, whole_id
from oresight.flows.commands.output import (
    Full,
    Json,
    echo,
    json_text,
    print_data,
    print_facts,
    print_json,
    shortened,
)
from oresight.flows.commands.separate import run_separately
from oresight.tasks.configfile import read_config
from oresight.tasks.connection import automatic_memory
from oresight.tasks.database import (
    Connection,
    DatabaseError,
    Relation,
    Statement,
    clear_scratch,
    let,
    reading,
    records,
    statements_that_read,
)
from oresight.tasks.pages.texts import no_formula, short_id, visible
from oresight.tasks.runs.faults import OFFLOADED, TOO_LITTLE
from oresight.tasks.runs.record import Run
from oresight.tasks.sqlfile import Question, named_question, question_library, sql_of

CELL = 10_000
"""Characters of a text that a table can show at most."""
ROWS = 20
"""Rows that `diff` lists if nothing else is asked for."""


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def ask(
    config: Config,
    question: Annotated[str, typer.Argument(help="A question to the model.")],
    answer: Annotated[str, typer.Argument(help="The answer that it should give.")],
    changes: Changes = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Number of rows of each kind.")] = 5,
) -> None:
    """List the rows that teach an answer and the rows that work against it, by the index, in seconds."""
    from oresight.tasks.ask import ask as rows_that_teach

    taught = rows_that_teach(Run(read_config(config, changes or [])), as_text(question), as_text(answer), n)
    for row in taught.rows:
        texts = " -> ".join(shortened(row[part], most=BESIDE) for part in ("prompt", "answer"))
        echo(f"{row['value']:>+10.3g}  {short_id(row['sample_id'])}  {texts}")
    correlation = "not measured" if taught.correlation is None else f"{taught.correlation:.4f}"
    typer.echo(f"approximate values from the index; correlation with exact values: {correlation}")


def sql(
    question: Annotated[
        str, typer.Argument(metavar='"SELECT ..."', help="SQL, an .sql file, or - for standard input.")
    ] = "",
    database: Database = "oresight.duckdb",
    format: Annotated[Format, typer.Option(help="The output format.")] = Format.TABLE,
    name: Annotated[str, typer.Option("--named", metavar="NAME", help="A question of the library.")] = "",
    parameters: Annotated[
        list[str] | None, typer.Option("--with", metavar="KEY=VALUE", help="A parameter of the named question.")
    ] = None,
    safe: Annotated[
        bool, typer.Option("--safe", help="With CSV: put an apostrophe before texts that spreadsheets compute.")
    ] = False,
    list_names: Annotated[bool, typer.Option("--list", help="List the library of questions.")] = False,
) -> None:
    """Run SQL on the database, read-only: one query, or several with ; between them."""
    if list_names:
        typer.echo("\n".join(question.line() for question in question_library().values()))
        return
    if safe and format is not Format.CSV:
        raise ValueError("--safe: is about spreadsheets; give --format csv with it")
    if bool(question) == bool(name):
        raise ValueError('sql: give "SELECT ..." or --named NAME; `oresight sql --list` lists the names')
    query = named_question(name, parameters or []) if name else Question("", "", _read_sql(question))
    try:
        run_separately(lambda: _answer(database, query, format, safe))
    finally:
        clear_scratch(database)


def explain(
    sample_id: SampleId, database: Database = "oresight.duckdb", full: Full = False, as_json: Json = False
) -> None:
    """Explain why a row was kept or dropped: the decision first, then all facts about it."""
    sample_id = whole_id(database, sample_id)
    (row,) = _run_query(database, "explain", sample_id=sample_id)
    if not (row["rows"] or row["forgotten"] or row["canaries"]):
        raise ValueError(
            f"{database}: no row has the sample_id {sample_id}; the view `rows` lists them (rejected lines have none:"
            " the view `rejects` lists these)"
        )
    if as_json:
        lists = {name: part if name == "forgotten" else part or [] for name, part in row.items()}
        print_json({"sample_id": sample_id, **lists})
    else:
        typer.echo(f"row {sample_id}")
        print_facts(list(row_facts(row, full)))


def diff(
    split: Annotated[str, typer.Argument(help="The name of the split.")],
    version_a: Annotated[int, typer.Argument(help="The version to compare with.")],
    version_b: Annotated[int, typer.Argument(help="The version to compare.")],
    database: Database = "oresight.duckdb",
    limit: Annotated[int | None, typer.Option(min=0, help="Rows to list. Default: 20, with --json all.")] = None,
    full: Full = False,
    as_json: Json = False,
) -> None:
    """List what changed between two versions of a split: counts by cause, then the rows."""
    versions = [row["version"] for row in _run_query(database, "split_versions", split=split)]
    if not {version_a, version_b} <= set(versions):
        raise ValueError(f"{database}: the versions of the split {split!r} are {versions or 'none'}")
    names: dict[str, Any] = {"split": split, "version_a": version_a, "version_b": version_b}
    causes = _run_query(database, "diff_causes", **names)
    changed = sum(cause["rows"] for cause in causes)
    most = limit if limit is not None else changed if as_json else ROWS
    rows = _run_query(database, "diff", **names, n=most)
    if as_json:
        print_json(names | {"rows_changed": changed, "causes": causes, "rows": rows})
        return
    typer.echo(f"{visible(split)}/v{version_a} -> v{version_b}: {changed:,} rows are decided differently")
    for cause in causes:
        change = transition(cause["decision_a"], cause["decision_b"])
        typer.echo(f"{cause['rows']:>9,}  {change}: {cause['cause']}")
    for row in rows:
        typer.echo("")
        print_facts(list(changed_facts(row, version_a, version_b, full)))
    if changed > len(rows):
        typer.echo(f"\n{changed - len(rows):,} more rows; --limit {changed} lists all")


def _read_sql(question: str) -> str:
    """The SQL of an argument: the text itself, the content of a file, or standard input."""
    if question.endswith(".sql") and Path(question).is_file():
        return sql_of(Path(question))
    return sys.stdin.read() if question == "-" else as_text(question)


def _run_query(database: str, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """The rows that sql/queries/NAME.sql returns."""
    with reading(database) as connection:
        return records(connection, name, parameters)


def _answer(database: str, query: Question, format: Format, safe: bool) -> None:
    """Run the statements of a text, and print their answers."""
    try:
        with reading(database, guarded=True) as connection:
            let(connection, **query.parameters)
            for statement in statements_that_read(connection, query.sql):
                _print_answer(connection, statement, format, safe)
    except DatabaseError as error:
        if TOO_LITTLE in str(error):
            kind = "disk for what it moves there" if OFFLOADED in str(error) else f"memory than {automatic_memory()}"
            raise ValueError(f"sql: the query needs more {kind}; ask for less (WHERE, LIMIT, fewer columns)") from None
        raise ValueError(str(error)) from error


def _print_answer(connection: Connection, statement: Statement, format: Format, safe: bool) -> None:
    """Run a query and print its answer."""
    if format is Format.TABLE:
        relation = connection.sql(statement)
        if relation is not None:
            width = max(80, os.get_terminal_size().columns if sys.stdout.isatty() else 160)
            with redirect_stdout(io.StringIO()) as table:
                _clipped(relation).show(max_width=width, max_rows=100)
            echo(table.getvalue().rstrip("\n") + "\n")
        return
    answer = connection.execute(statement)
    names = [column[0] for column in answer.description or []]
    if format is Format.CSV:
        print_data(_csv(names, answer, safe))
    else:
        print_data(_json(names, answer))


def _clipped(relation: Relation) -> Relation:
    """The relation with the beginnings of its texts: DuckDB measures each character of what it puts into a table."""
    names = ['"' + name.replace('"', '""') + '"' for name in relation.columns]
    if len({name.lower() for name in names}) < len(names):
        return relation
    texts = [str(kind) == "VARCHAR" for kind in relation.types]
    cells = [f"left({name}, {CELL}) AS {name}" if is_text else name for name, is_text in zip(names, texts, strict=True)]
    return relation.project(", ".join(cells)) if any(texts) else relation


def _json(names: list[str], answer: Connection) -> Iterator[str]:
    """The answer as one JSON document, in pieces."""
    before = "["
    while rows := answer.fetchmany(1000):
        for row in rows:
            yield before + json_text(dict(zip(names, row, strict=True)))
            before = ", "
    yield "[]\n" if before == "[" else "]\n"


def _csv(names: list[str], answer: Connection, safe: bool) -> Iterator[str]:
    """The answer as CSV, in pieces. safe: no cell is a formula for a spreadsheet."""
    rows, lines = [tuple(names)], list[str]()
    # The module quotes the characters of its line end: a carriage return in a cell must not end a line.
    cut = SimpleNamespace(write=lambda line: lines.append(f"{line[:-2]}\n"))
    writer = csv.writer(cut, lineterminator="\r\n")
    while rows:
        safe_rows = ([no_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
        writer.writerows(safe_rows if safe else rows)
        yield "".join(lines)
        lines.clear()
        rows = answer.fetchmany(10_000)
