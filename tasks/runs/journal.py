"""Writes the log of a run as JSON lines beside the database, to FILE.logs/RUN.jsonl, for readers without Prefect.

Each line names the dataset, the run and the step. No line holds text of rows.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter

from oresight.tasks.runs.progress import log

OWN = logging.getLogger("oresight.journal")
OWN.propagate = False  # the terminal shows in another way how a run ended


class _Quiet(logging.FileHandler):
    """A log file whose own write errors are ignored: a full disk already ends the run with one message."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def journal(database: str, dataset: str, flow: str, run_id: str) -> Iterator[None]:
    """Write the messages that are logged inside this context to the file, and how it ended."""
    file = Path(f"{database}.logs") / f"{run_id}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = _Quiet(file, encoding="utf-8")
    fields = {"dataset": dataset, "run": run_id}
    names = {"asctime": "time", "levelname": "level"}
    handler.setFormatter(
        JsonFormatter("%(asctime)s %(levelname)s %(step)s %(message)s", rename_fields=names, static_fields=fields)
    )
    handler.addFilter(lambda record: record.__dict__.setdefault("step", _step() or flow) is not None)
    try:
        for logger in (log(), OWN):
            logger.addHandler(handler)
        yield
        OWN.info("%s: done", flow)
    except BaseException as error:
        OWN.error("%s: %s: %s", flow, type(error).__name__, error)
        raise
    finally:
        for logger in (log(), OWN):
            logger.removeHandler(handler)
        handler.close()


def _step() -> str | None:
    """The Prefect task that is running, if there is one."""
    if "prefect.context" not in sys.modules:  # importing it takes seconds and configures the root logger
        return None
    from prefect.context import TaskRunContext

    context = TaskRunContext.get()
    return context.task.name if context else None
