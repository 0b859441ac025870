"""The command that takes a published version to the Hugging Face hub."""

from typing import Annotated

import typer

from oresight.flows.commands.options import Changes, Config
from oresight.tasks.configfile import read_config
from oresight.tasks.database import bring_up_to_date
from oresight.tasks.runs.record import Run


def push(
    config: Config,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The dataset repository on the hub.")],
    changes: Changes = None,
    version: Annotated[int | None, typer.Option(min=1, help="The version. Default: the newest published one.")] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Anyone may read it. Default: a private repository.")
    ] = False,
) -> None:
    """Upload a published version of the split, with its card, to the Hugging Face hub."""
    from oresight.tasks.push import push as push_version

    settings = read_config(config, changes or [])
    bring_up_to_date(settings.database)
    typer.echo(push_version(Run(settings), repository, version, public=public))
