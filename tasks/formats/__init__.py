"""Recognises the layout of rows and reads rows in it. One small file per layout.

A layout file has two functions. `match(record)` returns the columns that it would read, or None.
`read(record, columns)` returns a Sample, or raises a ValueError with the reason that `rejects` then shows. sample.py
is what the layouts share; files.py reads the records of a file.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from oresight.tasks.formats import alpaca, messages, pictures, sharegpt, table
from oresight.tasks.formats.advice import as_yaml, kind_of_file, working_columns
from oresight.tasks.formats.sample import MEDIA, Record, Sample, replace_answer, turn_text

MEDIA_COLUMNS = {"audios": MEDIA["audio"], "videos": MEDIA["video"]}
READERS = {"messages": messages, "sharegpt": sharegpt, "alpaca": alpaca, "table": table}


class Layout(NamedTuple):
    """How the rows of a dataset are read: a readable name, the reader, and which column holds what."""

    name: str
    reader: Callable[[Record, Mapping[str, str]], Sample]
    columns: Mapping[str, str]
    """The record's column for each of prompt, answer, messages, system, image ..."""
    used_columns: frozenset[str]
    """Columns that are read. All others are metadata."""
    is_named: bool
    """Whether the user named the columns. Then no row counts as a preference pair."""

    def read(self, record: Record) -> Sample:
        """The record as a supervised row. Raises ValueError with a reason that names the field."""
        if reason := _not_supervised(record, is_named=self.is_named):
            raise ValueError(reason)
        return pictures.with_pictures(self.reader(record, self.columns), record, self.columns)

    def can_read(self, record: Record) -> bool:
        """Whether the record is a supervised row."""
        try:
            self.read(record)
        except (ValueError, TypeError, RecursionError):
            return False
        return True

    def with_answer(self, record: Record, answer: str) -> Record:
        """The record with another answer instead of its own. Raises ValueError if it cannot be replaced."""
        field = self.columns.get("answer") or self.columns["messages"]
        is_text = "answer" in self.columns and isinstance(record[field], str)
        changed = record | {field: answer if is_text else replace_answer(record[field], answer)}
        if turn_text(self.read(changed).messages[-1]) != answer:
            raise ValueError("the answer of this row cannot be replaced; drop the row and add a corrected copy")
        return changed


def recognise(records: Sequence[Record], named: Mapping[Any, str], field: str = "dataset.columns") -> Layout:
    """The layout of most of these first records, or the layout with the columns that the user named in `field`.

    Raises ValueError with the columns and the cure, or with the reason why rows of this kind get no value.
    """
    columns = list(dict.fromkeys(column for record in records for column in record))
    if missing := [column for column in named.values() if column not in columns]:
        raise ValueError(f"{field} names {missing[0]!r}, which is no column; the columns are {_join_names(columns)}")
    image_columns = Counter(filter(None, map(pictures.column, records)))
    image = {"image": image_columns.most_common(1)[0][0]} if image_columns else {}
    if "messages" in named:
        return _layout("messages", image | dict(named), is_named=True)
    if "prompt" in named and "answer" in named:
        return _layout("table", image | dict(named), is_named=True)
    if "prompt" in named or "answer" in named:
        raise ValueError(
            f"{field} needs both prompt and answer, for instance {{prompt: question, answer: best_answer}}"
        )
    votes: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
    for record in records:
        for name, reader in READERS.items():
            if match := reader.match(record):
                votes[name, tuple(match.items())] += 1
                break
    if votes:
        (name, pairs), _ = votes.most_common(1)[0]
        return _layout(name, dict(pairs) | image | dict(named), is_named=False)
    if reason := next(filter(None, (_not_supervised(record, is_named=bool(named)) for record in records)), None):
        raise ValueError(f"{reason}{cure(records, field)}")
    raise ValueError(
        f"the columns {_join_names(columns)} fit no supported layout (messages, sharegpt, llava, alpaca,"
        f" prompt/completion, question/answer); {_advice(records, field)}"
    )


def proposed_columns(records: Sequence[Record]) -> str | None:
    """The value of `columns` with which most of these first rows are read, which was tried; None if there is none."""
    if any(map(_liked_label, records)):
        return None  # the columns would be read, and disliked answers with them

    def share_read(columns: dict[str, str]) -> float:
        layout = recognise(records, columns)
        return sum(map(layout.can_read, records)) / len(records)

    return working_columns(records, share_read)


def separating_columns(records: Sequence[Record], named: Mapping[Any, Any], columns: list[str]) -> str | None:
    """The value of `columns` with which these records differ that are alike as they are read now, because it also reads
    these columns as context. It was tried; None if it does not work.

    named: the present value.
    """
    wider = {**named, "context": columns if len(columns) > 1 else columns[0]}
    try:
        now, then = ([_lines(recognise(records, names).read(record)) for record in records] for names in (named, wider))
    except (ValueError, TypeError):
        return None
    works = len(set(then)) > len(set(now)) and all(set(less) <= set(more) for less, more in zip(now, then, strict=True))
    return as_yaml(wider) if works else None


def _lines(sample: Sample) -> tuple[str, ...]:
    return tuple(line for turn in sample.messages for line in turn_text(turn).splitlines())


def _layout(reader: str, columns: dict[str, str], *, is_named: bool) -> Layout:
    columns.setdefault("system", "system")
    name = f"{columns['prompt']}/{columns['answer']}" if reader == "table" else reader
    if "image" in columns:
        name = "llava" if reader == "sharegpt" else f"{name} with {columns['image']}"
    used = {*columns.values(), *(["tools"] if "messages" in columns else [])}
    return Layout(name, READERS[reader].read, columns, frozenset(used), is_named)


def _not_supervised(record: Record, *, is_named: bool) -> str | None:
    """The reason why a record is not a supervised row, in any layout; None if there is none."""
    for column, medium in MEDIA_COLUMNS.items():
        if record.get(column):
            return f"field {column!r} holds {medium}; this version values texts and pictures only"
    if is_named:
        return None
    if "chosen" in record and "rejected" in record:
        return "a preference pair, not a supervised row; keep the chosen answer as a row of its own"
    if field := _liked_label(record):
        return (
            f"an answer with a liked-or-not label (field {field!r}), not a supervised row; keep the liked answers only"
        )
    return None


def _liked_label(record: Record) -> str | None:
    """The column that says whether people liked the answer."""
    if isinstance(record.get("kto_tag"), bool):
        return "kto_tag"
    has_answer = not record.keys().isdisjoint(("messages", "conversations", "completion"))
    return "label" if has_answer and isinstance(record.get("label"), bool) else None


def cure(records: Sequence[Record], field: str) -> str:
    """The end of a sentence on rows that cannot be read: the columns that would read them, if there are any."""
    columns = proposed_columns(records)
    return f"; {field}: {columns} reads them" if columns else ""


def _advice(records: Sequence[Record], field: str) -> str:
    columns = proposed_columns(records)
    if columns is None:
        return kind_of_file(records)
    return f"name the columns that hold prompt and answer, for instance {field}: {columns}"


def _join_names(columns: Sequence[str]) -> str:
    return ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "") if columns else "(none)"
