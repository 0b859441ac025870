"""What a step says while it works: a line in the log, a bar in the terminal, a progress artifact in the Prefect UI."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager, nullcontext
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

CONSOLE = Console(stderr=True)


def log() -> logging.Logger:
    """The product's logger. Inside a run Prefect forwards it to its UI (PREFECT_LOGGING_EXTRA_LOGGERS)."""
    ours = logging.getLogger("oresight")
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.INFO)
    return ours


class BestEffort(ContextDecorator):
    """What is shown on Prefect's pages never ends a run: a server that does not answer is a warning."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        log().warning("prefect: something could not be shown on its pages (%s)", type(error).__name__)
        return True


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields `advance(n)`. The bar shows on a terminal only; the artifact moves at most every two seconds."""
    artifact, told, done = _artifact(what), time.monotonic(), 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=CONSOLE, transient=True) if CONSOLE.is_terminal else None
    with bar or nullcontext():
        line = bar.add_task(what, total=total) if bar else None

        def advance(n: int) -> None:
            nonlocal told, done, artifact
            done += n
            if bar and line is not None:
                bar.advance(line, n)
            if artifact and time.monotonic() - told > 2:
                artifact = _moved(artifact, 100 * done / max(total, 1))  # once it could not be moved, it stays
                told = time.monotonic()

        yield advance
    if artifact:
        _moved(artifact, 100)


def _artifact(what: str) -> UUID | None:
    from prefect.artifacts import create_progress_artifact
    from prefect.context import TaskRunContext

    with BestEffort():
        return create_progress_artifact(progress=0, description=what) if TaskRunContext.get() else None  # type: ignore[return-value]
    return None


def _moved(artifact: UUID, percent: float) -> UUID | None:
    from prefect.artifacts import update_progress_artifact

    with BestEffort():
        update_progress_artifact(artifact, progress=percent)
        return artifact
    return None
