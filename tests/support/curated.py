"""The VQA demo, curated by the command in its own folder."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oresight.tasks.config import Curate
from oresight.tasks.configfile import read_config
from oresight.tasks.database import reading
from tests.support.processes import ROOT, oresight


@dataclass
class Curated:
    """The VQA demo in its own folder."""

    folder: Path
    root: Path = ROOT

    @property
    def arguments(self) -> list[str]:
        """The configuration and its changes, as arguments of a command."""
        paths = {"database": self.folder / "o.duckdb", "publishing.folder": self.folder / "out"}
        changes = [part for key, path in paths.items() for part in ("--set", f"{key}={path}")]
        return ["tests/data/demo-vqa.yaml", *changes, "--set", "splitting.keep=null"]

    @property
    def config(self) -> Curate:
        """The configuration that `arguments` give."""
        return read_config(Path(self.arguments[0]), self.arguments[2::2])

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command."""
        return oresight(*arguments)

    def oresight(self, *arguments: str) -> str:
        """Run a command, which must succeed. Returns what it prints."""
        process = self.run(*arguments)
        assert process.returncode == 0, process.stderr
        return process.stdout

    def ask(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that a SQL question returns."""
        with reading(self.config.database) as connection:
            return connection.execute(question, list(values)).fetchall()
