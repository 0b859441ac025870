"""The scope of scores, flags and splits: which dataset, against which reference, by which model."""

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from oresight.tasks.config import Curate
from oresight.tasks.database import Connection, execute, writing

if TYPE_CHECKING:
    from oresight.tasks.scoring.source import Source  # torch takes seconds to import, and `oresight sql` needs none

SCORING_VERSION = 3
"""Raise it when a change in the code gives the same row, model and reference another number."""
NO_ROWS = hashlib.sha256().hexdigest()
"""The content hash of a reference without rows."""


@dataclass(frozen=True)
class ModelIdentity:
    """The identity of a model: scores of different identities are never mixed."""

    key: str
    """Hash of everything that changes a score, other than the row and the reference."""
    name: str
    """The model's name and the beginning of the key, for people."""
    source: "Source | None" = None
    """Where its files are; None if only stored scores are read."""
    columns: tuple[tuple[str, Any], ...] = ()
    """The values that the key is a hash of, as columns of store.models."""

    @property
    def files(self) -> "Source":
        """Where the files are."""
        assert self.source is not None, "this identity was made to read scores, not to make them"
        return self.source


class StoredDataset(NamedTuple):
    """What the database stores about an ingested dataset."""

    content_hash: str
    kind: str
    """'instruction' or 'vqa'."""


@dataclass(frozen=True)
class Scope:
    """A dataset, a reference and a model, with the current content hashes of the dataset and the reference."""

    dataset: str
    dataset_hash: str
    dataset_kind: str
    reference: str
    reference_hash: str
    model_key: str
    model: str

    @property
    def has_trusted(self) -> bool:
        """Whether there are trusted rows. Without any, rows have no value and are not judged."""
        return self.reference_hash != NO_ROWS

    @property
    def parameters(self) -> dict[str, Any]:
        """The values for the `$parameters` of queries."""
        return {
            "dataset": self.dataset,
            "reference": self.reference,
            "reference_hash": self.reference_hash,
            "model_key": self.model_key,
        }


def identify(config: Curate) -> ModelIdentity:
    """The identity of the configured model. Reads all of its files once, to hash them. Raises UnusableModel."""
    from oresight.tasks.scoring.prompt import MASKING
    from oresight.tasks.scoring.source import find

    source = find(config.model.name, config.model.revision, config.model.adapter)
    settings: dict[str, Any] = {
        "rank_tolerance": config.scoring.rank_tolerance,
        "conditional_gain": config.scoring.conditional_gain,
        "dtype": config.model.dtype,
    }
    if config.model.parallel > 1:  # in half precision this changes as much as the dtype does (docs/log.md)
        settings["parallel"] = config.model.parallel
    columns = {
        "weights": source.weights,
        "adapter": source.adapter_hash,
        "template": source.template,
        "masking": MASKING,
        "max_tokens": config.scoring.max_tokens,
        "scoring_version": SCORING_VERSION,
        "settings": json.dumps(settings, sort_keys=True),
    }
    key = hashlib.sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest()[:32]
    return ModelIdentity(key, f"{source.name}@{key[:8]}", source, tuple(columns.items()))


def register_model(database: str, model: ModelIdentity) -> None:
    """Write the model to store.models as the last used model of its name."""
    with writing(database) as connection:
        values = dict(model.columns) | {"model_key": model.key, "model": model.name}
        execute(connection, "score_register_model", values)


def stored_datasets(connection: Connection, database: str, *datasets: str) -> dict[str, StoredDataset]:
    """All stored datasets by name. Raises ValueError if one of `datasets` is not among them."""
    stored = {name: StoredDataset(*columns) for name, *columns in execute(connection, "stored_datasets").fetchall()}
    for name in datasets:
        if name not in stored:
            raise ValueError(f"{database}: holds no {name!r}; run `oresight ingest CONFIG.yaml` first")
    return stored


def read_scope(connection: Connection, config: Curate, model: ModelIdentity) -> Scope:
    """The scope of a configuration. Raises ValueError if the dataset or the reference is not in the database."""
    dataset, reference = config.dataset.name, config.reference_name
    stored = stored_datasets(connection, config.database, dataset, reference)
    return Scope(
        dataset=dataset,
        dataset_hash=stored[dataset].content_hash,
        dataset_kind=stored[dataset].kind,
        reference=reference,
        reference_hash=stored[reference].content_hash,
        model_key=model.key,
        model=model.name,
    )


def json_pointer(column: str) -> str:
    """JSON pointer of a metadata column, to pass to SQL as a parameter."""
    return "/" + column.replace("~", "~0").replace("/", "~1")
