"""The kept rows as the columns of a Parquet file, in JSON's own types."""

import json
from pathlib import Path
from typing import Any

from oresight.tasks.database import Connection, DatabaseError, execute

Parameters = dict[str, Any]
"""The $parameters split and version."""


def write_columns(connection: Connection, version: Parameters, file: Path) -> None:
    """The kept records as columns, in JSON's own types: text that looks like a date stays text, what has several types
    or varying keys stays JSON. What guesses types from text would not give back what came in."""
    (inferred,) = execute(connection, "publish_structure", version).fetchone() or ("{}",)
    structure = _plain(connection, version, json.loads(inferred))
    values = version | {"file": str(file), "structure": json.dumps(structure)}
    try:
        execute(connection, "publish_train", values | {"types": json.dumps(_signed(structure))})
    except DatabaseError:  # a number above 2**63
        execute(connection, "publish_train", values | {"types": json.dumps(structure)})


def _plain(connection: Connection, version: Parameters, structure: Any, path: str | None = "$[*]") -> Any:
    """The structure with JSON in place of what columns would change: objects whose keys vary (in columns each would get
    the keys of all, as nulls that a chat template prints) or differ in case only, and whole numbers beyond 64 bits.

    `path` is None below a key that a JSON path cannot name. Raises ValueError if the record's own keys are no columns.
    """
    if isinstance(structure, list):
        return [_plain(connection, version, item, path and f"{path}[*]") for item in structure]
    if not isinstance(structure, dict):
        return "JSON" if structure == "HUGEINT" else structure
    clear = "" not in structure and len({key.lower() for key in structure}) == len(structure)
    if path == "$[*]" and not clear:
        names = ", ".join(map(repr, sorted(structure, key=str.lower)))
        raise ValueError(
            f"publishing.formats: parquet cannot hold columns that differ in case only ({names}); give [jsonl]"
        )
    if path != "$[*]":
        (sets,) = (clear and path and execute(connection, "publish_key_sets", version | {"path": path}).fetchone()) or (
            2,
        )
        if sets > 1:
            return "JSON"
    below = {key: f'{path}."{key}"' if path and not {'"', "\\"} & set(key) else None for key in structure}
    return {key: _plain(connection, version, value, below[key]) for key, value in structure.items()}


def _signed(structure: Any) -> Any:
    """Whole numbers as every other reader of JSON has them: with a sign."""
    if isinstance(structure, dict):
        return {key: _signed(value) for key, value in structure.items()}
    if isinstance(structure, list):
        return [_signed(item) for item in structure]
    return "BIGINT" if structure == "UBIGINT" else structure
