"""The command line. Exit codes: 0 done, 1 refused, 2 unusable input, 3 a step failed: run it again."""

import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

import typer

import oresight.flows  # noqa: F401  sets Prefect's environment before Prefect is imported
from oresight.flows.commands import evaluation, operations, pipeline, plan, questions, review
from oresight.tasks.database import DatabaseBusy
from oresight.tasks.runs.faults import ResourceExhausted, explain_faults
from oresight.tasks.runs.record import Refused

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Curate": (pipeline.curate, plan.plan, pipeline.report, review.review),
    "Ask": (questions.sql, questions.explain, questions.diff, questions.ask),
    "Measure": (evaluation.evaluate, evaluation.settle),
    "One step at a time": (
        pipeline.ingest, pipeline.score, pipeline.flag, pipeline.split, pipeline.publish,
    ),
    "Operate": (operations.deploy, operations.approve, operations.backup, operations.forget),
}  # fmt: skip
"""The commands in the order in which people need them."""
for _panel, _commands in PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)


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
        with explain_faults():
            app()  # ends by SystemExit: 0, or 2 with its own message for a command that is not one
    except Refused as error:
        code = _say(f"refused: {error}", 1)
    except (DatabaseBusy, ResourceExhausted) as error:
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
