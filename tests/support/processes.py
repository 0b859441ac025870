"""Processes of their own that need not import everything again: each is forked from one that has."""

import os
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
    "oresight.flows.cli",
    "oresight.flows.curate",
    "oresight.flows.evaluate",
    "great_expectations.expectations",
    "tests.support.curated",
]


@dataclass
class Begun:
    """A process; its `kill` is kill -9."""

    process: Any
    folder: TemporaryDirectory[str]

    def said(self, where: str = "err") -> str:
        """What it has said so far."""
        return Path(self.folder.name, where).read_text(encoding="utf-8")

    def ended(self, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        """How it ended, and what it said."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"it runs after {seconds} s"
        out, err = (self.said(name) for name in ("out", "err"))
        self.folder.cleanup()
        return subprocess.CompletedProcess((), self.process.exitcode, out, err)


def begun(target: Callable[..., None], *arguments: Any) -> Begun:
    """A function of a module begins in a process of its own."""
    folder = TemporaryDirectory()
    for name in ("out", "err"):
        Path(folder.name, name).touch()
    process = _ahead().Process(target=_redirected, args=(folder.name, dict(os.environ), target, arguments))
    process.start()
    return Begun(process, folder)


def oresight(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line."""
    return begun(command, arguments).ended()


def command(arguments: Sequence[str]) -> None:
    from oresight.flows.cli import main

    sys.argv = ["oresight", *arguments]
    main()


def _redirected(folder: str, environment: dict[str, str], target: Callable[..., None], arguments: tuple[Any]) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY), number)
    os.environ.update(environment)
    os.chdir(ROOT)
    target(*arguments)


@cache
def _ahead() -> Any:
    """What forks. The processes share a Prefect server, which each would start for itself otherwise."""
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    server.start(120)  # ends with this process
    context = get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    ours = {"PREFECT_API_URL": server.api_url, "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
    os.environ |= ours  # Prefect reads it when it is imported
    try:
        forkserver.ensure_running()
    finally:
        for name in ours:
            del os.environ[name]
    return context
