"""The command that opens the review page."""

from getpass import getuser
from typing import Annotated

import typer

from oresight.flows.commands.options import Changes, Config
from oresight.tasks.configfile import read_config
from oresight.tasks.database import bring_up_to_date
from oresight.tasks.runs.record import Run


def review(
    config: Config,
    changes: Changes = None,
    port: Annotated[int, typer.Option(help="The port of the page on this machine.")] = 8090,
    who: Annotated[str, typer.Option(help="Who gives the verdicts. Default: your user name.")] = "",
    show: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Open a local page of flagged rows, the most suspicious first: keep, drop or relabel with one key."""
    from oresight.flows.server.review_page import serve

    run = Run(read_config(config, changes or []))
    bring_up_to_date(run.config.database)
    _ = run.model  # an unusable model is an error here rather than on the page
    typer.echo(f"http://127.0.0.1:{port}/  (end with Ctrl-C; the next run obeys the verdicts)")
    serve(run, who or getuser(), port, show=show)
