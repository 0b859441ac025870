"""How the folders `flows`, `tasks` and `sql` come to be installed below one import name, `oresight`.

A wheel holds them below `oresight/`, and `oresight.py` as that package's `__init__.py`. An editable installation puts
build/editable on the path, where `oresight/` is made of links to the same files, so that every edit takes effect.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PARTS = {"oresight.py": "__init__.py", "py.typed": "py.typed", "flows": "flows", "tasks": "tasks", "sql": "sql"}
"""What is installed, and its name below `oresight`."""


class OneImportName(BuildHookInterface):  # type: ignore[misc]
    """Hatchling calls it before it builds a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Tell hatchling what a wheel holds, or make the links of an editable installation."""
        if version != "editable":
            build_data["force_include"] |= {part: f"oresight/{name}" for part, name in PARTS.items()}
            return
        package = Path(self.root) / "build" / "editable" / "oresight"
        shutil.rmtree(package, ignore_errors=True)
        package.mkdir(parents=True)
        for part, name in PARTS.items():
            (package / name).symlink_to(os.path.relpath(Path(self.root) / part, package))
