"""The VQA demo, curated by the command in a folder of its own."""

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
    """The VQA demo, in a folder of its own."""

    folder: Path
    root: Path = ROOT

    @property
    def arguments(self) -> list[str]:
        places = {"database": self.folder / "o.duckdb", "publishing.folder": self.folder / "out"}
        sets = [part for key, place in places.items() for part in ("--set", f"{key}={place}")]
        return ["tests/data/demo-vqa.yaml", *sets, "--set", "splitting.keep=null"]

    @property
    def config(self) -> Curate:
        return read_config(Path(self.arguments[0]), self.arguments[2::2])

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return oresight(*arguments)

    def oresight(self, *arguments: str) -> str:
        """What the command prints; it must go well."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        with reading(self.config.database) as connection:
            return connection.execute(question, list(values)).fetchall()
