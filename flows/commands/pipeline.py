"""The whole pipeline, or one step of it."""

from typing import Annotated

import typer

from oresight.flows.commands.options import Changes, Config
from oresight.tasks.configfile import read_config
from oresight.tasks.database import bring_up_to_date
from oresight.tasks.runs.record import Run, recorded


def curate(config: Config, changes: Changes = None) -> None:
    """The whole pipeline, in this process; no server needed."""
    settings = read_config(config, changes or [])
    from oresight.flows.curate import curate as curate_flow

    curated = curate_flow(settings)
    width = max(len(what) for what in curated.counts)
    for what, count in curated.counts.items():
        typer.echo(f"{what:<{width}}  {count:>9,}")
    typer.echo(f"{'seconds':<{width}}  {curated.seconds:>9.1f}")
    typer.echo(f"split      {curated.folder}{'' if curated.new_version else '  (unchanged, no new version)'}")
    typer.echo(f"checks     {curated.folder.parent / 'checks.html'}")
    typer.echo(f"report     {curated.report}")
    typer.echo(f"database   {settings.database}")


def ingest(config: Config, changes: Changes = None) -> None:
    """Read the dataset and the reference into the database."""
    from oresight.tasks.ingest import ingest as ingest_rows

    with recorded(read_config(config, changes or []), "ingest") as run:
        for done in (ingest_rows(run, "dataset"), ingest_rows(run, "reference")):
            typer.echo(
                f"{done.dataset}: {done.rows} rows, {done.rejected} rejected, {done.duplicates} duplicates"
                + (" (unchanged)" if done.reused else "")
            )


def score(
    config: Config,
    changes: Changes = None,
    exact: Annotated[
        bool, typer.Option("--exact/--index", help="Run the model on every row, or on the trusted rows only.")
    ] = True,
) -> None:
    """Score the rows that have no fresh score, and the canaries.

    With --index a new reference takes seconds: the macro value_against has its values, from the index.
    """
    from oresight.flows.pipeline import Pipeline

    settings = read_config(config, changes or [])
    with recorded(settings, "score") as run:
        pipeline = Pipeline(run)
        pipeline.plant()
        done = pipeline.score(exact=exact)
    typer.echo(f"{done.model}: {done.scored} rows scored, {done.reused} reused, {done.unscorable} cannot be scored")
    if not exact:
        typer.echo(f"values from the index: FROM value_against('{settings.reference.name}'); --exact settles them")


def flag(config: Config, changes: Changes = None) -> None:
    """Learn from the canaries what is suspicious, run all checks, and flag the rows that they return."""
    from oresight.flows.pipeline import Pipeline

    with recorded(read_config(config, changes or []), "flag") as run:
        pipeline = Pipeline(run)
        checks = [*pipeline.inspect(), *pipeline.judge()]
    for done in checks:
        typer.echo(f"{done.name}: {done.rows_failed} of {done.rows_tested} rows ({done.severity})")


def split(config: Config, changes: Changes = None) -> None:
    """Decide which rows stay."""
    from oresight.tasks.split import split as decide_rows

    with recorded(read_config(config, changes or []), "split") as run:
        done = decide_rows(run)
    typer.echo(
        f"{done.name}/v{done.version}: {done.rows_kept} rows kept, {done.rows_dropped} dropped"
        + ("" if done.new else " (unchanged)")
    )


def publish(config: Config, changes: Changes = None) -> None:
    """Write the newest version of the split to its folder."""
    from oresight.tasks.publish import publish as publish_version

    with recorded(read_config(config, changes or []), "publish") as run:
        done = publish_version(run)
    typer.echo(f"{done.folder}{'' if done.new else ' (unchanged)'}")


def report(config: Config, changes: Changes = None) -> None:
    """One HTML file: what was found, flagged rows with their pictures."""
    from oresight.tasks.report import report as write_report

    settings = read_config(config, changes or [])
    bring_up_to_date(settings.database)
    typer.echo(str(write_report(Run(settings)).page))
