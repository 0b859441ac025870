"""Finds the rows in a file that is one JSON object: {"data": [...]}, {"train": [...]}, objects by id, columns of lists.

The only object of a file may also be its only row. What is ambiguous is refused with a sentence that names the keys.
"""

from collections.abc import Collection
from typing import Any

from oresight.tasks.formats.sample import Record
from oresight.tasks.formats.splits import choose, split_of
from oresight.tasks.formats.turns import is_conversation

TURN_KEYS = ("messages", "conversations", "conversation")
TEXT_KEYS = ("question", "prompt", "instruction", "query", "input", "text", *TURN_KEYS)
"""An object with a text or turns under one of these keys is a row."""


def rows_of(document: Record, split: str | None, field: str) -> list[Any] | None:
    """The rows that an object holds, in order; None if it is a row itself. A row may be no object.

    split: the split to read, if it holds several. field: the setting that names the split, for messages. Raises
    ValueError, without the file's name, if it is unclear which list holds the rows, or which split to read.
    """
    if _is_row(document):
        return None
    lists = {key: value for key, value in document.items() if _is_list_of_rows(value)}
    splits = {key: split_of(key) for key in lists}
    if lists and all(splits.values()):
        return [row for key in choose(splits, split, field) for row in lists[key]]
    rows: list[Any] | None = _columns(document) or _only_list(lists)
    if rows and isinstance(photos := document.get("data_subtype"), str):
        rows = [_with_photo(row, photos) for row in rows]
    if rows is None and document and all(isinstance(value, dict) for value in document.values()):
        rows = [{"id": key} | row for key, row in document.items()]
    return rows and _of_split(rows, split, field)


def _is_row(document: Record) -> bool:
    if any(isinstance(document.get(key), str) for key in TEXT_KEYS) or any(map(is_conversation, document.values())):
        return True
    turns = [value for key in TURN_KEYS if isinstance(value := document.get(key), list) and value]
    # Else they are a column of conversations, or rows with such a column.
    return any(
        isinstance(value[0][0] if isinstance(value[0], list) and value[0] else value[0], str)
        or (isinstance(value[0], dict) and value[0].keys().isdisjoint(TURN_KEYS))
        for value in turns
    )


def require_answers(rows: list[Any]) -> None:
    """Raises ValueError, without the file's name, if rows are questions and their answers are in another file."""
    fields = rows[0].keys() if isinstance(rows[0], dict) else set()
    if "question_id" in fields and ("question" in fields) != any("answer" in name for name in fields):
        held, missing = ("questions", "annotations") if "question" in fields else ("annotations", "questions")
        raise ValueError(
            f"holds {held} without the {missing} that belong to them; give the folder that holds the files of both"
        )


def _only_list(lists: dict[str, list[Any]]) -> list[Any] | None:
    """The rows of the only list of objects; None if there is no list."""
    if lists.keys() == {"rows", "features"}:  # as the hub's server answers
        return [item["row"] if isinstance(item, dict) and "row" in item else item for item in lists["rows"]]
    if len(lists) > 1:
        names = ", ".join(map(repr, list(lists)[:5]))
        raise ValueError(
            f"holds lists of objects under the keys {names}{', ...' if len(lists) > 5 else ''}; write the list that"
            " holds the rows as a file of its own"
        )
    return next(iter(lists.values()), None)


def _of_split(rows: list[Any], split: str | None, field: str) -> list[Any]:
    """The rows of a split where each row names its own, as in ScienceQA; else all rows."""
    splits = {str(i): row.get("split") if isinstance(row, dict) else None for i, row in enumerate(rows)}
    if all(isinstance(value, str) and split_of(value) for value in splits.values()):
        return [rows[int(i)] for i in choose(splits, split, field)]
    if split:
        raise ValueError(f"holds no splits; leave out {field}")
    return rows


def _with_photo(row: Any, photos: str) -> Any:
    """A row of VQAv2 with the file of its photo, which it names by a number only. photos: 'train2014', for instance."""
    number = row.get("image_id") if isinstance(row, dict) else None
    return {"image": f"COCO_{photos}_{number:012d}.jpg"} | row if isinstance(number, int) else row


def _columns(document: Record) -> list[Record] | None:
    """The rows of columns, as pandas' to_json writes them by default or with orient 'list' or 'split'; else None."""
    names, values = document.get("columns"), list(document.values())
    if isinstance(names, list) and _are_lists(document.get("data"), len(names)):
        return [dict(zip(map(str, names), row, strict=True)) for row in document["data"]]
    first = values[0] if values else None
    if isinstance(first, list) and first and _are_lists(values, len(first)):
        if all(isinstance(value[0], dict) for value in values):
            return None
        return [dict(zip(document, row, strict=True)) for row in zip(*values, strict=True)]
    if isinstance(first, dict) and all(isinstance(value, dict) and value.keys() == first.keys() for value in values):
        are_columns = bool(first) and _are_numbers(first) and not _are_numbers(document)
        return [{name: column[key] for name, column in document.items()} for key in first] if are_columns else None
    return None


def _are_lists(values: Any, length: int) -> bool:
    return isinstance(values, list) and all(isinstance(value, list) and len(value) == length for value in values)


def _are_numbers(keys: Collection[str]) -> bool:
    return all(key.isdigit() for key in keys)


def _is_list_of_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and not is_conversation(value)
