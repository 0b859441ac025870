"""Runs SQL of the user in a process of its own, which can be ended whatever it is doing.

A single call of a function, such as repeat('x', 3000000000), cannot be interrupted, and takes memory that DuckDB's
limit does not count. A query only reads, so nothing is lost when its process is killed.
"""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import typer

from oresight.flows.commands.ending import exit_code_of
from oresight.tasks.connection import automatic_memory

QUERY_S = 3600.0
"""Seconds after which a query is ended: a join without a condition may take years."""
QUERY_MEMORY = 3_000_000 * int(automatic_memory().removesuffix("MB"))
"""Bytes that a query may take: three times what DuckDB's own limit lets it keep, 6 GB on most machines."""
LOOK_S = 0.1
"""Seconds between two looks at its memory."""
END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux: the signal that a process gets when its parent ends."""
PAGE = os.sysconf("SC_PAGE_SIZE")


def run_separately(work: Callable[[], None]) -> None:
    """Run a part of a command in a forked process. Its complaint and its exit code become those of the command.

    Raises ValueError if it was ended because of its time or memory, or crashed.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    end, other_end = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both, and the parent acts on it
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
        os.close(end)
        os._exit(_flushed(exit_code_of(work)))
    os.close(other_end)
    ending = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in ending:
        signal.signal(number, _exit)
    try:
        too_much = _watch(child, end)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(end)
        for number in ending:
            signal.signal(number, signal.SIG_DFL)
    if too_much:
        raise ValueError(f"sql: the query {too_much}, and was ended; ask for less (WHERE, LIMIT, left(text, 1000))")
    if os.WIFSIGNALED(status):
        raise ValueError(
            f"sql: the query ended its process ({signal.Signals(os.WTERMSIG(status)).name}); nothing is lost, ask in"
            " another way"
        )
    if code := os.waitstatus_to_exitcode(status):
        raise typer.Exit(code)


def _watch(child: int, end: int) -> str:
    """Wait until the child has closed its end of the pipe, or takes too much; returns of what, in words."""
    deadline = time.monotonic() + QUERY_S
    memory = Path(f"/proc/{child}/statm")
    while not select.select([end], [], [], LOOK_S)[0]:
        if time.monotonic() > deadline:
            return f"did not end within {QUERY_S / 60:.0f} minutes"
        with suppress(OSError, IndexError):  # only Linux has such a file, and only while the process runs
            if int(memory.read_text().split()[1]) * PAGE > QUERY_MEMORY:
                return f"took more than {QUERY_MEMORY / 1e9:.1f} GB of memory"
    return ""


def _flushed(code: int) -> int:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    return code


def _exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
