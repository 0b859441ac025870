"""A time limit on code that came with a model: a chat template may never end."""

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

LOOK_S = 0.25
"""Seconds between two looks at the limits. One thread looks at all of them, so that a limit costs microseconds."""
_deadlines: dict[int, float] = {}
"""When the block of a thread must have ended, in monotonic seconds."""
_lock = threading.Lock()


class TookTooLong(Exception):
    """The block did not end in time."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TookTooLong in this thread if the block is still running after so many seconds. Blocks do not nest.

    A signal would reach the main thread only, and rows are encoded in another. This ends Python code, which a compiled
    template is, and not a single call that computes in C.
    """
    _start_watch()
    thread = threading.get_ident()
    with _lock:
        _deadlines[thread] = time.monotonic() + seconds
    try:
        yield
    finally:
        with _lock:
            _deadlines.pop(thread, None)


@cache
def _start_watch() -> None:
    threading.Thread(target=_watch, name="time limits", daemon=True).start()


def _watch() -> None:
    while True:
        time.sleep(LOOK_S)
        with _lock:
            for thread, deadline in list(_deadlines.items()):
                if time.monotonic() > deadline:
                    del _deadlines[thread]
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TookTooLong))
