"""Shows the progress of a step: a line in the log, a bar in the terminal, a progress artifact in the Prefect UI."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager, nullcontext
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

CONSOLE = Console(stderr=True)


def log() -> logging.Logger:
    """The logger of Oresight. Inside a run, Prefect forwards it to its UI (PREFECT_LOGGING_EXTRA_LOGGERS)."""
    logger = logging.getLogger("oresight")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    return logger


class BestEffort(ContextDecorator):
    """Turns errors of Prefect's pages into warnings: a server that does not answer must not end a run."""

    def __enter__(self) -> None:
        """Nothing needs to be prepared."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        log().warning("prefect: something could not be shown on its pages (%s)", type(error).__name__)
        return True


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields `advance(n)`. The bar shows on a terminal only. The artifact is updated at most every two seconds."""
    artifact, updated_at, done = _artifact(description), time.monotonic(), 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=CONSOLE, transient=True) if CONSOLE.is_terminal else None
    with bar or nullcontext():
        line = bar.add_task(description, total=total) if bar else None

        def advance(n: int) -> None:
            nonlocal updated_at, done, artifact
            done += n
            if bar and line is not None:
                bar.advance(line, n)
            if artifact and time.monotonic() - updated_at > 2:
                artifact = _update(artifact, 100 * done / max(total, 1))  # after a failed update it is None
                updated_at = time.monotonic()

        yield advance
    if artifact:
        _update(artifact, 100)


def _artifact(description: str) -> UUID | None:
    """A new progress artifact, inside a Prefect task only."""
    if "prefect.context" not in sys.modules:  # importing it takes seconds and configures the root logger
        return None
    from prefect.artifacts import create_progress_artifact
    from prefect.context import TaskRunContext

    with BestEffort():
        if TaskRunContext.get():
            return create_progress_artifact(progress=0, description=description)  # type: ignore[return-value]
    return None


def _update(artifact: UUID, percent: float) -> UUID | None:
    """Set the artifact's progress, and return it; None if that failed."""
    from prefect.artifacts import update_progress_artifact

    with BestEffort():
        update_progress_artifact(artifact, progress=percent)
        return artifact
    return None
