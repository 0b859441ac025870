"""Curate instruction and VQA data.

Exit codes: 0 done, 1 refused, 2 unusable input, 3 a step failed (run it again), 130 ended by Ctrl-C.
"""

import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from oresight.flows import collect_seldom  # sets Prefect's environment before Prefect is imported
from oresight.flows.commands import evaluation, hub, init, operations, pipeline, plan, questions, review
from oresight.flows.commands.ending import exit_code_of
from oresight.flows.commands.output import LogLines, use_streams


class Commands(TyperGroup):
    """The commands. Typer would take an EOFError of a library for a person's Ctrl-D, and say `Aborted`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was given."""
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise RuntimeError(f"a file ends before its time ({error})") from error


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
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
    sys.exit(exit_code_of(app))


if __name__ == "__main__":
    main()
