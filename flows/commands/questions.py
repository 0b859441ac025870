"""Commands that query the database. They change nothing in it."""

import csv
import json
import os
import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from oresight.flows.commands.options import Changes, Config, Database, SampleId, whole_id
from oresight.tasks.configfile import read_config
from oresight.tasks.database import Connection, DatabaseError, execute, let, reading
from oresight.tasks.runs.record import Run
from oresight.tasks.sqlfile import Question, named_question, question_library


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

    taught = rows_that_teach(Run(read_config(config, changes or [])), question, answer, n)
    for row in taught.rows:
        texts = " -> ".join(" ".join(str(row[part]).split())[:70] for part in ("prompt", "answer"))
        typer.echo(f"{row['value']:>+10.4g}  {row['sample_id']}  {texts}")
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
    list_names: Annotated[bool, typer.Option("--list", help="List the library of questions.")] = False,
) -> None:
    """Run SQL on the database, read-only: one query, or several with ; between them."""
    if list_names:
        return typer.echo("\n".join(question.line() for question in question_library().values()))
    if bool(question) == bool(name):
        raise ValueError('sql: give "SELECT ..." or --named NAME; `oresight sql --list` lists the names')
    query = named_question(name, parameters or []) if name else Question("", "", _read_sql(question))
    try:
        with reading(database, guarded=True) as connection:
            let(connection, **query.parameters)
            for statement in connection.extract_statements(query.sql):
                _print_answer(connection, statement.query, format)
    except DatabaseError as error:
        raise ValueError(str(error)) from error


def explain(sample_id: SampleId, database: Database = "oresight.duckdb") -> None:
    """Explain why a row was kept or dropped: all facts about it, in the order of the steps."""
    facts = _run_query(database, "explain", sample_id=whole_id(database, sample_id))
    if not facts:
        raise ValueError(f"{database}: no row has the sample_id {sample_id}; the view `rows` lists them")
    for fact in facts:
        typer.echo(_tab_separated(fact))


def diff(
    split: Annotated[str, typer.Argument(help="The name of the split.")],
    version_a: Annotated[int, typer.Argument(help="The version to compare with.")],
    version_b: Annotated[int, typer.Argument(help="The version to compare.")],
    database: Database = "oresight.duckdb",
) -> None:
    """List what changed between two versions of a split: counts by cause, then every row."""
    versions = [version for (version,) in _run_query(database, "split_versions", split=split)]
    if not {version_a, version_b} <= set(versions):
        raise ValueError(f"{database}: the versions of the split {split!r} are {versions or 'none'}")
    rows = _run_query(database, "diff", split=split, version_a=version_a, version_b=version_b)
    for (before, after, cause), count in Counter(row[1:4] for row in rows).most_common():
        typer.echo(f"{count:>9,}  {before or 'absent'} -> {after or 'absent'}: {cause}")
    typer.echo(f"{len(rows):>9,}  rows changed")
    for row in rows:
        typer.echo(_tab_separated(row))


def _read_sql(question: str) -> str:
    """The SQL of an argument: the text itself, the content of a file, or standard input."""
    if question.endswith(".sql") and Path(question).is_file():
        return Path(question).read_text(encoding="utf-8")
    return sys.stdin.read() if question == "-" else question


def _run_query(database: str, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """The rows that sql/queries/NAME.sql returns."""
    with reading(database) as connection:
        return execute(connection, name, parameters).fetchall()


def _tab_separated(cells: tuple[Any, ...]) -> str:
    """One line of cells. Line breaks and tabs inside a cell become spaces."""
    return "\t".join("" if cell is None else " ".join(str(cell).split()) for cell in cells)


def _print_answer(connection: Connection, text: str, format: Format) -> None:
    """Run a query and print its answer."""
    if format is Format.TABLE:
        relation = connection.sql(text)
        if relation is not None:
            relation.show(
                max_width=max(80, os.get_terminal_size().columns if sys.stdout.isatty() else 160), max_rows=100
            )
        return
    answer = connection.execute(text)
    names = [column[0] for column in answer.description or []]
    if format is Format.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        while rows := answer.fetchmany(10_000):
            writer.writerows(rows)
    else:
        records = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
        typer.echo(json.dumps(records, default=str, ensure_ascii=False))
