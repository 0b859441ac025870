"""Reads a record as a supervised row: the turns up to the answer, with all that the answer depends on.

The user's text is the prompt, then the context, then the options, each on a new line. System and history precede it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from oresight.tasks.formats.columns import Columns, normal
from oresight.tasks.formats.literals import structure_in
from oresight.tasks.formats.options import is_listed, options_text
from oresight.tasks.formats.sample import (
    Record,
    Sample,
    Turn,
    describe,
    optional_text,
    parse_json,
    required_text,
    to_json,
    turn_text,
    without_nulls,
)
from oresight.tasks.formats.turns import ROLE_KEYS, ROLES, read_turns, turns_to_answer, with_reasoning

AROUND = frozenset(("system", "history", "reasoning"))
"""The parts that stand before the prompt, or between prompt and answer."""


class Shape(NamedTuple):
    """How the parts of a row stand in a record."""

    columns: Columns
    roles: Mapping[str, str] = ROLES
    """The role of each name, in lower case."""
    first_option: str = "A"
    """The label of the first option in a list without labels: 'A', '0' or '1'."""
    has_several_answers: bool = False
    """Whether a list of different texts in the answer's column holds several right answers."""
    has_marks: bool = True
    """Whether a mark such as <image> in a text stands for a picture. If not, it is text."""


def read_row(record: Record, shape: Shape) -> Sample:
    """The supervised row in a record, without its pictures. Raises ValueError with a reason that names the field."""
    columns = shape.columns
    context = (
        [text for field in columns["context"] if (text := _context(record, field))] if "context" in columns else []
    )
    options = options_text(record, columns["options"], shape.first_option) if "options" in columns else ""
    if "messages" in columns:
        (field,) = columns["messages"]
        if field not in record:
            raise ValueError(f"field {field!r} is missing")
        turns = turns_to_answer(record[field], field, shape.roles)
    else:
        (prompt,), (field,) = columns["prompt"], columns["answer"]
        turns = _prompt(record, prompt, shape, is_optional=bool(context))
        turns += _answer(record, field, shape, has_options=bool(options))
    if context or options:
        is_instruction = normal(columns.get("prompt", ("",))[0]) == "instruction"
        _extend_question(turns, context, options, is_instruction=is_instruction)
    if not AROUND.isdisjoint(columns):
        _add_around(turns, record, shape)
    if not _has_question(turns):
        raise ValueError(f"field {field!r} has no question before the answer")
    for tools in columns.get("tools", ()):
        if value := _tools(record, tools):
            return Sample(turns, value)
    return Sample(turns)


def _has_question(turns: list[Turn]) -> bool:
    """Whether something other than a system prompt precedes the answer: a text or a picture."""
    return any(turn["role"] != "system" and turn["content"] and turn_text(turn, "?").strip() for turn in turns[:-1])


def _add_around(turns: list[Turn], record: Record, shape: Shape) -> None:
    """Add system prompt and history before the turns, and the reasoning to the answer."""
    for field in shape.columns.get("reasoning", ()):
        turns[-1]["content"] = with_reasoning(optional_text(record, field), turns[-1]["content"])
    for field in shape.columns.get("history", ()):
        if record.get(field):
            turns[:0] = read_turns(record[field], field, shape.roles)
    systems = [text for field in shape.columns.get("system", ()) if (text := _system(record, field))]
    system = {"role": "system", "content": "\n".join(systems)}
    if systems and turns[0] != system:
        turns.insert(0, system)


def _prompt(record: Record, field: str, shape: Shape, *, is_optional: bool) -> list[Turn]:
    value = record.get(field)
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        return read_turns(value, field, shape.roles)
    text = optional_text(record, field) if is_optional else required_text(record, field)
    return [{"role": "user", "content": text or ""}]


def _answer(record: Record, field: str, shape: Shape, *, has_options: bool) -> list[Turn]:
    """The turns in the answer's column: a text, turns, or the most frequent of several right answers."""
    value = record.get(field)
    if isinstance(value, str) and normal(field) == "answers" and (listed := structure_in(value)):
        value = listed
    if isinstance(value, list) and (not value or any(isinstance(item, dict) and _is_turn(item) for item in value)):
        return turns_to_answer(value, field, shape.roles)
    texts = _answers(value) if isinstance(value, list | dict) else []
    if len(set(texts)) == 1 or (texts and shape.has_several_answers):
        return [{"role": "assistant", "content": max(texts, key=texts.count)}]
    if has_options and isinstance(value, int) and not isinstance(value, bool):
        return [{"role": "assistant", "content": str(value)}]
    return [{"role": "assistant", "content": required_text(record, field)}]


def _is_turn(item: dict[str, Any]) -> bool:
    return any(item.get(key) for key in ROLE_KEYS)


def _answers(value: Any) -> list[str]:
    """The texts in a list of texts or of {answer: text}, or in {text: [texts]}; [] if the value is none of these."""
    if isinstance(value, dict):
        value = value.get("text") or value.get("value") or value.get("answer")
    items = value if isinstance(value, list) else [value]
    texts = [item.get("answer") or item.get("text") if isinstance(item, dict) else item for item in items]
    return [str(text) for text in texts] if all(isinstance(text, str) and text.strip() for text in texts) else []


def _context(record: Record, field: str) -> str | None:
    """The text of a context; texts in a list follow each other, and other values become JSON."""
    value = record.get(field)
    if not isinstance(value, list | dict):
        return optional_text(record, field)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return to_json(value)


def _system(record: Record, field: str) -> str | None:
    """The text of a system prompt, which may be a list of texts or of parts with a text."""
    value = record.get(field)
    if isinstance(value, list):
        texts = [item.get("text") if isinstance(item, dict) else item for item in value]
        return "\n".join(required_text({field: text}, field) for text in texts)
    return optional_text(record, field)


def _extend_question(turns: list[Turn], context: list[str], options: str, *, is_instruction: bool) -> None:
    """Add context and options to the last turn of the user, except what a prompt says already.

    is_instruction: the context is an input that belongs to an instruction, which may say a part of it.
    """
    last = max((i for i, turn in enumerate(turns[:-1]) if turn["role"] == "user"), default=None)
    if last is None:
        raise ValueError("has context or options, and no turn of the user before the answer")
    prompt = turn_text(turns[last])
    texts = [text for text in context if is_instruction or text not in prompt]
    if options and not is_listed(options, prompt):
        texts.append(options)
    content = turns[last]["content"]
    if isinstance(content, str):
        turns[last] = {"role": "user", "content": "\n".join(filter(None, (content, *texts)))}
    elif texts:
        turns[last] = {"role": "user", "content": [*content, {"type": "text", "text": "\n".join(texts)}]}


def _tools(record: Record, field: str) -> Any:
    """The tools that a row defines: a list or an object, or the JSON text of either."""
    value = record.get(field)
    if isinstance(value, str):
        value = parse_json(value, field) if value.strip() else None
    if value and not isinstance(value, list | dict):
        raise ValueError(f"field {field!r} holds {describe(value)}, not a list of tools")
    return without_nulls(value) if value else None
