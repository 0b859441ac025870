"""What several commands take."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The configuration; its keys are in the README.")]
Changes = Annotated[list[str] | None, typer.Option("--set", metavar="KEY.SUBKEY=VALUE", help="Change a key of it.")]
Database = Annotated[str, typer.Option(help="The database to ask.")]
