"""What a run said, as JSON lines beside the database: FILE.logs/RUN.jsonl, for whoever reads it without Prefect.

Each line names the dataset, the run and the step; text of rows is in none of them.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter

from oresight.tasks.runs.progress import log

OWN = logging.getLogger("oresight.journal")
OWN.propagate = False  # how a run ended is told elsewhere to those who look at a terminal


class _Quiet(logging.FileHandler):
    """A disk that is full ends the run with one sentence; that it could not be kept here too is no second one."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def journal(database: str, dataset: str, flow: str, run_id: str) -> Iterator[None]:
    """Keep what is logged meanwhile, and how it ended."""
    file = Path(f"{database}.logs") / f"{run_id}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = _Quiet(file, encoding="utf-8")
    told = {"dataset": dataset, "run": run_id}
    names = {"asctime": "time", "levelname": "level"}
    handler.setFormatter(
        JsonFormatter("%(asctime)s %(levelname)s %(step)s %(message)s", rename_fields=names, static_fields=told)
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
    """The Prefect task that is speaking, if there is one."""
    from prefect.context import TaskRunContext

    context = TaskRunContext.get()
    return context.task.name if context else None
