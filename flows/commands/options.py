"""Arguments and options that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from oresight.tasks.database import execute, reading

Config = Annotated[
    Path, typer.Argument(metavar="CONFIG.yaml", help="The configuration file. The README lists its keys.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.SUBKEY=VALUE", help="Change a key of the configuration. May be repeated."),
]
Database = Annotated[str, typer.Option(help="The DuckDB file.")]
SampleId = Annotated[str, typer.Argument(help="The sample_id of the row, or a beginning that no other row has.")]


def as_text(argument: str) -> str:
    """An argument that is a text. Where the locale is no UTF-8, Python has not decoded its bytes."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return os.fsencode(argument).decode("utf-8", "replace")
    return argument


def whole_id(database: str, beginning: str) -> str:
    """The sample_id that begins so, or the text itself if none does. Raises ValueError if several do."""
    beginning = beginning.strip().lower()
    with reading(database) as connection:
        ids = [sample_id for (sample_id,) in execute(connection, "row_ids", {"beginning": beginning}).fetchall()]
    if len(ids) > 1:
        raise ValueError(f"{database}: several rows have a sample_id that begins with {beginning!r}; give more of it")
    return str(ids[0]) if ids else beginning
