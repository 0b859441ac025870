"""The commands that open a page on which a person decides about rows."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from oresight.flows.commands.options import Changes, Config
from oresight.tasks.config import Curate
from oresight.tasks.configfile import read_config
from oresight.tasks.database import bring_up_to_date
from oresight.tasks.review import trust_queue
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.runs.user import user_name
from oresight.tasks.trusted import trusted_rows

_REMOVE = "to use the rows that you trust here, remove the section `reference` of the configuration"
Port = Annotated[int, typer.Option(help="The port of the page on this machine.")]
Who = Annotated[str, typer.Option(help="Who decides. Default: your user name.")]
Show = Annotated[bool, typer.Option(help="Open the page in a browser.")]


def review(
    config: Config,
    changes: Changes = None,
    port: Port = 8090,
    who: Who = "",
    show: Show = True,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the flags to a .csv or .parquet file instead of opening the page."),
    ] = None,
) -> None:
    """Open a local page of flagged rows: filter them, and keep, drop or relabel one with a key, or all at once."""
    run = Run(read_config(config, changes or []))
    bring_up_to_date(run.config.database)
    _ = run.model  # an unusable model is an error here rather than on the page
    if export:
        from oresight.tasks.reviewing.export import CSV_NOTE, export_flags

        count, note = export_flags(run, export), f"; {CSV_NOTE}" if export.suffix.lower() == ".csv" else ""
        typer.echo(f"{export.absolute()}: {count:,} rows{note}")
        return
    from oresight.flows.server.local_page import serve
    from oresight.flows.server.review_page import Review
    from oresight.flows.server.review_routes import add_routes

    add_routes(run)
    typer.echo(f"http://127.0.0.1:{port}/  (end with Ctrl-C; the next run obeys the verdicts)")
    serve(partial(Review.open, run, who or user_name()), Review.title, port=port, show=show)


def trust(
    config: Config,
    changes: Changes = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows to offer, those of earlier sessions included.")] = 100,
    port: Port = 8090,
    who: Who = "",
    show: Show = True,
) -> None:
    """Make trusted rows: a local page offers a diverse sample of the dataset, and you keep, drop or correct each row.

    Rows that you keep or correct become the reference of a configuration that names none. Each decision is stored at
    once, and the command continues where an earlier one stopped.
    """
    from oresight.flows.server.local_page import serve
    from oresight.flows.server.trust_page import Trust
    from oresight.tasks.ingest import ingest

    settings = read_config(config, changes or [])
    with recorded(settings, "trust") as run:
        ingest(run, "dataset")
    if settings.reference:
        typer.echo(f"{config} names the reference {settings.reference.name!r}; {_REMOVE}")
    typer.echo(f"http://127.0.0.1:{port}/  (end with Ctrl-C; every decision is stored at once)")
    page = partial(Trust.open, settings, who or user_name(), lambda: trust_queue(settings, rows))
    serve(page, Trust.title, port=port, show=show)
    typer.echo(_after_session(settings, config))


def _after_session(settings: Curate, config: Path) -> str:
    """How many rows are trusted, where they are, and what to do next."""
    file = Path(trusted_rows(settings.model_copy(update={"reference": None})).path)
    if not file.is_file():
        return f"no row is trusted yet; `oresight trust {config}` continues"
    count = f"{len(file.read_bytes().splitlines())} rows are trusted ({file})"
    if settings.reference:
        return f"{count}; {_REMOVE}"
    return f"{count}; `oresight curate {config}` uses them as the reference"
