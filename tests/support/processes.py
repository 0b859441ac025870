"""Start processes quickly: each is forked from a server process that has imported everything."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver, get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
IMPORTED = [
    "tests.support.uncollected",
    "oresight.flows.cli",
    "oresight.flows.curate",
    "oresight.flows.evaluate",
    "great_expectations.expectations",
    "cleanlab",
    "tests.support.curated",
]


@dataclass
class Process:
    """A running process. `process.kill` sends SIGKILL."""

    process: Any
    folder: TemporaryDirectory[str]

    def output(self, stream: str = "err") -> str:
        """The text that it has written so far to `out` or `err`."""
        return Path(self.folder.name, stream).read_text(encoding="utf-8")

    def wait(self, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        """Wait until it ends. Returns its exit code and output."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()  # it would slow the other tests down
            raise AssertionError(f"still running after {seconds} s")
        out, err = (self.output(name) for name in ("out", "err"))
        self.folder.cleanup()
        return subprocess.CompletedProcess((), self.process.exitcode, out, err)


def start_process(target: Callable[..., None], *arguments: Any) -> Process:
    """Start a function of a module in a process of its own."""
    folder = TemporaryDirectory()
    for name in ("out", "err"):
        Path(folder.name, name).touch()
    process = _fork_server().Process(target=_redirected, args=(folder.name, dict(os.environ), target, arguments))
    process.start()
    return Process(process, folder)


def oresight(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return start_process(command, arguments).wait()


def command(arguments: Sequence[str]) -> None:
    """Run the command line in this process."""
    from oresight.flows.cli import main

    sys.argv = ["oresight", *arguments]
    main()


def _redirected(folder: str, environment: dict[str, str], target: Callable[..., None], arguments: tuple[Any]) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY), number)
    os.environ.update(environment)
    os.chdir(ROOT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores Ctrl-C
    gc.freeze()
    gc.enable()
    target(*arguments)


@cache
def _fork_server() -> Any:
    """The context that forks processes. They share one Prefect server; otherwise each would start its own."""
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    server.start(120)  # ends with this process
    context = get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    settings = {"PREFECT_API_URL": server.api_url, "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
    os.environ |= settings  # Prefect reads them when it is imported
    try:
        forkserver.ensure_running()
    finally:
        for name in settings:
            del os.environ[name]
    return context
