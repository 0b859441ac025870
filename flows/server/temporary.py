"""Prefect's temporary server, which serves the flows of a command where no other server is configured."""

import signal
import threading
from contextlib import suppress

from prefect.settings import get_current_settings


def start_temporary_server() -> None:
    """Start the server, unless another is configured, such that it does not hear Ctrl-C.

    A terminal sends Ctrl-C to all processes of a command. Prefect would try for minutes to tell a server that is gone
    that the run was interrupted.
    """
    settings = get_current_settings()
    if settings.api.url or not settings.server.ephemeral.enabled:
        return
    starter = threading.Thread(target=_start)
    starter.start()
    starter.join()


def _start() -> None:
    """Processes that this thread starts inherit which signals it blocks."""
    from prefect.server.api.server import SubprocessASGIServer

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with suppress(Exception):  # the flow tries again, and says what is wrong
        SubprocessASGIServer().start()
