"""Writes the kept rows as a Parquet file, whose columns have plain types. Values that fit none become text."""

import json
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from oresight.tasks.publishing.gallery import Gallery
from oresight.tasks.publishing.lines import Batches
from oresight.tasks.publishing.types import MISFITS, PICTURE, array_of, feature_of, merged_type, storable_type, type_of

Change = Literal["nulls", "text", "json"]
"""How a column differs from the records."""
CHANGES: dict[Change, str] = {
    "nulls": "objects with the keys of all objects, null where one has no such key",
    "text": "values of several types, as text",
    "json": "values that fit no column type, as text: lists and objects as JSON",
}
"""What such a column holds, in words."""


class Misfit(Exception):
    """The values of a column do not fit the type that fits each batch of them."""


def write_columns(batches: Batches, file: Path, gallery: Gallery) -> dict[str, Change]:
    """Write records as columns of a Parquet file, with the bytes of pictures that came inside them.

    Returns the columns that differ from the records, and how.
    """
    types = _column_types(batches, gallery)
    while True:
        try:
            return _write(batches, file, gallery, types)
        except Misfit as misfit:
            types[str(misfit)] = None


def _column_types(batches: Batches, gallery: Gallery) -> dict[str, pa.DataType | None]:
    """The type of every column, in the order in which they appear; None where no type fits."""
    types: dict[str, pa.DataType | None] = {}
    for records in batches():
        rows = [gallery.with_bytes(json.loads(record), placeholder=b"") for record in records]
        for name in dict.fromkeys(key for row in rows for key in row):
            types[name] = merged_type(types.get(name, pa.null()), type_of([row.get(name) for row in rows]))
    return {name: None if data_type is None else storable_type(data_type) for name, data_type in types.items()}


def _write(batches: Batches, file: Path, gallery: Gallery, types: dict[str, pa.DataType | None]) -> dict[str, Change]:
    """Write the file. Raises Misfit with the name of a column whose values do not fit its type."""
    changes: dict[str, Change] = {}
    with pq.ParquetWriter(file, _schema(types), compression="zstd") as writer:
        for records in batches():
            rows, arrays = [json.loads(record) for record in records], []
            for name, data_type in types.items():
                if data_type is None:
                    values = [gallery.with_names(row.get(name)) for row in rows]
                    if changes.get(name) != "json":
                        changes[name] = "json" if any(isinstance(value, list | dict) for value in values) else "text"
                    arrays.append(pa.array([_text(value) for value in values], pa.string()))
                    continue
                values = [gallery.with_bytes(row.get(name)) for row in rows]
                try:
                    arrays.append(array_of(values, data_type))
                except MISFITS as error:
                    raise Misfit(name) from error
                if pa.types.is_nested(data_type) and arrays[-1].to_pylist() != values:
                    changes[name] = "nulls"
            writer.write_table(pa.table(arrays, schema=writer.schema))
    return changes


def _schema(types: dict[str, pa.DataType | None]) -> pa.Schema:
    """The columns. If some hold pictures, the metadata says so to `datasets`."""
    stored = {name: pa.string() if data_type is None else data_type for name, data_type in types.items()}
    has_pictures = any(data_type in (PICTURE, pa.list_(PICTURE)) for data_type in stored.values())
    features = {name: feature_of(data_type) for name, data_type in stored.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(stored, metadata if has_pictures else None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str | None) else json.dumps(value, ensure_ascii=False)
