"""Steps called by themselves, without a configuration file and without a record of the run."""

from pathlib import Path
from typing import Any

from oresight.tasks.config import Curate, Dataset, Publishing
from oresight.tasks.ingest import Ingested, Role, ingest
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import ModelIdentity


def config_of(database: str, dataset: str = "rows", reference: str = "trusted", **sections: Any) -> Curate:
    """A configuration whose files are not there: for steps that read the database only."""
    return Curate(
        database=database,
        dataset=Dataset(name=dataset, path="nowhere.jsonl"),
        reference=Dataset(name=reference, path="nowhere.jsonl"),
        publishing=Publishing(folder=str(Path(database).parent / "out")),
        **sections,
    )


def ingest_into(database: str, dataset: Dataset, role: Role = "dataset") -> Ingested:
    """Read a dataset into a database whose turn the caller has."""
    config = config_of(database, "no-rows", "no-trusted-rows").model_copy(update={role: dataset})
    return ingest(Run(config, "test"), role)


def made_up_model(key: str = "key") -> ModelIdentity:
    """A model that has no files: for scores that a test has written."""
    return ModelIdentity(key, f"a@{key}")
