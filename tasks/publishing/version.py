"""A version of a split, with everything that its folder says about where it comes from."""

import json
from dataclasses import dataclass
from typing import Any

from oresight.tasks.config import Curate, Splitting
from oresight.tasks.database import Connection, records


@dataclass(frozen=True)
class Version:
    """A decided version: its row of store.splits, the configuration behind it, and its parents."""

    row: dict[str, Any]
    settings: dict[str, Any]
    """The configuration of the run that decided it, with the `publishing` section of the run that publishes it."""
    parents: list[dict[str, Any]]
    """Dataset and reference."""
    model: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """The `$parameters` that queries name."""
        return {"split": self.row["split"], "version": self.row["version"]}

    @property
    def rule(self) -> str:
        """What decided which rows stay, in words."""
        return self.splitting.rule()

    @property
    def splitting(self) -> Splitting:
        """The section that it was decided with."""
        return Splitting.model_validate(self.settings["splitting"])

    @property
    def formats(self) -> list[str]:
        """The files to write: parquet, jsonl."""
        return list(self.settings["publishing"]["formats"])


def read_version(connection: Connection, config: Curate, split: str, version: int) -> Version | None:
    """A version as the database has it; None if there is no such version."""
    names = {"split": split, "version": version}
    row = next(iter(records(connection, "publish_version", names)), None)
    if row is None:
        return None
    settings = json.loads(row.pop("config")) | {"publishing": config.publishing.model_dump(mode="json")}
    parents = records(connection, "publish_parents", names)
    (model,) = records(connection, "publish_model", row)
    return Version(row, settings, parents, model)
