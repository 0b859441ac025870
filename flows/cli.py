"""Curate instruction and VQA data.

Exit codes: 0 done, 1 refused, 2 unusable input, 3 a step failed (run it again), 130 ended by Ctrl-C.
"""

import importlib.metadata
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from oresight.flows import collect_seldom  # sets Prefect's environment before Prefect is imported
from oresight.flows.commands import evaluation, hub, init, operations, pipeline, plan, questions, review
from oresight.flows.commands.output import LogLines, use_streams
from oresight.tasks.database import DatabaseBusy, DatabaseDamaged
from oresight.tasks.pages.texts import visible
from oresight.tasks.runs.faults import ResourceExhausted, Unreachable, explain_faults
from oresight.tasks.runs.record import Refused

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as of other programs."""
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Curate": (
        init.init, pipeline.curate, plan.plan, review.trust, pipeline.report, review.review, hub.push,
    ),
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
    collect_seldom()
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # our own log has one line per step
    use_streams()
    logger = logging.getLogger("oresight")
    logger.addHandler(LogLines())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    code = 3
    try:
        with explain_faults():
            app()  # raises SystemExit, after a message of its own for an unknown command or option
    except SystemExit as ended:
        code = _end(ended)
    except Refused as error:
        code = _complain(f"refused: {error}", 1)
    except (DatabaseBusy, DatabaseDamaged, ResourceExhausted, Unreachable) as error:
        code = _complain(str(error), 3)
    except ValueError as error:
        code = _complain(str(error), 2)
    except PermissionError as error:
        file = Path(str(error.filename or ".")).absolute()
        code = _complain(f"{file}: {error.strerror}; give this user the permission, or name another path", 2)
    except Exception as error:
        if os.environ.get("ORESIGHT_TRACEBACK"):
            traceback.print_exc()
        name = type(error).__name__
        what = f"{name}: {error}" if str(error) else name
        code = _complain(f"{what}; run again to continue, with ORESIGHT_TRACEBACK=1 to see where it failed", 3)
    except KeyboardInterrupt:
        code = _complain("interrupted; what is stored stays", INTERRUPTED)
    sys.exit(code)


def _end(ended: SystemExit) -> int:
    """The exit code of a command that ended. One whose reader has left (`| head -1`) has done its work."""
    try:
        sys.stdout.flush()
        is_read = not isinstance(ended.__context__, BrokenPipeError)
    except BrokenPipeError:
        is_read = False
    if not is_read:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes when it ends
        return 0
    code = int(ended.code or 0)
    return _complain("interrupted; what is stored stays", code) if code == INTERRUPTED else code


def _complain(message: str, code: int) -> int:
    """Print one line on stderr; returns the exit code."""
    sys.stderr.write(f"oresight: {visible(' '.join(message.split()))}\n")
    return code


if __name__ == "__main__":
    main()
