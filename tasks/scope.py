"""Which dataset, against which reference, by which model: what every score, flag and split belongs to."""

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from oresight.tasks.config import Curate
from oresight.tasks.database import Connection, execute, writing

if TYPE_CHECKING:
    from oresight.tasks.scoring.source import Source  # torch takes seconds to import, and `oresight sql` needs none

SCORING_VERSION = 2
"""Raise it when the same row, model and reference would get another number."""


@dataclass(frozen=True)
class ModelIdentity:
    """A model as scores know it."""

    key: str
    """Hash of everything that changes a score, beside the row and the reference."""
    name: str
    """Readable: the model's name and the beginning of the key."""
    source: "Source | None" = None
    """Where its files are; None where only stored scores are read."""
    columns: tuple[tuple[str, Any], ...] = ()
    """What the key is the hash of, as columns of store.models."""

    @property
    def files(self) -> "Source":
        """Where the files are."""
        assert self.source is not None, "this identity was made to read scores, not to make them"
        return self.source


class StoredDataset(NamedTuple):
    """What the database knows of a dataset that was ingested."""

    content_hash: str
    kind: str
    """'instruction' or 'vqa'."""


@dataclass(frozen=True)
class Scope:
    """A dataset, a reference and a model, with the content that the first two have now."""

    dataset: str
    dataset_hash: str
    dataset_kind: str
    reference: str
    reference_hash: str
    model_key: str
    model: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The `$parameters` that queries name."""
        return {
            "dataset": self.dataset,
            "reference": self.reference,
            "reference_hash": self.reference_hash,
            "model_key": self.model_key,
        }


def identify(config: Curate) -> ModelIdentity:
    """The configured model with its key. Reads all of its files once, to hash them. Raises UnusableModel."""
    from oresight.tasks.scoring.prompt import MASKING
    from oresight.tasks.scoring.source import find

    source = find(config.model.name, config.model.revision, config.model.adapter)
    settings = {
        "rank_tolerance": config.scoring.rank_tolerance,
        "conditional_gain": config.scoring.conditional_gain,
        "dtype": config.model.dtype,
    }
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
    """Write the model to store.models, as the one that was used last under its name."""
    with writing(database) as connection:
        values = dict(model.columns) | {"model_key": model.key, "model": model.name}
        execute(connection, "score_register_model", values)


def stored_datasets(connection: Connection, database: str, *datasets: str) -> dict[str, StoredDataset]:
    """These datasets by name. Raises ValueError, naming the first that is not in the database and the cure."""
    stored = {name: StoredDataset(*rest) for name, *rest in execute(connection, "stored_datasets").fetchall()}
    for name in datasets:
        if name not in stored:
            raise ValueError(f"{database}: holds no {name!r}; run `oresight ingest CONFIG.yaml` first")
    return stored


def read_scope(connection: Connection, config: Curate, model: ModelIdentity) -> Scope:
    """The scope of a configuration. Raises ValueError if the dataset or the reference is not in the database."""
    dataset, reference = config.dataset.name, config.reference.name
    stored = stored_datasets(connection, config.database, dataset, reference)
    return Scope(
        dataset, stored[dataset].content_hash, stored[dataset].kind, reference, stored[reference].content_hash,
        model.key, model.name,
    )  # fmt: skip


def json_pointer(column: str) -> str:
    """A column of the rows' metadata as a JSON pointer, which SQL takes as a parameter."""
    return "/" + column.replace("~", "~0").replace("/", "~1")
