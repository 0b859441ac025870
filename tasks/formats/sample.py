"""A supervised row, which every layout gives, and the reading of single fields, with the same reasons everywhere."""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from oresight.tasks.formats.literals import structure_in
from oresight.tasks.formats.repeats import RepeatedKey, parse

Record = dict[str, Any]
Turn = dict[str, Any]
"""{role, content}. The content is text, or a list of parts {type: text, text} and {type: image, source}."""

MEDIA = {"audio": "a sound", "video": "a video"}


class Sample(NamedTuple):
    """A supervised row. The last of its `messages` is the assistant's answer, which is what gets a value."""

    messages: list[Turn]
    tools: Any = None
    pictures: Sequence[str | bytes] = ()
    """In the order in which the messages show them: a path, a URL or the bytes."""


def content_id(turns: str, tools: str | None, pictures: Sequence[str]) -> str:
    """The id of a row's content: a hash over canonical JSON of its turns and tools, and the SHA-256 of its pictures."""
    tools_json = f',"tools":{tools}' if tools else ""
    images_json = f'"images":{orjson.dumps(list(pictures)).decode()},' if pictures else ""
    canonical = f'{{{images_json}"kind":"{"vqa" if pictures else "instruction"}","messages":{turns}{tools_json}}}'
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def required_text(record: Record, field: str) -> str:
    """The text in a field that must hold text, a number or a boolean, which are read as JSON writes them.

    Raises ValueError with what the field holds instead.
    """
    value = record.get(field)
    if isinstance(value, float) and abs(value) >= 2**63:
        raise ValueError(f"field {field!r} holds a number of more digits than readers of JSON keep; write it as text")
    if isinstance(value, int | float) and math.isfinite(value):
        return json.dumps(value)
    if not isinstance(value, str):
        raise ValueError(f"field {field!r} {f'holds {describe(value)}, not text' if field in record else 'is missing'}")
    if not value.strip():
        raise ValueError(f"field {field!r} is empty")
    return value


def optional_text(record: Record, field: str) -> str | None:
    """The text in a field that may be missing, null or empty. Raises ValueError if it holds something else."""
    value = record.get(field)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"field {field!r} holds {describe(value)}, not text")
    return value if value and value.strip() else None


def turn_text(turn: Turn, placeholder: str = "") -> str:
    """The text of a turn, with `placeholder` for each picture."""
    content = turn["content"]
    if isinstance(content, str):
        return content
    return "\n".join(filter(None, (part["text"] if part["type"] == "text" else placeholder for part in content)))


def describe(value: Any) -> str:
    """The type of a value in a few words, for a reason: 'a number (3)', 'a list'."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"a boolean ({str(value).lower()})"
    if isinstance(value, int | float):
        return f"a number ({value})"
    kinds = {"str": "text", "list": "a list", "dict": "an object", "bytes": "bytes"}
    return kinds.get(type(value).__name__, f"a {type(value).__name__}")


def parse_json(value: str, field: str) -> Any:
    """The value of a JSON text, or of a list or an object as Python writes it. Raises ValueError with the field."""
    try:
        return parse(value)
    except RepeatedKey as error:
        raise ValueError(f"field {field!r}: {error}") from error
    except orjson.JSONDecodeError as error:
        if (found := structure_in(value)) is not None:
            return found
        raise ValueError(f"field {field!r} holds text that is not JSON ({error.msg})") from error


def to_json(value: Any) -> str:
    """JSON text with sorted keys and without null fields."""
    return orjson.dumps(without_nulls(value), option=orjson.OPT_SORT_KEYS).decode()


def without_nulls(value: Any) -> Any:
    """The value without null fields: Parquet and Arrow fill missing keys with null, and a row's id must not change."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value
