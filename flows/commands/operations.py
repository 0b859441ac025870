"""Commands for operators."""

from pathlib import Path
from typing import Annotated

import typer

from oresight.flows.commands.options import Changes, Config, Database, SampleId, as_text, whole_id
from oresight.flows.commands.output import echo
from oresight.tasks.configfile import read_config
from oresight.tasks.database import copy, newest_version, turn
from oresight.tasks.runs.record import Refused, recorded
from oresight.tasks.runs.user import user_name


def approve(
    config: Config,
    changes: Changes = None,
    reject: Annotated[bool, typer.Option("--reject", help="Reject the version.")] = False,
    note: Annotated[str, typer.Option(help="Your reason. It is stored with the version.")] = "",
    who: Annotated[str, typer.Option(help="Who answers. Default: your user name.")] = "",
) -> None:
    """Approve or reject the newest version of the split, if publishing.approval is required."""
    from oresight.tasks.publishing.gate import current_answer, record_answer

    settings = read_config(config, changes or [])
    version = newest_version(settings.database, settings.splitting.name)
    title, decision = f"{settings.splitting.name}/v{version}", "rejected" if reject else "approved"
    answer = current_answer(settings, version)
    if answer.folder:
        if reject:
            raise ValueError(f"{title}: is published already, in {answer.folder}; a published version is never changed")
        echo(f"{title}: is published already, in {answer.folder}; nothing waits for approval")
    elif settings.publishing.approval == "none":
        if reject:
            raise ValueError("publishing.approval: is none, so no answer is asked for; set it to required to reject")
        echo(f"{title}: no approval is asked for; `oresight publish {config}` publishes it")
    elif answer.decision == decision and not note:
        echo(f"{title}: was {decision} already, by {answer.who}")
    else:
        record_answer(settings, version, decision, as_text(who) or user_name(), as_text(note))
        after = "" if reject else f"; `oresight publish {config}` publishes it"
        echo(f"{title}: {decision}{after}")


def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The copy. An existing file is replaced.")],
    database: Database = "oresight.duckdb",
) -> None:
    """Copy the database to a file. Waits until no run is writing."""
    if not Path(database).is_file():
        raise ValueError(f"{Path(database).absolute()}: no such database; give --database")
    if not to.absolute().parent.is_dir():
        raise ValueError(f"{to.absolute().parent}: no such folder; make it first")
    if to.exists() and not to.is_file():  # a device would be replaced for all programs
        raise ValueError(f"{to}: is {'a folder' if to.is_dir() else 'no plain file'}; name another file")
    if to.exists() and to.samefile(database):
        raise ValueError(f"{to}: is the database itself; name another file")
    with turn(database):
        copy(database, str(to.resolve()))  # a link stays one
    typer.echo(f"{to}: {to.stat().st_size:,} bytes")


def merge(config: Config, changes: Changes = None) -> None:
    """Take the scores that workers left in the store of a cluster into the database, after a run was killed."""
    from oresight.tasks.merge import merge as merge_shards

    with recorded(read_config(config, changes or []), "merge") as run:
        merged = merge_shards(run)
    if not merged.shards:
        typer.echo("nothing to merge")
    else:
        typer.echo(f"merged {merged.shards} shards: {merged.scored} rows scored, {merged.unscorable} cannot be scored")
    if merged.left:
        typer.echo(f"{merged.left} rows are left; `oresight score {config}` scores them")


def verify(
    split: Annotated[
        str,
        typer.Argument(
            metavar="[SPLIT|CONFIG.yaml|FOLDER]",
            help="A split, a configuration, or with --key a published folder. Default: all splits.",
        ),
    ] = "",
    database: Database = "oresight.duckdb",
    key: Annotated[
        Path | None,
        typer.Option(metavar="PUBLIC", help="Check a signed folder with this public key, without a database."),
    ] = None,
) -> None:
    """Compare published folders with the digests in the database: changed, missing and additional files."""
    from oresight.tasks.publishing.integrity import verify as verify_folders
    from oresight.tasks.publishing.integrity import verify_signed

    if key and not (split and Path(split).is_dir()):
        raise ValueError(f"--key: checks a published folder, such as out/curated/v1, and {split!r} is none")
    if Path(split).suffix in (".yaml", ".yml"):
        database, split = read_config(Path(split), []).database, ""
    folders = [verify_signed(Path(split), key)] if key else verify_folders(database, split or None)
    for folder in folders:
        state = f"{len(folder.problems)} problems" if folder.problems else "as published"
        typer.echo(f"{folder.folder}: {state if folder.is_there else 'is not there'}")
        for problem in folder.problems:
            typer.echo(f"  {problem}")
    if wrong := sum(bool(folder.problems) for folder in folders):
        raise Refused(f"{wrong} of {len(folders)} folders are not as published; move them away and publish again")


def forget(
    sample_id: SampleId,
    reason: Annotated[str, typer.Option(help="The reason. It is stored; the row is not.")],
    database: Database = "oresight.duckdb",
    who: Annotated[str, typer.Option(help="Who decides. Default: your user name.")] = "",
) -> None:
    """Permanently delete a row (erasure request), and list the published versions that contain it."""
    from oresight.tasks.forget import forget as forget_row

    if not Path(database).is_file():
        raise ValueError(f"{Path(database).absolute()}: no such database; give --database")
    if not reason.strip():
        raise ValueError("--reason: is empty; give a reason, it stays in the database instead of the row")
    sample_id = whole_id(database, sample_id)
    done = forget_row(database, sample_id, " ".join(as_text(reason).split()), as_text(who) or user_name())
    if done.before:
        typer.echo(f"{sample_id}: was forgotten already, {done.before}; nothing of it was left in the database")
    else:
        again = " and ".join(done.datasets) or "nothing"
        typer.echo(f"{sample_id}: forgotten; the next run ingests {again} again without it")
    for folder, files in done.versions.items():
        typer.echo(f"still in {folder} ({files}); published folders are never changed: delete it yourself")
    for line in done.rejects:
        typer.echo(f"also in {line}, a rejected line: clear it, or the next run stores it in rejects again")
    for old_copy in done.copies:
        typer.echo(f"maybe still in {old_copy}, a copy from before an upgrade: delete it")
    for store in done.stores:
        typer.echo(f"maybe still in {store}, the store of a cluster: delete what killed runs left there")
    typer.echo("clear reports, backups and raw files yourself; the next run writes a new report")


def deploy(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG.yaml]", help="The configuration of the deployments. Default: the demo."),
    ] = None,
    changes: Changes = None,
) -> None:
    """Register deployments/ with the Prefect server at PREFECT_API_URL: pool, limits, schedules, automations."""
    from oresight.flows.server.deploy import deploy as register

    registered = register(read_config(config, changes or [], is_absolute=True) if config else None)
    for name in registered.deployments:
        typer.echo(name)
    for name in registered.kept_automations:
        typer.echo(
            f"automation {name!r}: was changed on the server and stays as it is; "
            "delete it there and deploy again to have that of deployments/automations.yaml"
        )
