"""Processes of their own that need not import everything again: each is forked from one that has."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver, get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
IMPORTED = ["flows.cli", "flows.curate", "flows.evaluate", "great_expectations.expectations", "tests.curated"]


def apart(
    target: Callable[..., None], *arguments: Any, seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """How a function of a module ended in a process of its own, and what it said."""
    context = _ahead()
    with TemporaryDirectory() as folder:
        process = context.Process(target=_redirected, args=(folder, dict(os.environ), target, arguments))
        process.start()
        process.join(seconds)
        assert process.exitcode is not None, f"it runs after {seconds} s"
        out, err = (Path(folder, name).read_text(encoding="utf-8") for name in ("out", "err"))
    return subprocess.CompletedProcess(arguments, process.exitcode, out, err)


def oresight(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line."""
    return apart(_command, arguments)


def _command(arguments: tuple[str, ...]) -> None:
    from flows.cli import main

    sys.argv = ["oresight", *arguments]
    main()


def _redirected(folder: str, environment: dict[str, str], target: Callable[..., None], arguments: tuple[Any]) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT), number)
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
