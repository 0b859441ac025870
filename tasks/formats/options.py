"""Reads the options of a multiple-choice question, one a line, each with its label: 'A. mouse'.

Options stand in columns (A and B, or option1 and option2), in a list, in an object by label, or in a text.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, NamedTuple

from oresight.tasks.formats.literals import structure_in
from oresight.tasks.formats.sample import Record, describe

OPTION_COLUMN = re.compile(r"(?i)(option|choice|op|opt|)[ _-]?([a-j]|[1-9])")
LABELLED = re.compile(r"\(?[A-Ja-j0-9][.):]\s")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LABEL_KEYS, TEXT_KEYS = ("label", "key", "id"), ("text", "value", "option", "content")


class Option(NamedTuple):
    """An option, and its label if it has one of its own."""

    label: str | None
    text: str


def option_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """The columns that hold one option each, in the order of their labels: at least A and B, or option1 and option2."""
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for column in columns:
        if match := OPTION_COLUMN.fullmatch(column):
            prefix, label = match[1].lower(), match[2]
            first = "1" if label.isdigit() else "A" if prefix or label.isupper() else "a"
            groups.setdefault((prefix, first), {}).setdefault(label if first == "a" else label.upper(), column)
    for (prefix, first), by_label in groups.items():
        needed = {"1": {"1", "2"}, "A": {"A", "B"}, "a": {"a", "b", "c"}}[first]  # two columns a and b say too little
        if needed <= by_label.keys() and (prefix or first != "1"):
            return tuple(by_label[label] for label in sorted(by_label))
    return ()


def may_be_options(value: Any) -> bool:
    """Whether a value may hold options: a text, a list, an object by label, or {label: [...], text: [...]}."""
    if isinstance(value, list):
        return all(isinstance(item, str | int | float | dict) for item in value)
    if isinstance(value, dict):
        return isinstance(value.get("text"), list) or all(len(label) < 3 for label in value)
    return isinstance(value, str)


def options_text(record: Record, columns: Sequence[str], first: str) -> str:
    """The options that a record's columns hold, one a line; '' if they hold none.

    first: the label of the first option in a list without labels: 'A', '0' or '1'. Raises ValueError with the
    field if it holds something else.
    """
    lines, single = list[str](), list[str]()
    matches = [OPTION_COLUMN.fullmatch(column) for column in columns]
    is_named = len(columns) > 1 and not any(matches)  # one option a column, in columns with other names
    for i, (column, match) in enumerate(zip(columns, matches, strict=True)):
        value = record.get(column)
        if value is None or value == "":
            continue
        if (match or is_named) and not isinstance(value, list | dict):
            single.append(f"{match[2].upper() if match else LETTERS[i]}. {value}")
        elif isinstance(options := _options(value, column), str):
            lines.append(options)
        else:
            with_letters = first == "A" and len(options) <= len(LETTERS)
            labels = LETTERS if with_letters else map(str, count(0 if first == "0" else 1))
            have_labels = all(LABELLED.match(option.text) for option in options)
            lines += [
                option.text if have_labels else f"{option.label or label}. {option.text}"
                for label, option in zip(labels, options, strict=False)
            ]
    return "\n".join(lines or single)


def is_listed(options: str, prompt: str) -> bool:
    """Whether a prompt lists the options itself, as 'A. mouse', 'A) mouse' or 'A: mouse'."""
    labels = [line.partition(". ") for line in options.splitlines()]
    return all(any(f"{label}{mark} {text}" in prompt for mark in ".):") for label, _, text in labels)


def first_label(records: Iterable[Record], options: str, answer: str) -> str:
    """The label of the first option in a column of lists.

    'A', or '0' or '1' if all answers of these records are indexes into their options, counted from there.
    """
    indexes, counts = list[int](), list[int]()
    for record in records:
        value = record.get(options)
        try:
            listed = _options(value, options) if may_be_options(value) else ""
        except ValueError:  # the row will be a reject
            continue
        if isinstance(listed, list):
            index = str(record.get(answer))
            if not index.isdecimal() or int(index) > len(listed) or index in [option.text for option in listed]:
                return "A"
            indexes.append(int(index))
            counts.append(len(listed))
    if not indexes:
        return "A"
    return "1" if 0 not in indexes and any(map(int.__eq__, indexes, counts)) else "0"


def _options(value: Any, field: str) -> list[Option] | str:
    """The options in a list or an object, or in the JSON text of either; another text is returned as it is."""
    if isinstance(value, str):
        listed = structure_in(value)
        return value if listed is None else _options(listed, field)
    if isinstance(value, dict) and isinstance(value.get("text"), list):  # columns of labels and texts
        labels = value.get("label") or [None] * len(value["text"])
        value = [{"label": label, "text": text} for label, text in zip(labels, value["text"], strict=False)]
    elif isinstance(value, dict):
        value = [{"label": label, "text": text} for label, text in value.items() if text is not None]
    if isinstance(value, list):
        return [_option(item, field) for item in value]
    return str(value)


def _option(item: Any, field: str) -> Option:
    label = None
    if isinstance(item, dict):
        label = next((str(item[key]) for key in LABEL_KEYS if item.get(key) is not None), None)
        item = next((item[key] for key in TEXT_KEYS if item.get(key) is not None), item)
    if not isinstance(item, str | int | float):
        raise ValueError(f"field {field!r} holds {describe(item)} as an option, not text")
    return Option(label, str(item))
