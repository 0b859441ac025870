"""Curate instruction and VQA data. Exit codes: 0 done, 1 refused, 2 unusable input, 3 a step failed (run it again)."""

import importlib.metadata
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

import oresight.flows  # noqa: F401  sets Prefect's environment before Prefect is imported
from oresight.flows.commands import evaluation, init, operations, pipeline, plan, questions, review
from oresight.tasks.database import DatabaseBusy, DatabaseDamaged
from oresight.tasks.runs.faults import ResourceExhausted, explain_faults
from oresight.tasks.runs.record import Refused

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Curate": (init.init, pipeline.curate, plan.plan, review.trust, pipeline.report, review.review),
    "Ask": (questions.sql, questions.explain, questions.diff, questions.ask),
    "Measure": (evaluation.evaluate, evaluation.settle),
    "One step at a time": (
        pipeline.ingest, pipeline.score, pipeline.flag, pipeline.split, pipeline.publish,
    ),
    "Operate": (
        operations.deploy, operations.approve, operations.merge, operations.backup, operations.verify,
        operations.forget,
    ),
}  # fmt: skip
"""Commands by help panel, in the order in which people need them."""
for _panel, _commands in PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"oresight {importlib.metadata.version('oresight')}")
        raise typer.Exit


@app.callback()
def _program(
    _: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Options that need no command."""


def main() -> NoReturn:
    """Run the command line. Errors become one line on stderr and an exit code."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # our own log has one line per step
    handler, logger = logging.StreamHandler(), logging.getLogger("oresight")
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    code = 3
    try:
        with explain_faults():
            app()  # raises SystemExit: 0, or 2 with its own message for an unknown command or option
    except Refused as error:
        code = _complain(f"refused: {error}", 1)
    except (DatabaseBusy, DatabaseDamaged, ResourceExhausted) as error:
        code = _complain(str(error), 3)
    except ValueError as error:
        code = _complain(str(error), 2)
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("ORESIGHT_TRACEBACK"):
            traceback.print_exc()
        name = type(error).__name__
        what = f"{name}: {error}" if str(error) else name
        code = _complain(f"{what}; run again to continue, with ORESIGHT_TRACEBACK=1 to see where it failed", 3)
    sys.exit(code)


def _complain(message: str, code: int) -> int:
    """Print one line on stderr; returns the exit code."""
    sys.stderr.write(f"oresight: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    main()
