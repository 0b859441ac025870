"""A version of a split, with everything that its folder states about its origin."""

import json
from dataclasses import dataclass
from typing import Any

from oresight.tasks.config import Curate, Splitting
from oresight.tasks.database import Connection, records


@dataclass(frozen=True)
class Version:
    """A stored version: its row of store.splits, its configuration and its parents."""

    row: dict[str, Any]
    settings: dict[str, Any]
    """The configuration of the run that decided it, with the `publishing` section of the run that publishes it."""
    parents: list[dict[str, Any]]
    """The dataset and the reference."""
    model: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """The values for the `$parameters` of queries."""
        return {"split": self.row["split"], "version": self.row["version"]}

    @property
    def rule(self) -> str:
        """The rule by which rows are kept, in words."""
        return self.splitting.rule(has_trusted=self.row["has_trusted"])

    @property
    def splitting(self) -> Splitting:
        """The `splitting` section that the version was decided with."""
        return Splitting.model_validate(self.settings["splitting"])

    @property
    def formats(self) -> list[str]:
        """Formats of the files to write: parquet, jsonl."""
        return list(self.settings["publishing"]["formats"])


def read_version(connection: Connection, config: Curate, split: str, version: int) -> Version | None:
    """Read a version from the database; None if there is no such version."""
    parameters = {"split": split, "version": version}
    row = next(iter(records(connection, "publish_version", parameters)), None)
    if row is None:
        return None
    settings = json.loads(row.pop("config")) | {"publishing": config.publishing.model_dump(mode="json")}
    parents = records(connection, "publish_parents", parameters)
    (model,) = records(connection, "publish_model", row)
    return Version(row, settings, parents, model)
