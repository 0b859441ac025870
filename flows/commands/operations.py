"""The commands of those who run Oresight for others."""

from getpass import getuser
from pathlib import Path
from typing import Annotated

import typer

from oresight.flows.commands.options import Changes, Config, Database
from oresight.tasks.configfile import read_config
from oresight.tasks.database import copy, newest_version, turn


def approve(
    config: Config,
    changes: Changes = None,
    reject: Annotated[bool, typer.Option("--reject", help="Say no.")] = False,
    note: Annotated[str, typer.Option(help="Why; it is kept with the version.")] = "",
    who: Annotated[str, typer.Option(help="Whose answer it is; by default your name on this machine.")] = "",
) -> None:
    """Say yes or no to publishing the newest version of the split, where publishing.approval is required."""
    from oresight.tasks.publishing.gate import record_answer

    settings = read_config(config, changes or [])
    version = newest_version(settings.database, settings.splitting.name)
    decision = "rejected" if reject else "approved"
    record_answer(settings, version, decision, who or getuser(), note)
    after = "" if reject else "; `oresight publish CONFIG.yaml` publishes it"
    typer.echo(f"{settings.splitting.name}/v{version}: {decision}{after}")


def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes; what stands there is replaced.")],
    database: Database = "oresight.duckdb",
) -> None:
    """Copy the database to a file, between two runs: it waits for the one that is writing."""
    if not Path(database).is_file():
        raise ValueError(f"{database}: no such database; give --database")
    with turn(database):
        copy(database, str(to))
    typer.echo(f"{to}: {to.stat().st_size:,} bytes")


def forget(
    sample_id: str,
    reason: Annotated[str, typer.Option(help="Why; it is kept, the row is not.")],
    database: Database = "oresight.duckdb",
    who: Annotated[str, typer.Option(help="Who says so; by default your name on this machine.")] = "",
) -> None:
    """Remove a row's text and pictures for good, and list the published versions that hold it."""
    from oresight.tasks.forget import forget as step

    if not Path(database).is_file():
        raise ValueError(f"{database}: no such database; give --database")
    if not reason.strip():
        raise ValueError("--reason: is empty; say why, it is what is left of the row")
    done = step(database, sample_id, " ".join(reason.split()), who or getuser())
    typer.echo(
        f"{sample_id}: forgotten; the next run reads {' and '.join(done.datasets) or 'nothing'} again without it"
    )
    for folder, files in done.versions.items():
        typer.echo(f"still in {folder} ({files}), which is never changed: delete it")
    for place in done.rejects:
        typer.echo(f"also in {place}, which is rejected: clear it, or the next run quotes it again in rejects")
    for copy_before in done.copies:
        typer.echo(f"maybe still in {copy_before}, a copy from before an upgrade: delete it")
    typer.echo("reports, backups and the raw files are yours to clear; a new report is written by the next run")


def deploy(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG.yaml]", help="What the deployments run with; else the demo.")
    ] = None,
    changes: Changes = None,
) -> None:
    """Tell the Prefect server at PREFECT_API_URL what is in deployments/: pool, limits, schedules, automations."""
    from oresight.flows.server.deploy import deploy as register

    registered = register(read_config(config, changes or []) if config else None)
    for name in registered.deployments:
        typer.echo(name)
    for name in registered.kept_automations:
        typer.echo(
            f"automation {name!r}: was changed on the server and stays as it is; "
            "delete it there and deploy again to have that of deployments/automations.yaml"
        )
