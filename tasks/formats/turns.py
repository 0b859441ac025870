"""Reads the turns of a conversation as {role, content}, in all the shapes in which people write them.

A turn is {role, content} or {from, value}. An item may also be a question with its answer ({human, assistant},
{input, output}, or a list of two texts). Plain texts alternate between user and assistant.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from oresight.tasks.formats.pictures import SOURCE_KEYS, picture_sources
from oresight.tasks.formats.sample import MEDIA, Turn, describe, parse_json, to_json, turn_text

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "function_response": "tool",
}
SIDES = {
    "input": "user",
    "prompt": "user",
    "question": "user",
    "query": "user",
    "instruction": "user",
    "output": "assistant",
    "response": "assistant",
    "answer": "assistant",
    "completion": "assistant",
}
"""Keys of an item that holds a question with its answer, beside the roles themselves."""
CALL_ROLES = ("function_call", "tool_call")
PICTURE_KEYS = ("image", "image_url")
ROLE_KEYS, TEXT_KEYS = ("role", "from", "speaker", "author", "sender"), ("content", "value", "text", "message")
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
TRAINING_KEYS = ("weight", "loss", "train", "training", "trainable")
"""Keys by which trainers leave a turn of the assistant out of the loss, with 0 or false."""


def may_be_turns(value: Any) -> bool:
    """Whether a value may be a list of turns: of objects, of pairs, or of several texts."""
    if not isinstance(value, list) or not value:
        return False
    return isinstance(value[0], dict | list) or (len(value) > 1 and all(isinstance(item, str) for item in value))


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of turns with role and content, and no list of rows."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and isinstance(_role(first), str) and not first.keys().isdisjoint(TEXT_KEYS)


def read_turns(value: Any, field: str, roles: Mapping[str, str] = ROLES) -> list[Turn]:
    """All turns of a list, or of the JSON text of a list. Roles are unified.

    roles: the role of each name, in lower case. Raises ValueError with the number of the turn, counted from 1, and
    what is wrong with it.
    """
    return [turn for _, turn, _ in _numbered_turns(value, field, roles)]


def turns_to_answer(value: Any, field: str, roles: Mapping[str, str] = ROLES) -> list[Turn]:
    """The turns up to the last turn of the assistant that is trained on. Raises ValueError as `read_turns` does.

    Also raises ValueError if there is no such turn, or it is empty.
    """
    turns = list[Turn]()
    end, untrained = 0, False
    for _, turn, is_trained in _numbered_turns(value, field, roles):
        turns.append(turn)
        if turn["role"] == "assistant":
            end, untrained = (len(turns), untrained) if is_trained else (end, True)
    if not end:
        training = " that is trained on (weight: 0, loss: false or train: false)" if untrained else ""
        raise ValueError(f"field {field!r} has no turn of the assistant{training}")
    del turns[end:]
    if not turn_text(turns[-1]).strip():
        raise ValueError(f"the answer, the assistant's last turn of {field!r}, is empty")
    return turns


def replace_answer(value: Any, answer: str, roles: Mapping[str, str] = ROLES) -> Any:
    """A list of turns, or its JSON text, with another text in the turn that `turns_to_answer` ends with.

    The reasoning that led to the old answer is removed.
    """
    if isinstance(value, str):
        return orjson.dumps(replace_answer(parse_json(value, "messages"), answer, roles)).decode()
    if not isinstance(value, list):
        raise ValueError(f"holds {describe(value)}, in which no answer can be replaced")
    last = max(i for i, turn, is_trained in _numbered_turns(value, "messages", roles) if _is_answer(turn, is_trained))
    item = value[last]
    if isinstance(item, str):
        item = answer
    elif isinstance(item, list):
        item = [item[0], answer]
    elif _role(item):
        key = next((key for key in TEXT_KEYS if item.get(key) is not None), "content")
        item = {key: held for key, held in item.items() if key not in REASONING_KEYS} | {key: answer}
    else:
        item = item | {_sides(item, roles, "")["assistant"]: answer}
    return [*value[:last], item, *value[last + 1 :]]


def with_reasoning(reasoning: str | None, answer: Any) -> Any:
    """The content of an answer with the reasoning before it, as models that reason write it."""
    if not reasoning or not answer or "<think>" in str(answer):
        return answer
    thoughts = f"<think>\n{reasoning.strip()}\n</think>\n\n"
    return thoughts + answer if isinstance(answer, str) else [{"type": "text", "text": thoughts}, *answer]


def _is_answer(turn: Turn, is_trained: bool) -> bool:
    return is_trained and turn["role"] == "assistant"


def _numbered_turns(value: Any, field: str, roles: Mapping[str, str]) -> Iterator[tuple[int, Turn, bool]]:
    """Per turn: the index of its item, the turn, and whether it is trained on if it is the assistant's."""
    if isinstance(value, str):
        value = parse_json(value, field)
    if isinstance(value, dict):
        value = _rows_of_columns(value)
    if not isinstance(value, list):
        raise ValueError(f"field {field!r} holds {describe(value)}, not a list of turns")
    are_texts = bool(value) and isinstance(value[0], str) and all(isinstance(item, str) for item in value)
    for i, item in enumerate(value):
        if type(item) is dict and len(item) == 2:  # the usual turn, without a further look
            name, content = item.get("role") or item.get("from"), item.get("content") or item.get("value")
            if type(name) is str and type(content) is str and (role := roles.get(name)):
                yield i, {"role": role, "content": content}, True
                continue
        position = f"turn {i + 1} of {field!r}"
        if are_texts:
            yield i, {"role": ("user", "assistant")[i % 2], "content": item}, True
        elif isinstance(item, list | tuple):
            if len(item) != 2 or not all(isinstance(text, str) for text in item):
                raise ValueError(f"{position} holds {describe(item)}, not a pair of texts (question and answer)")
            yield i, {"role": "user", "content": item[0]}, True
            yield i, {"role": "assistant", "content": item[1]}, True
        elif not isinstance(item, dict):
            raise ValueError(f"{position} holds {describe(item)}, not an object with role and content")
        else:
            is_trained = all(item.get(key) is None or item[key] != 0 for key in TRAINING_KEYS)
            for turn in _item_turns(item, position, roles):
                yield i, turn, is_trained


def _rows_of_columns(value: dict[str, Any]) -> Any:
    """The items of an object of lists of equal length, as some tables hold a list of objects; else the object."""
    lists = [column for column in value.values() if isinstance(column, list)]
    if len(lists) != len(value) or len({len(column) for column in lists}) != 1:
        return value
    return [dict(zip(value, items, strict=True)) for items in zip(*lists, strict=True)]


def _role(item: dict[str, Any]) -> Any:
    return next((item[key] for key in ROLE_KEYS if item.get(key)), None)


def _sides(item: dict[str, Any], roles: Mapping[str, str], position: str) -> dict[str, str]:
    """By role, the key of its text, in an item that holds a question with its answer."""
    sides: dict[str, str] = {}
    for key, text in item.items():
        role = roles.get(key.lower()) or SIDES.get(key.lower())
        if role and text is not None:
            if role in sides:
                raise ValueError(f"{position} has two texts of the {role} ({sides[role]!r} and {key!r})")
            sides[role] = key
    return sides


def _item_turns(item: dict[str, Any], position: str, roles: Mapping[str, str]) -> list[Turn]:
    """The turns of an object: one with a role, or a question and its answer."""
    name = _role(item)
    has_text = any(item.get(key) is not None for key in TEXT_KEYS)
    if name is None and not has_text and (sides := _sides(item, roles, position)):
        texts = [(role, item[sides[role]]) for role in ("system", "user", "assistant", "tool") if role in sides]
        return [_turn(role, text, item, position) for role, text in texts if text or role != "system"]
    if not isinstance(name, str):
        advice = "if a key stands for a role, say so in columns: {roles: {KEY: user}}"
        raise ValueError(f"{position} has no role that is known; its keys are {', '.join(item)[:200]}; {advice}")
    role = roles.get(name.lower())
    if role is None:
        name = name[:50]
        raise ValueError(
            f"{position} has the role {name!r}, which is not known; say what it is, for instance in columns: {{roles:"
            f" {{{name!r}: assistant}}}}; the known roles are {', '.join(roles)}"
        )
    text = next((item[key] for key in TEXT_KEYS if item.get(key) is not None), None)
    if isinstance(text, dict) and (role == "tool" or name.lower() in CALL_ROLES):
        text = to_json(text)
    return [_turn(role, text, item, position)]


def _turn(role: str, text: Any, item: dict[str, Any], position: str) -> Turn:
    """A turn: the reasoning, then the text or the parts, then the calls of tools."""
    calls = item.get("tool_calls") or item.get("function_call")
    reasoning = [item[key] for key in REASONING_KEYS if isinstance(item.get(key), str) and item[key].strip()][:1]
    if isinstance(text, list):
        if role == "user" and all(isinstance(part, dict) and part.get("type") == "tool_result" for part in text):
            role = "tool"
        parts = [part for item in text for part in _parts(item, position)]
        calls = calls or [part["call"] for part in parts if part["type"] == "call"]
        reasoning = reasoning or [part["reasoning"] for part in parts if part["type"] == "reasoning"]
        parts = [part for part in parts if part["type"] in ("text", "image")]
        text = parts if any(part["type"] == "image" for part in parts) else "".join(part["text"] for part in parts)
    elif text is None and calls:
        text = ""
    elif not isinstance(text, str):
        raise ValueError(f"{position}: its content holds {describe(text)}, not text")
    if calls:
        written = calls if isinstance(calls, str) else to_json(calls)
        text = (
            "\n".join(filter(None, (text, written))) if isinstance(text, str) else [*text, *_parts(written, position)]
        )
    return {"role": role, "content": with_reasoning("\n".join(reasoning), text) if role == "assistant" else text}


def _parts(part: Any, position: str) -> list[dict[str, Any]]:
    """The parts in one part of a turn's content: a text, a picture, a call of a tool, or reasoning."""
    if isinstance(part, str):
        return [{"type": "text", "text": part}]
    kind = str(part.get("type") or "") if isinstance(part, dict) else ""
    if "image" in kind or (isinstance(part, dict) and not kind and any(part.get(key) for key in PICTURE_KEYS)):
        source = next((part[key] for key in (*PICTURE_KEYS, *SOURCE_KEYS) if part.get(key)), None)
        sources = picture_sources(source, position)
        return [{"type": "image", "source": source} for source in sources] or [{"type": "image"}]
    if medium := next((medium for word, medium in MEDIA.items() if word in kind), None):
        raise ValueError(f"{position} holds {medium}; this version values texts and pictures only")
    if isinstance(part, dict):
        if kind == "tool_use":
            return [{"type": "call", "call": {key: part.get(key) for key in ("id", "name", "input")}}]
        if kind == "tool_result":
            content = part.get("content") or ""
            return [
                inner
                for item in ([content] if isinstance(content, str) else content)
                for inner in _parts(item, position)
            ]
        text = next((part[key] for key in ("text", "value", *REASONING_KEYS) if isinstance(part.get(key), str)), None)
        if text is not None:
            return [
                {"type": "reasoning", "reasoning": text} if kind in REASONING_KEYS else {"type": "text", "text": text}
            ]
    actual = f"of type {kind!r}" if kind else describe(part)
    raise ValueError(f"{position}: its content has a part that is {actual}, not text")
