"""Ends a query of the user's, which may take years, after a time and on Ctrl-C."""

import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from oresight.tasks.database import Connection

ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""Signals that end a run."""


@contextmanager
def stoppable(connection: Connection, seconds: float) -> Iterator[None]:
    """Interrupt the query that runs inside after so many seconds, and on Ctrl-C, which then raises KeyboardInterrupt.

    DuckDB itself does not see Ctrl-C during some queries, and after others it leaves the file open. So a thread of ours
    waits for the signal.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda *_: None) if is_main else None
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False) if is_main else -1
    pressed = threading.Event()

    def watch() -> None:
        deadline = time.monotonic() + seconds
        while select.select([ours], [], [], max(deadline - time.monotonic(), 0))[0]:
            if not (signals := ours.recv(64)):
                return  # the query has ended
            if signal.SIGINT in signals:
                pressed.set()
            if ENDING & set(signals):
                break
        connection.interrupt()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        theirs.shutdown(socket.SHUT_WR)  # wakes the watcher
        watcher.join()
        if is_main:
            signal.set_wakeup_fd(before)
            signal.signal(signal.SIGINT, handler)
        ours.close()
        theirs.close()
        if pressed.is_set():
            raise KeyboardInterrupt
