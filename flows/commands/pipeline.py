"""Commands that run the pipeline, or one step of it."""

from typing import Annotated

import typer

from oresight.flows.commands.curated import document, next_steps, sentences, summary
from oresight.flows.commands.options import Changes, Config
from oresight.flows.commands.output import Json, echo, json_only, print_facts, print_json, warnings_logged
from oresight.tasks.configfile import read_config
from oresight.tasks.database import bring_up_to_date
from oresight.tasks.runs.record import Run, recorded


def curate(config: Config, changes: Changes = None, as_json: Json = False) -> None:
    """Run the whole pipeline in this process. No server is needed."""
    settings = read_config(config, changes or [])
    from oresight.flows.curate import curate as curate_flow
    from oresight.flows.server.temporary import start_temporary_server

    with json_only(as_json), warnings_logged() as warnings:
        start_temporary_server()
        curated = curate_flow(settings)
    if as_json:
        print_json(document(curated, settings, config, warnings))
        return
    echo("\n".join([*summary(curated, settings), ""]))
    print_facts([("", sentence) for sentence in sentences(curated, config)])
    typer.echo("\nnext:")
    for command, purpose in next_steps(curated, settings, config, changes or []):
        echo(f"  {command}\n      {purpose}")


def ingest(config: Config, changes: Changes = None) -> None:
    """Read the dataset and the reference into the database."""
    from oresight.tasks.ingest import ingest as ingest_rows

    with recorded(read_config(config, changes or []), "ingest") as run:
        for ingested in (ingest_rows(run, "dataset"), ingest_rows(run, "reference")):
            typer.echo(
                f"{ingested.dataset}: {ingested.rows} rows, {ingested.rejected} rejected,"
                f" {ingested.duplicates} duplicates{' (unchanged)' if ingested.reused else ''}"
            )


def score(
    config: Config,
    changes: Changes = None,
    exact: Annotated[
        bool, typer.Option("--exact/--index", help="Run the model on all rows, or on the trusted rows only.")
    ] = True,
) -> None:
    """Score the rows that have no fresh score, and the canaries.

    With --index a new reference takes seconds: the macro value_against computes approximate values from the index.
    """
    from oresight.flows.pipeline import Pipeline

    settings = read_config(config, changes or [])
    with recorded(settings, "score") as run:
        if not exact:
            run.require_trusted("score --index")
        pipeline = Pipeline(run)
        pipeline.plant()
        scored = pipeline.score(exact=exact)
    typer.echo(
        f"{scored.model}: {scored.scored} rows scored, {scored.reused} reused, {scored.unscorable} cannot be scored"
    )
    if not exact:
        typer.echo(f"approximate values: FROM value_against('{settings.reference_name}'); --exact computes exact ones")


def flag(config: Config, changes: Changes = None) -> None:
    """Fit the detector on the canaries, run all checks, and flag the rows that they return."""
    from oresight.flows.pipeline import Pipeline

    with recorded(read_config(config, changes or []), "flag") as run:
        pipeline = Pipeline(run)
        checks = [*pipeline.inspect(), *pipeline.judge()]
    for checked in checks:
        typer.echo(f"{checked.name}: {checked.rows_failed} of {checked.rows_tested} rows ({checked.severity})")


def split(config: Config, changes: Changes = None) -> None:
    """Decide which rows the split keeps."""
    from oresight.tasks.split import split as decide_rows

    with recorded(read_config(config, changes or []), "split") as run:
        decided = decide_rows(run)
    typer.echo(
        f"{decided.name}/v{decided.version}: {decided.rows_kept} rows kept, {decided.rows_dropped} dropped"
        f"{'' if decided.new else ' (unchanged)'}"
    )


def publish(config: Config, changes: Changes = None) -> None:
    """Write the newest version of the split to its folder."""
    from oresight.tasks.publish import publish as publish_version

    with recorded(read_config(config, changes or []), "publish") as run:
        published = publish_version(run)
    typer.echo(f"{published.folder}{'' if published.new else ' (unchanged)'}")


def report(config: Config, changes: Changes = None) -> None:
    """Write the report: one HTML file with the results and the flagged rows with their pictures."""
    from oresight.tasks.report import report as write_report

    settings = read_config(config, changes or [])
    bring_up_to_date(settings.database)
    typer.echo(str(write_report(Run(settings)).page))
