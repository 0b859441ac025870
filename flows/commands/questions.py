"""The commands that ask the database, and change nothing in it."""

import csv
import json
import os
import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from oresight.flows.commands.options import Changes, Config, Database
from oresight.tasks.configfile import read_config
from oresight.tasks.database import Connection, DatabaseError, execute, let, reading
from oresight.tasks.runs.record import Run
from oresight.tasks.sqlfile import Question, named_question, question_library


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def ask(
    config: Config,
    question: Annotated[str, typer.Argument(help="What the model will be asked.")],
    answer: Annotated[str, typer.Argument(help="What it should say.")],
    changes: Changes = None,
    n: Annotated[int, typer.Option("-n", min=1, help="So many rows of each kind.")] = 5,
) -> None:
    """The rows of the dataset that teach an answer, and those that work against it; from the index, in seconds."""
    from oresight.tasks.ask import ask as rows_that_teach

    taught = rows_that_teach(Run(read_config(config, changes or [])), question, answer, n)
    for row in taught.rows:
        texts = " -> ".join(" ".join(str(row[part]).split())[:70] for part in ("prompt", "answer"))
        typer.echo(f"{row['value']:>+10.4g}  {row['sample_id']}  {texts}")
    close = "not measured" if taught.correlation is None else f"{taught.correlation:.4f}"
    typer.echo(f"values from the index, whose correlation with exact ones is {close}")


def sql(
    question: Annotated[
        str, typer.Argument(metavar='"SELECT ..."', help="SQL, a file that holds it, or - for standard input.")
    ] = "",
    database: Database = "oresight.duckdb",
    format: Annotated[Format, typer.Option(help="How to print the answer.")] = Format.TABLE,
    name: Annotated[str, typer.Option("--named", metavar="NAME", help="A question from the library.")] = "",
    given: Annotated[list[str] | None, typer.Option("--with", metavar="KEY=VALUE", help="A parameter of it.")] = None,
    known: Annotated[bool, typer.Option("--list", help="List the library of questions.")] = False,
) -> None:
    """Ask the database; read-only."""
    if known:
        return typer.echo("\n".join(question.line() for question in question_library().values()))
    if bool(question) == bool(name):
        raise ValueError('sql: give "SELECT ..." or --named NAME; `oresight sql --list` lists the names')
    asked = named_question(name, given or []) if name else Question("", "", _text(question))
    try:
        with reading(database, guarded=True) as connection:
            let(connection, **asked.parameters)
            _show(connection, asked.sql, format)
    except DatabaseError as error:
        raise ValueError(str(error)) from error


def explain(sample_id: str, database: Database = "oresight.duckdb") -> None:
    """Why a row is where it is."""
    facts = _answer(database, "explain", sample_id=sample_id)
    if not facts:
        raise ValueError(f"{database}: nothing is known about {sample_id}")
    for fact in facts:
        typer.echo(_line(fact))


def diff(split: str, version_a: int, version_b: int, database: Database = "oresight.duckdb") -> None:
    """What changed between two versions of a split: how many rows by cause, then each row."""
    there = [version for (version,) in _answer(database, "split_versions", split=split)]
    if not {version_a, version_b} <= set(there):
        raise ValueError(f"{database}: the versions of the split {split!r} are {there or 'none'}")
    rows = _answer(database, "diff", split=split, version_a=version_a, version_b=version_b)
    for (was, now, cause), count in Counter(row[1:4] for row in rows).most_common():
        typer.echo(f"{count:>9,}  {was or 'absent'} -> {now or 'absent'}: {cause}")
    typer.echo(f"{len(rows):>9,}  rows are decided otherwise")
    for row in rows:
        typer.echo(_line(row))


def _text(question: str) -> str:
    """SQL as it was given, from a file or from standard input."""
    if question.endswith(".sql") and Path(question).is_file():
        return Path(question).read_text(encoding="utf-8")
    return sys.stdin.read() if question == "-" else question


def _answer(database: str, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """The answer of sql/queries/NAME.sql."""
    with reading(database) as connection:
        return execute(connection, name, parameters).fetchall()


def _line(cells: tuple[Any, ...]) -> str:
    return "\t".join("" if cell is None else " ".join(str(cell).split()) for cell in cells)


def _show(connection: Connection, text: str, format: Format) -> None:
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
