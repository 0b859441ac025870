"""Finds plain Arrow types for JSON values: numbers, texts, lists and structures, which every reader of Parquet has.

No type for JSON is used, because releases of `datasets` before 4.8 cannot load one.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

MOST_KEYS = 256
"""Most keys in a structure. Objects with more of them are dictionaries, whose keys are data."""
DEEPEST = 20
"""Most levels of lists and structures. Readers of Parquet have a limit."""
PICTURE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
MISFITS = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)
"""What Arrow raises for a value that a type does not hold."""


def array_of(values: Sequence[Any], data_type: pa.DataType | None = None) -> pa.Array:
    """JSON values and bytes as an array, by default of the type that fits. Raises one of MISFITS if none fits all."""
    array = pa.array(values, data_type)
    if ("double" in str(array.type) or "binary" in str(array.type)) and _is_converted(values, array.type):
        raise pa.ArrowTypeError("values of several types")
    return array


def _is_converted(values: Sequence[Any], data_type: pa.DataType) -> bool:
    """Whether Arrow silently takes booleans for numbers, or texts for bytes."""
    if pa.types.is_list(data_type):
        return _is_converted([item for value in values for item in value or ()], data_type.value_type)
    if pa.types.is_struct(data_type):
        objects = [value for value in values if value]
        return any(_is_converted([value.get(part.name) for value in objects], part.type) for part in data_type)
    converted = {pa.float64(): bool, pa.binary(): str}.get(data_type, ())
    return any(isinstance(value, converted) for value in values)


def type_of(values: Sequence[Any]) -> pa.DataType | None:
    """The type that holds values; None if there is none."""
    try:
        return array_of(values).type
    except OverflowError:
        return pa.uint64()
    except MISFITS:
        return None


def merged_type(one: pa.DataType | None, other: pa.DataType | None) -> pa.DataType | None:
    """The type that holds the values of two types; None if there is none."""
    if one is None or other is None:
        return None
    if {one, other} == {pa.int64(), pa.uint64()}:
        return pa.uint64()
    try:
        schemas = [pa.schema({"": data_type}) for data_type in (one, other)]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except MISFITS:
        return None


def storable_type(data_type: pa.DataType, levels: int = DEEPEST) -> pa.DataType | None:
    """The type as others read it; None if it is too deep, or an object has no keys, or too many for columns."""
    if pa.types.is_null(data_type):
        return pa.string()
    if not pa.types.is_nested(data_type):
        return data_type
    parts = {part.name: storable_type(part.type, levels - 1) for part in _fields(data_type)}
    if levels == 0 or None in parts.values() or not 0 < str(data_type).count(":") <= MOST_KEYS:
        return None
    if pa.types.is_list(data_type):
        return pa.list_(*parts.values())
    return PICTURE if parts == {part.name: part.type for part in PICTURE} else pa.struct(parts)


def _fields(data_type: pa.DataType) -> list[pa.Field]:
    """The fields of a structure, or the one of a list."""
    return [data_type.field(i) for i in range(data_type.num_fields)]


def feature_of(data_type: pa.DataType) -> Any:
    """A type as a feature of `datasets`, in the oldest notation, which all releases read."""
    if data_type == PICTURE:
        return {"_type": "Image"}
    if pa.types.is_list(data_type):
        return [feature_of(data_type.value_type)]
    if pa.types.is_struct(data_type):
        return {part.name: feature_of(part.type) for part in data_type}
    return {"_type": "Value", "dtype": "float64" if data_type == pa.float64() else str(data_type)}
