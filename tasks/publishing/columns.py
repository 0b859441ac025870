"""Writes the kept rows as a Parquet file whose columns have the types of the JSON records."""

import json
from pathlib import Path
from typing import Any

from oresight.tasks.database import Connection, DatabaseError, execute

Parameters = dict[str, Any]
"""The $parameters split and version."""


def write_columns(connection: Connection, version: Parameters, file: Path) -> None:
    """Write the kept records as columns of a Parquet file, in the types of JSON.

    Text that looks like a date stays text. Values with several types or varying keys stay JSON. A reader that guesses
    types from text would not reproduce the records.
    """
    (inferred,) = execute(connection, "publish_structure", version).fetchone() or ("{}",)
    structure = _exact_types(connection, version, json.loads(inferred))
    values = version | {"file": str(file), "structure": json.dumps(structure)}
    try:
        execute(connection, "publish_train", values | {"types": json.dumps(_signed(structure))})
    except DatabaseError:  # a number above 2**63
        execute(connection, "publish_train", values | {"types": json.dumps(structure)})


def _exact_types(connection: Connection, version: Parameters, structure: Any, path: str | None = "$[*]") -> Any:
    """The structure with the type JSON wherever typed columns would change a value.

    These are objects whose keys vary (as a column, each would get the keys of all, as nulls that a chat template
    prints), objects whose keys differ in case only, and integers beyond 64 bits.

    path: JSON path of the structure; None below a key that a JSON path cannot name. Raises ValueError if the keys of
    the record itself differ in case only.
    """
    if isinstance(structure, list):
        return [_exact_types(connection, version, item, path and f"{path}[*]") for item in structure]
    if not isinstance(structure, dict):
        return "JSON" if structure == "HUGEINT" else structure
    is_unambiguous = "" not in structure and len({key.lower() for key in structure}) == len(structure)
    if path == "$[*]" and not is_unambiguous:
        names = ", ".join(map(repr, sorted(structure, key=str.lower)))
        raise ValueError(
            f"publishing.formats: parquet cannot hold columns that differ in case only ({names}); give [jsonl]"
        )
    if path != "$[*]":
        counted = execute(connection, "publish_key_sets", version | {"path": path}) if is_unambiguous and path else None
        (key_sets,) = (counted and counted.fetchone()) or (2,)
        if key_sets > 1:
            return "JSON"
    paths = {key: f'{path}."{key}"' if path and not {'"', "\\"} & set(key) else None for key in structure}
    return {key: _exact_types(connection, version, value, paths[key]) for key, value in structure.items()}


def _signed(structure: Any) -> Any:
    """The structure with signed integers, as other readers of JSON have them."""
    if isinstance(structure, dict):
        return {key: _signed(value) for key, value in structure.items()}
    if isinstance(structure, list):
        return [_signed(item) for item in structure]
    return "BIGINT" if structure == "UBIGINT" else structure
