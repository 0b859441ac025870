"""Call steps without a configuration file and without a record of the run."""

from pathlib import Path
from typing import Any

from oresight.tasks.config import Curate, Dataset, Publishing
from oresight.tasks.ingest import Ingested, Role, ingest
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import ModelIdentity


def config_of(database: str, dataset: str = "rows", reference: str = "trusted", **sections: Any) -> Curate:
    """A configuration whose files do not exist, for steps that only read the database."""
    return Curate(
        database=database,
        dataset=Dataset(name=dataset, path="nowhere.jsonl"),
        reference=Dataset(name=reference, path="nowhere.jsonl"),
        publishing=Publishing(folder=str(Path(database).parent / "out")),
        **sections,
    )


def ingest_into(database: str, dataset: Dataset, role: Role = "dataset") -> Ingested:
    """Ingest a dataset into a database. The caller must hold the turn on it."""
    config = config_of(database, "no-rows", "no-trusted-rows").model_copy(update={role: dataset})
    return ingest(Run(config, "test"), role)


def made_up_model(key: str = "key") -> ModelIdentity:
    """A model without files, for scores that a test has written."""
    return ModelIdentity(key, f"a@{key}")
