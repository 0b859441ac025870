"""What every layout gives: the turns of a row; and how a field is read, so that every refusal sounds the same."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

Record = dict[str, Any]
Turn = dict[str, Any]
"""{role, content}; the content is text, or a list of parts {type: text, text} and {type: image} (with its source)."""

MEDIA = {"audio": "a sound", "video": "a video"}
IMAGE_KEYS, IMAGE_INNER = ("image", "image_url"), ("bytes", "path", "url", "data")
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
    """A supervised row: `messages` are {role, content}, the last one is the assistant's and is what is valued."""

    messages: list[Turn]
    tools: Any = None
    pictures: Sequence[str | bytes] = ()
    """In the order of their places: a path, a URL or the bytes."""


def content_id(turns: str, tools: str | None, pictures: Sequence[str]) -> str:
    """The id of a row's content: canonical JSON of its turns and tools, and the SHA-256 of its pictures."""
    with_tools = f',"tools":{tools}' if tools else ""
    shown = f'"images":{orjson.dumps(list(pictures)).decode()},' if pictures else ""
    canonical = f'{{{shown}"kind":"{"vqa" if pictures else "instruction"}","messages":{turns}{with_tools}}}'
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def text(record: Record, field: str) -> str:
    """The text in a field that must hold some. Raises ValueError with what it holds instead."""
    value = record.get(field)
    if not isinstance(value, str):
        raise ValueError(f"field {field!r} {f'holds {held(value)}, not text' if field in record else 'is missing'}")
    if not value.strip():
        raise ValueError(f"field {field!r} is empty")
    return value


def text_or_none(record: Record, field: str) -> str | None:
    """The text in a field that may be missing, null or empty. Raises ValueError if it holds something else."""
    value = record.get(field)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"field {field!r} holds {held(value)}, not text")
    return value if value and value.strip() else None


def turns(value: Any, field: str) -> list[Turn]:
    """A list of {role, content} or {from, value}, or the JSON text of one, with our role names.

    Raises ValueError naming the turn, from 1, and what is wrong with it.
    """
    if isinstance(value, str):
        value = _parsed(value, field)
    if not isinstance(value, list):
        raise ValueError(f"field {field!r} holds {held(value)}, not a list of turns")
    return [_turn(turn, f"turn {number} of {field!r}") for number, turn in enumerate(value, start=1)]


def conversation(record: Record, field: str, system_field: str) -> Sample:
    """The turns of a field up to the last one of the assistant; what comes after it stays in the record only."""
    if field not in record:
        raise ValueError(f"field {field!r} is missing")
    messages = turns(record[field], field)
    if system := text_or_none(record, system_field):
        messages.insert(0, {"role": "system", "content": system})
    return Sample(to_the_answer(messages, field), _tools(record.get("tools")))


def to_the_answer(messages: list[Turn], field: str) -> list[Turn]:
    """The turns up to the last one of the assistant. Raises ValueError if it is empty or nothing is asked before it."""
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    if not messages:
        raise ValueError(f"field {field!r} has no turn of the assistant")
    if not written(messages[-1]).strip():
        raise ValueError(f"the answer, the assistant's last turn of {field!r}, is empty")
    if not any(turn["role"] != "system" and turn["content"] and written(turn, "?").strip() for turn in messages[:-1]):
        raise ValueError(f"field {field!r} asks nothing before the answer")
    return messages


def last_turn(value: Any, answer: str) -> Any:
    """A list of turns, or its JSON text, with another text in the assistant's last turn."""
    if isinstance(value, str):
        return orjson.dumps(last_turn(orjson.loads(value), answer)).decode()
    place = max(i for i, turn in enumerate(value) if _turn(turn, "turn")["role"] == "assistant")
    turn = value[place]
    return [*value[:place], turn | {"value" if "value" in turn else "content": answer}, *value[place + 1 :]]


def written(turn: Turn, picture: str = "") -> str:
    """The text of a turn; `picture` stands for each picture."""
    content = turn["content"]
    if isinstance(content, str):
        return content
    return "\n".join(filter(None, (part["text"] if part["type"] == "text" else picture for part in content)))


def held(value: Any) -> str:
    """What a value is, in words and briefly."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"a boolean ({str(value).lower()})"
    if isinstance(value, int | float):
        return f"a number ({value})"
    kinds = {"str": "text", "list": "a list", "dict": "an object", "bytes": "bytes"}
    return kinds.get(type(value).__name__, f"a {type(value).__name__}")


def _turn(turn: Any, place: str) -> Turn:
    if not isinstance(turn, dict):
        raise ValueError(f"{place} holds {held(turn)}, not an object with role and content")
    role = turn.get("role") or turn.get("from")
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise ValueError(f"{place} has the role {str(role)[:50]!r}, which is none of {', '.join(ROLES)}")
    content = turn.get("content", turn.get("value"))
    calls = turn.get("tool_calls") or turn.get("function_call")
    if isinstance(content, list):
        content = _joined([_part(part, place) for part in content])
    elif isinstance(content, dict) and role == "function_call":
        content = _json(content)
    elif content is None and calls:
        content = ""
    elif not isinstance(content, str):
        raise ValueError(f"{place}: its content holds {held(content)}, not text")
    if calls and isinstance(content, str):
        content = "\n".join(part for part in (content, _json(calls)) if part)
    return {"role": ROLES[role.lower()], "content": content}


def _part(part: Any, place: str) -> dict[str, Any]:
    """One part of a content that comes in parts: a text, or a picture with its source if it stands there."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = part.get("type") if isinstance(part, dict) else None
    if "image" in str(kind):
        source = next((part[key] for key in (*IMAGE_KEYS, *IMAGE_INNER) if part.get(key)), None)
        if isinstance(source, dict):
            source = next((source[key] for key in IMAGE_INNER if source.get(key)), None)
        if source is not None and not isinstance(source, str | bytes):
            raise ValueError(f"{place} holds {held(source)} as a picture, not a path or bytes")
        return {"type": "image"} if source is None else {"type": "image", "source": source}
    if medium := next((medium for word, medium in MEDIA.items() if word in str(kind)), None):
        raise ValueError(f"{place} holds {medium}; this version values texts and pictures only")
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    raise ValueError(f"{place}: its content has a part that is {f'of type {kind!r}' if kind else held(part)}, not text")


def _joined(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Text where all parts are text."""
    return parts if any(part["type"] == "image" for part in parts) else "".join(part["text"] for part in parts)


def _tools(value: Any) -> Any:
    """The tools that a row defines: a list or an object, or the JSON text of one."""
    if isinstance(value, str) and value.strip():
        value = _parsed(value, "tools")
    if value and not isinstance(value, list | dict):
        raise ValueError(f"field 'tools' holds {held(value)}, not a list of tools")
    return _without_nulls(value) if value else None


def _parsed(value: str, field: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"field {field!r} holds text that is not JSON ({error.msg})") from error


def _json(value: Any) -> str:
    return orjson.dumps(_without_nulls(value), option=orjson.OPT_SORT_KEYS).decode()


def _without_nulls(value: Any) -> Any:
    """Parquet and Arrow give every object the keys of all: without this a row's id would depend on its file's kind."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
