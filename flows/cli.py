"""Each command is a flow, a step or a query. Exit codes: 0 done, 1 refused, 2 unusable input, 3 run it again."""

import logging
import os
import sys
import traceback
from contextlib import suppress
from getpass import getuser
from typing import Annotated, NoReturn

import typer

import flows  # noqa: F401  sets Prefect's environment before Prefect is imported
from flows import operate
from flows.arguments import Changes, Config
from flows.ask import ask, diff, explain, sql
from flows.plan import plan
from flows.prove import evaluate, settle
from tasks.config import Curate, read
from tasks.database import DatabaseBusy, newest_version, turn
from tasks.fault import Lacking, in_a_sentence
from tasks.run import Refused, recorded

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for command in (
    ask,
    diff,
    evaluate,
    explain,
    plan,
    settle,
    sql,
    operate.approve,
    operate.backup,
    operate.deploy,
    operate.forget,
):
    app.command()(command)


@app.command()
def curate(config: Config, changes: Changes = None) -> None:
    """The whole pipeline, in this process; no server needed."""
    settings = read(config, changes or [])
    from flows.curate import curate as pipeline

    curated = pipeline(settings)
    width = max(len(what) for what in curated.counts)
    for what, count in curated.counts.items():
        typer.echo(f"{what:<{width}}  {count:>9,}")
    typer.echo(f"{'seconds':<{width}}  {curated.seconds:>9.1f}")
    typer.echo(f"split      {curated.folder}{'' if curated.new_version else '  (unchanged, no new version)'}")
    typer.echo(f"checks     {curated.folder.parent / 'checks.html'}")
    typer.echo(f"report     {curated.report}")
    typer.echo(f"database   {settings.database}")


@app.command()
def ingest(config: Config, changes: Changes = None) -> None:
    """Read the dataset and the reference into the database."""
    from tasks.ingest import ingest as step

    settings = read(config, changes or [])
    with recorded(settings, "ingest") as run_id:
        for done in (
            step(settings.database, settings.dataset, "dataset", run_id),
            step(settings.database, settings.reference, "reference", run_id),
        ):
            typer.echo(
                f"{done.dataset}: {done.rows} rows, {done.rejected} rejected, {done.duplicates} duplicates"
                + (" (unchanged)" if done.reused else "")
            )


@app.command()
def score(
    config: Config,
    changes: Changes = None,
    exact: Annotated[
        bool, typer.Option("--exact/--index", help="Ask the model about every row, or about the trusted rows only.")
    ] = True,
) -> None:
    """Score the rows that have no fresh score, and the canaries that are planted for it.

    With --index a new reference takes seconds: the macro value_against has its values, from the index.
    """
    from tasks.plant import plant
    from tasks.score import score as step

    settings = read(config, changes or [])
    with recorded(settings, "score") as run_id:
        plant(settings, run_id)
        done = step(settings, run_id, exact=exact)
    typer.echo(f"{done.model}: {done.scored} rows scored, {done.reused} reused, {done.unscorable} cannot be scored")
    if not exact:
        typer.echo(f"values from the index: FROM value_against('{settings.reference.name}'); --exact settles them")


@app.command()
def flag(config: Config, changes: Changes = None) -> None:
    """Learn from the canaries what is suspicious, run all checks, and flag the rows that they return."""
    from tasks.check import check as step
    from tasks.flag import flag as judge

    settings = read(config, changes or [])
    names = settings.dataset.name, settings.reference.name
    with recorded(settings, "flag") as run_id:
        key, _ = _model(settings)
        raw = step(settings.database, "raw", *names, run_id, flagging=settings.flagging)
        judge(settings, key, run_id)
        found = [*raw, *step(settings.database, "score", *names, run_id, key, settings.flagging)]
    for done in found:
        typer.echo(f"{done.name}: {done.rows_failed} of {done.rows_tested} rows ({done.severity})")


@app.command()
def split(config: Config, changes: Changes = None) -> None:
    """Decide which rows stay."""
    from tasks.split import split as step

    settings = read(config, changes or [])
    with recorded(settings, "split") as run_id:
        key, _ = _model(settings)
        done = step(settings.database, settings.splitting, settings.dataset.name, settings.reference.name, key, run_id)
    typer.echo(
        f"{done.name}/v{done.version}: {done.rows_kept} rows kept, {done.rows_dropped} dropped"
        + ("" if done.new else " (unchanged)")
    )


@app.command()
def publish(config: Config, changes: Changes = None) -> None:
    """Write the newest version of the split to its folder."""
    from tasks.publish import publish as step

    settings = read(config, changes or [])
    with recorded(settings, "publish"):
        version = newest_version(settings.database, settings.splitting.name)
        done = step(settings.database, settings, settings.splitting.name, version)
    typer.echo(f"{done.folder}{'' if done.new else ' (unchanged)'}")


@app.command()
def report(config: Config, changes: Changes = None) -> None:
    """One HTML file: what was found, flagged rows with their pictures."""
    from tasks.report import report as step

    settings = read(config, changes or [])
    key, model = _model(settings)
    typer.echo(str(step(settings, key, model).page))


@app.command()
def review(
    config: Config,
    changes: Changes = None,
    port: Annotated[int, typer.Option(help="The port on this machine.")] = 8090,
    who: Annotated[str, typer.Option(help="Whose verdicts these are; by default your name on this machine.")] = "",
    show: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """A local page that shows flagged rows, the most suspicious first: keep, drop or relabel with one key."""
    from flows.review import serve

    settings = read(config, changes or [])
    with suppress(DatabaseBusy), turn(settings.database, wait_s=1):
        pass  # so that the tables are those of this version; whoever has the turn has seen to that
    key, _ = _model(settings)
    typer.echo(f"http://127.0.0.1:{port}/  (end with Ctrl-C; the next run obeys the verdicts)")
    serve(settings, key, who or getuser(), port, show=show)


def _model(settings: Curate) -> tuple[str, str]:
    """The key and the name under which this configuration's scores are kept."""
    from tasks.score import register
    from tasks.scoring.source import find

    return register(settings, find(settings.model.name, settings.model.revision, settings.model.adapter))


def main() -> NoReturn:
    """Run the command line and turn what went wrong into one line and an exit code."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # one line a step comes from us
    lines, ours = logging.StreamHandler(), logging.getLogger("oresight")
    lines.setFormatter(logging.Formatter("%(message)s"))
    ours.addHandler(lines)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    code = 3
    try:
        with in_a_sentence():
            app()  # ends by SystemExit: 0, or 2 with its own message for a command that is not one
    except Refused as error:
        code = _say(f"refused: {error}", 1)
    except (DatabaseBusy, Lacking) as error:
        code = _say(str(error), 3)
    except ValueError as error:
        code = _say(str(error), 2)
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("ORESIGHT_TRACEBACK"):
            traceback.print_exc()
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        code = _say(f"{what}; run again to continue, with ORESIGHT_TRACEBACK=1 for where it happened", 3)
    sys.exit(code)


def _say(message: str, code: int) -> int:
    sys.stderr.write(f"oresight: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    main()
