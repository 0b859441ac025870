"""Recognises the layout of rows and reads rows in it. One small file per layout.

A layout file has two functions. `match(record)` returns the columns that it would read, or None.
`read(record, columns)` returns a Sample, or raises a ValueError with the reason that `rejects` then shows. sample.py
is what the layouts share; files.py reads the records of a file.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from oresight.tasks.formats import alpaca, messages, pictures, sharegpt, table
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
        raise ValueError(reason)
    raise ValueError(
        f"the columns {_join_names(columns)} fit no supported layout (messages, sharegpt, llava, alpaca,"
        " prompt/completion, question/answer); name the columns that hold prompt and answer, for instance"
        f" {field}: {_suggest_columns(records)}"
    )


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
    is_labelled = isinstance(record.get("label"), bool) and not record.keys().isdisjoint(
        ("messages", "conversations", "completion")
    )
    if is_labelled or isinstance(record.get("kto_tag"), bool):
        field = "label" if is_labelled else "kto_tag"
        return (
            f"an answer with a liked-or-not label (field {field!r}), not a supervised row; keep the liked answers only"
        )
    return None


def _suggest_columns(records: Sequence[Record]) -> str:
    """The likeliest value of `dataset.columns`, for an error message."""
    texts = [column for column, value in (records[0] if records else {}).items() if isinstance(value, str)]
    texts = [column for column in texts if column not in ("id", "idx", "index")] or ["q", "a"]
    prompts = [
        column for column in texts if any(word in column.lower() for word in ("question", "prompt", "instruction"))
    ]
    prompt = (prompts or texts)[0]
    rest = [column for column in texts if column != prompt] or ["a"]
    answers = [column for column in rest if any(word in column.lower() for word in ("answer", "output", "response"))]
    return f"{{prompt: {prompt}, answer: {(answers or rest)[0]}}}"


def _join_names(columns: Sequence[str]) -> str:
    return ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "") if columns else "(none)"
