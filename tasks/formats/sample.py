"""The turns of a row, which every layout gives, and the reading of single fields, with the same reasons everywhere."""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

Record = dict[str, Any]
Turn = dict[str, Any]
"""{role, content}. The content is text, or a list of parts {type: text, text} and {type: image, source}."""

MEDIA = {"audio": "a sound", "video": "a video"}
IMAGE_KEYS, SOURCE_KEYS = ("image", "image_url"), ("bytes", "path", "url", "data")
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
}


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


def read_turns(value: Any, field: str) -> list[Turn]:
    """The turns in a list of {role, content} or {from, value}, or in the JSON text of such a list. Roles are unified.

    Raises ValueError with the number of the turn, counted from 1, and what is wrong with it.
    """
    if isinstance(value, str):
        value = _parse_json(value, field)
    if not isinstance(value, list):
        raise ValueError(f"field {field!r} holds {describe(value)}, not a list of turns")
    return [_turn(turn, f"turn {number} of {field!r}") for number, turn in enumerate(value, start=1)]


def conversation(record: Record, field: str, system_field: str) -> Sample:
    """The turns of a field up to the assistant's last one. Later turns stay in the record only."""
    if field not in record:
        raise ValueError(f"field {field!r} is missing")
    messages = read_turns(record[field], field)
    if system := optional_text(record, system_field):
        messages.insert(0, {"role": "system", "content": system})
    return Sample(up_to_answer(messages, field), _tools(record.get("tools")))


def up_to_answer(messages: list[Turn], field: str) -> list[Turn]:
    """The turns up to the assistant's last one. Raises ValueError if it is empty or no question precedes it."""
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    if not messages:
        raise ValueError(f"field {field!r} has no turn of the assistant")
    if not turn_text(messages[-1]).strip():
        raise ValueError(f"the answer, the assistant's last turn of {field!r}, is empty")
    if not any(turn["role"] != "system" and turn["content"] and turn_text(turn, "?").strip() for turn in messages[:-1]):
        raise ValueError(f"field {field!r} has no question before the answer")
    return messages


def replace_answer(value: Any, answer: str) -> Any:
    """A list of turns, or its JSON text, with another text in the assistant's last turn."""
    if isinstance(value, str):
        return orjson.dumps(replace_answer(orjson.loads(value), answer)).decode()
    last = max(i for i, turn in enumerate(value) if _turn(turn, "turn")["role"] == "assistant")
    turn = value[last]
    return [*value[:last], turn | {"value" if "value" in turn else "content": answer}, *value[last + 1 :]]


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


def _turn(turn: Any, position: str) -> Turn:
    """A turn as {role, content}. position: 'turn 2 of ...', for the reason that a ValueError carries."""
    if not isinstance(turn, dict):
        raise ValueError(f"{position} holds {describe(turn)}, not an object with role and content")
    role = turn.get("role") or turn.get("from")
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise ValueError(f"{position} has the role {str(role)[:50]!r}, which is none of {', '.join(ROLES)}")
    content = turn.get("content", turn.get("value"))
    calls = turn.get("tool_calls") or turn.get("function_call")
    if isinstance(content, list):
        content = _join_texts([_part(part, position) for part in content])
    elif isinstance(content, dict) and role == "function_call":
        content = _json(content)
    elif content is None and calls:
        content = ""
    elif not isinstance(content, str):
        raise ValueError(f"{position}: its content holds {describe(content)}, not text")
    if calls and isinstance(content, str):
        content = "\n".join(part for part in (content, _json(calls)) if part)
    return {"role": ROLES[role.lower()], "content": content}


def _part(part: Any, position: str) -> dict[str, Any]:
    """One part of a turn's content: a text, or a picture, with its source if the part holds it."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = part.get("type") if isinstance(part, dict) else None
    if "image" in str(kind):
        source = next((part[key] for key in (*IMAGE_KEYS, *SOURCE_KEYS) if part.get(key)), None)
        if isinstance(source, dict):
            source = next((source[key] for key in SOURCE_KEYS if source.get(key)), None)
        if source is not None and not isinstance(source, str | bytes):
            raise ValueError(f"{position} holds {describe(source)} as a picture, not a path or bytes")
        return {"type": "image"} if source is None else {"type": "image", "source": source}
    if medium := next((medium for word, medium in MEDIA.items() if word in str(kind)), None):
        raise ValueError(f"{position} holds {medium}; this version values texts and pictures only")
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    actual = f"of type {kind!r}" if kind else describe(part)
    raise ValueError(f"{position}: its content has a part that is {actual}, not text")


def _join_texts(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """One text if all parts are texts, else the parts."""
    return parts if any(part["type"] == "image" for part in parts) else "".join(part["text"] for part in parts)


def _tools(value: Any) -> Any:
    """The tools that a row defines: a list or an object, or the JSON text of either."""
    if isinstance(value, str) and value.strip():
        value = _parse_json(value, "tools")
    if value and not isinstance(value, list | dict):
        raise ValueError(f"field 'tools' holds {describe(value)}, not a list of tools")
    return _without_nulls(value) if value else None


def _parse_json(value: str, field: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"field {field!r} holds text that is not JSON ({error.msg})") from error


def _json(value: Any) -> str:
    return orjson.dumps(_without_nulls(value), option=orjson.OPT_SORT_KEYS).decode()


def _without_nulls(value: Any) -> Any:
    """The value without null fields: Parquet and Arrow fill missing keys with null, and a row's id must not change."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
