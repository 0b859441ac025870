"""Shows the progress of a step: a bar in the terminal, or a line in the log, and an artifact in the Prefect UI."""

import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import copy_context
from uuid import UUID

from rich.console import Console
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

CONSOLE = Console(stderr=True)
EVERY_S = 30.0
"""Seconds between two lines on the progress of a step, where there is no terminal."""


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


class Progress:
    """How far a step is, and about how long the rest takes.

    Rows differ in cost, so the time that is left is estimated by work (for scoring the length of the texts, which the
    tokens follow), and the count is of rows.
    """

    def __init__(self, step: str, total: int, unit: str, work: float | None) -> None:
        """work: the work of all items in any unit; by default each has one."""
        self.step, self.total, self.unit, self.work = step, total, unit, work
        self.done, self.work_done, self.started, self.lock = 0.0, 0.0, time.monotonic(), threading.Lock()

    def advance(self, n: float, work: float | None = None) -> None:
        """Count n items as done, and their work; an item that needed no work is not part of the estimate."""
        with self.lock:
            self.done += n
            self.work_done += n if work is None else work

    @property
    def work_left(self) -> float:
        """Work that is still to be done."""
        return max(self.total - self.done if self.work is None else self.work - self.work_done, 0)

    def __str__(self) -> str:
        if self.unit == "bytes":
            counted = f"{decimal(round(self.done))} of {decimal(self.total)} read"
        else:
            counted = f"{round(self.done):,} of {self.total:,} {self.unit}"
        if not self.work_done or not self.work_left:
            return counted
        return f"{counted}, about {duration((time.monotonic() - self.started) * self.work_left / self.work_done)} left"

    def __rich__(self) -> Table:
        share = self.done / max(self.total, 1) if self.work is None else self.work_done / max(self.work, 1)
        line = Table.grid(padding=(0, 1))
        line.add_row(Text(self.step), ProgressBar(total=1, completed=share, width=30), Text(str(self)))
        return line


def duration(seconds: float) -> str:
    """A time as people estimate it: 20 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{max(10, 10 * math.ceil(seconds / 10))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60 // 10 * 10} min"


@contextmanager
def progress(step: str, total: int, unit: str = "rows", work: float | None = None) -> Iterator[Callable[..., None]]:
    """Yields `advance(n, work)`; see `Progress`. The step is named in front of what it counts.

    A terminal shows a bar. Elsewhere a line is logged every EVERY_S seconds. Both come from a thread, so that counting
    costs nothing. The artifact is updated at most every two seconds.
    """
    state, artifact, updated_at, stop = Progress(step, total, unit, work), _artifact(step), 0.0, threading.Event()

    def advance(n: float, work: float | None = None) -> None:
        nonlocal updated_at, artifact
        state.advance(n, work)
        if artifact and time.monotonic() - updated_at > 2:
            artifact = _update(artifact, min(100 * state.done / max(total, 1), 100))  # after a failed update it is None
            updated_at = time.monotonic()

    def log_lines() -> None:
        while not stop.wait(EVERY_S):
            log().info("%s: %s", step, state)

    if CONSOLE.is_terminal and not CONSOLE.is_dumb_terminal and sys.stderr.isatty():
        with Live(state, console=CONSOLE, transient=True, refresh_per_second=4):
            yield advance
    else:
        thread = threading.Thread(target=copy_context().run, args=(log_lines,), daemon=True)
        thread.start()
        try:
            yield advance
        finally:
            stop.set()
            thread.join()
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
