"""Recognises the layout of rows and reads rows in it.

columns.py finds which column holds which part of a row, by its name. row.py reads the parts: turns.py the turns of a
conversation in all their shapes, options.py the options of a question, pictures.py the pictures. files.py reads the
records of a file. docs/layouts.md shows what is read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from oresight.tasks.formats.advice import as_yaml, kind_of_file, may_be_context, working_columns
from oresight.tasks.formats.columns import (
    Columns,
    companion_columns,
    has_meaning,
    holds_media,
    main_columns,
    normal,
    unreadable_columns,
)
from oresight.tasks.formats.options import first_label
from oresight.tasks.formats.pictures import with_pictures
from oresight.tasks.formats.row import Shape, read_row
from oresight.tasks.formats.sample import Record, Sample, turn_text
from oresight.tasks.formats.turns import ROLES, replace_answer

NOT_SUPERVISED = frozenset(("chosen", "label", "kto_tag"))
"""Columns of rows that may be no supervised rows."""
IN_THE_NAME = ("image", "context", "options", "history", "reasoning")
"""The parts whose columns the name of a layout lists, because they are not in the layout's own definition."""


class Layout(NamedTuple):
    """How the rows of a dataset are read: a readable name, and which column holds what."""

    name: str
    shape: Shape
    main: Columns
    """The columns of the turns, or of prompt and answer."""
    named: Columns
    """The columns that the user named, by part; no column for a part that is not to be read."""
    all_columns: frozenset[str]
    """The columns of the first rows."""
    used_columns: frozenset[str]
    """Columns that are read. All others are metadata."""
    unreadable: Mapping[str, str]
    """Columns of sounds, videos and unread pictures. A row that holds something there is rejected with this reason."""

    def read(self, record: Record) -> Sample:
        """The record as a supervised row. Raises ValueError with a reason that names the field."""
        shape, unreadable = self.shape, self.unreadable
        if not record.keys() <= self.all_columns:
            shape, unreadable = self._widened(record)
        if not NOT_SUPERVISED.isdisjoint(record) and (reason := _not_supervised(record, self.named)):
            raise ValueError(reason)
        for column, reason in unreadable.items():
            if record.get(column):
                raise ValueError(reason)
        sample = read_row(record, shape)
        return with_pictures(sample, record, shape.columns.get("image", ()), has_marks=shape.has_marks)

    def can_read(self, record: Record) -> bool:
        """Whether the record is a supervised row."""
        try:
            self.read(record)
        except (ValueError, TypeError, RecursionError):
            return False
        return True

    def with_answer(self, record: Record, answer: str) -> Record:
        """The record with another answer instead of its own. Raises ValueError if it cannot be replaced."""
        (field,) = self.main.get("answer") or self.main["messages"]
        value, changed = record[field], record | dict.fromkeys(self.shape.columns.get("reasoning", ()))
        if (
            "messages" in self.main
            or isinstance(value, dict)
            or (isinstance(value, list) and isinstance(value[0], dict))
        ):
            changed[field] = replace_answer(value, answer, self.shape.roles)
        else:
            changed[field] = [answer] if isinstance(value, list) else answer
        if turn_text(read_row(changed, self.shape).messages[-1]) != answer:
            raise ValueError("the answer of this row cannot be replaced; drop the row and add a corrected copy")
        return changed

    def _widened(self, record: Record) -> tuple[Shape, Mapping[str, str]]:
        """The shape and the unreadable columns, with the columns of this record that the first rows lacked."""
        new = {
            column: value
            for column, value in record.items()
            if column not in self.all_columns and (has_meaning(column) or holds_media(value))
        }
        if not new:
            return self.shape, self.unreadable
        added = companion_columns([new], self.main, self.named)
        columns = dict(self.shape.columns)
        for part, names in added.items():
            if part not in ("image", "options") or part not in columns:
                columns[part] = (*columns.get(part, ()), *names)
        return self.shape._replace(columns=columns), {**self.unreadable, **_unreadable([new], columns, self.named)}


def recognise(records: Sequence[Record], named: Mapping[str, Any], field: str = "dataset.columns") -> Layout:
    """The layout of most of these first records, or the layout with the columns that the user named in `field`.

    named: by part of a row the name of its column, several names, or False for none; and `roles`. Raises ValueError
    with the columns and the cure, or with the reason why rows of this kind get no value.
    """
    all_columns = list(dict.fromkeys(column for record in records for column in record))
    roles = {name.lower(): role for name, role in named.get("roles", {}).items()}
    parts = {part: _as_names(names) for part, names in named.items() if part != "roles"}
    if missing := [column for columns in parts.values() for column in columns if column not in all_columns]:
        raise ValueError(f"{field} names {missing[0]!r}, which is no column; the columns are {join_names(all_columns)}")
    if "messages" in parts:
        return _layout("messages", {"messages": parts["messages"]}, records, parts, roles)
    if "prompt" in parts and "answer" in parts:
        main = {"prompt": parts["prompt"], "answer": parts["answer"]}
        return _layout(f"{parts['prompt'][0]}/{parts['answer'][0]}", main, records, parts, roles)
    if "prompt" in parts or "answer" in parts:
        raise ValueError(
            f"{field} needs both prompt and answer, for instance {{prompt: question, answer: best_answer}}"
        )
    votes = Counter((name, tuple(main.items())) for name, main in filter(None, map(main_columns, records)))
    if votes:
        (name, pairs), _ = votes.most_common(1)[0]
        return _layout(name, dict(pairs), records, parts, roles)
    if reason := next(filter(None, (_not_supervised(record, parts) for record in records)), None):
        raise ValueError(f"{reason}{advice_on_columns(records, field)}")
    if unreadable := _unreadable(records, {"image": ()}, parts):
        raise ValueError(next(iter(unreadable.values())))
    raise ValueError(
        f"the columns {join_names(all_columns)} fit no supported layout (messages, sharegpt, llava, alpaca,"
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


def separating_columns(
    records: Sequence[Record], named: Mapping[str, Any], columns: Sequence[str]
) -> tuple[str, Sequence[str]] | None:
    """The value of `columns` that also reads one or all of these columns as context, and which it reads.

    None if the records do not differ then. records: some that are alike as they are read now. named: the present value.
    """
    try:
        layout = recognise(records, named)
        now = [_lines(layout.read(record)) for record in records]
    except (ValueError, TypeError):
        return None
    for more in (columns, *([column] for column in columns)):
        if named.get("context") is False or not all(map(may_be_context, more)):
            continue
        context = [*layout.shape.columns.get("context", ()), *more]
        wider = {**named, "context": context if len(context) > 1 else context[0]}
        try:
            then = [_lines(recognise(records, wider).read(record)) for record in records]
        except (ValueError, TypeError):
            continue
        if len(set(then)) > len(set(now)) and all(set(less) <= set(more) for less, more in zip(now, then, strict=True)):
            return as_yaml(wider), more
    return None


def _lines(sample: Sample) -> tuple[str, ...]:
    return tuple(line for turn in sample.messages for line in turn_text(turn).splitlines())


def _layout(name: str, main: Columns, records: Sequence[Record], named: Columns, roles: Mapping[str, str]) -> Layout:
    """The layout with these columns of turns or of prompt and answer, and with the other parts of these records."""
    columns = {**companion_columns(records, main, named), **main}
    columns |= {part: names for part, names in named.items() if names}
    listed = [column for part in IN_THE_NAME for column in columns.get(part, ()) if name != "alpaca" or part == "image"]
    if listed:
        name = "llava" if name == "sharegpt" and "image" in columns else f"{name} with {', '.join(listed)}"
    (answer,) = columns.get("answer", ("",))
    options = columns.get("options", ())
    shape = Shape(
        columns=columns,
        roles={**ROLES, **roles},
        first_option=first_label(records, options[0], answer) if options and answer else "A",
        has_several_answers="answer" in named or normal(answer).startswith("answer"),
        has_marks=named.get("image") != (),
    )
    return Layout(
        name=name,
        shape=shape,
        main=main,
        named=named,
        all_columns=frozenset(column for record in records for column in record),
        used_columns=frozenset(column for names in columns.values() for column in names),
        unreadable=_unreadable(records, columns, named),
    )


def _as_names(names: Any) -> tuple[str, ...]:
    """The columns of a part as the user names them: one, several, or False for none."""
    return (names,) if isinstance(names, str) else tuple(names or ())


def _unreadable(records: Sequence[Record], columns: Columns, named: Columns) -> Mapping[str, str]:
    """Columns that make a row unreadable, with the reason; none if the user said that there are no pictures."""
    if named.get("image") == ():
        return {}
    used = {column for names in columns.values() for column in names}
    return unreadable_columns(records, used, has_pictures="image" in columns)


def _not_supervised(record: Record, named: Columns) -> str | None:
    """The reason why a record is not a supervised row, in any layout; None if there is none."""
    if "messages" in named or "prompt" in named:  # then the user says what the row is
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


def advice_on_columns(records: Sequence[Record], field: str) -> str:
    """The end of a sentence on rows that cannot be read: the columns that would read them, if there are any."""
    columns = proposed_columns(records)
    return f"; {field}: {columns} reads them" if columns else ""


def _advice(records: Sequence[Record], field: str) -> str:
    if any("?" in column or len(column.split()) > 5 for column in records[0]):
        return "the names look like a row; add a first line with names, such as question and answer"
    columns = proposed_columns(records)
    if columns is None:
        return kind_of_file(records)
    return f"name the columns that hold prompt and answer, for instance {field}: {columns}"


def join_names(columns: Sequence[str]) -> str:
    """The first columns, for a message."""
    return ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "") if columns else "(none)"
