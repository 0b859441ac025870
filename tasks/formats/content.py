"""Turns one line into the columns of a row. A line without a supervised row gives the reason for `rejects` instead."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from oresight.tasks.formats import Layout
from oresight.tasks.formats.album import UsablePicture
from oresight.tasks.formats.line import Line, dumps
from oresight.tasks.formats.sample import Sample, content_id, turn_text

RAW_CHARACTERS = 1000
"""Characters of a rejected line that are stored."""


class RowContent(NamedTuple):
    """A row's columns that depend on the record alone, in the order of ROW_SCHEMA."""

    sample_id: str
    kind: str
    prompt: str
    answer: str
    messages: str
    tools: str | None
    images: list[dict[str, Any]] | None
    metadata: str
    record: str


def read_sample(line: Line, layout: Layout) -> Sample | str:
    """The supervised row that a line holds, or the reason why it holds none."""
    if line.record is None:
        return line.reason
    if "\\u0000" in line.text and "\0" in "".join(_texts(line.record)):
        return "holds a NUL character (\\u0000)"
    try:
        return layout.read(line.record)
    except (ValueError, TypeError, RecursionError) as error:
        return str(error) if isinstance(error, ValueError) else f"cannot be kept as JSON ({error})"


def row_content(line: Line, layout: Layout, sample: Sample | str, pictures: list[UsablePicture]) -> RowContent:
    """A row as columns. Raises ValueError with the reason if the line holds no supervised row."""
    if isinstance(sample, str) or line.record is None:
        raise ValueError(sample)
    messages, tools, _ = sample
    try:
        turns = orjson.dumps(messages, option=orjson.OPT_SORT_KEYS).decode()
        tools = orjson.dumps(tools, option=orjson.OPT_SORT_KEYS).decode() if tools else None
        metadata = dumps({column: value for column, value in line.record.items() if column not in layout.used_columns})
    except (TypeError, RecursionError) as error:
        raise ValueError(f"cannot be kept as JSON ({error})") from error
    *prompt_turns, answer = messages
    if len(prompt_turns) == 1:
        prompt = turn_text(prompt_turns[0])
    else:
        prompt = "\n\n".join(f"{turn['role']}: {turn_text(turn)}" for turn in prompt_turns)
    return RowContent(
        sample_id=content_id(turns, tools, [picture.sha256 for picture in pictures]),
        kind="vqa" if pictures else "instruction",
        prompt=prompt,
        answer=turn_text(answer),
        messages=turns,
        tools=tools,
        images=[picture._asdict() for picture in pictures] or None,
        metadata=metadata,
        record=line.text,
    )


def _texts(value: Any) -> Iterator[str]:
    """Every text and every key in a value, at any depth."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            pending += value


def raw_beginning(text: str) -> str:
    """The beginning of a line that may hold anything, as text that the database can store."""
    return text[:RAW_CHARACTERS].encode(errors="surrogateescape").decode(errors="replace").replace("\0", "\ufffd")
