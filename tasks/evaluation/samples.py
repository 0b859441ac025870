"""The rows that evaluations read: those of a dataset in the order of their hashes, which is random."""

from typing import Any

from oresight.tasks.config import Curate
from oresight.tasks.database import reading, records
from oresight.tasks.evaluation.trainable import trainable
from oresight.tasks.scope import json_pointer
from oresight.tasks.scoring.source import Source
from oresight.tasks.workload.encode import EncodedRows, encode_rows

NO_COLUMN = "-"
"""A column name that no row has."""


def dataset_rows(database: str, dataset: str, first: str = NO_COLUMN, second: str = NO_COLUMN) -> list[dict[str, Any]]:
    """All rows of a dataset. Two metadata columns can be read too, as `first` and `second`."""
    columns = {"first": json_pointer(first), "second": json_pointer(second)}
    with reading(database) as connection:
        return records(connection, "evaluation_rows", {"dataset": dataset} | columns)


def encode_for_training(config: Curate, source: Source, rows: list[dict[str, Any]]) -> EncodedRows:
    """Encode rows as token ids. Rows that the model cannot read are left out."""
    encoded, _ = encode_rows(rows, trainable(source, "cpu", lora=False), config.scoring.max_tokens)
    return encoded
