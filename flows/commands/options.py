"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path, typer.Argument(metavar="CONFIG.yaml", help="The configuration file. The README lists its keys.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.SUBKEY=VALUE", help="Change a key of the configuration. May be repeated."),
]
Database = Annotated[str, typer.Option(help="The DuckDB file.")]
