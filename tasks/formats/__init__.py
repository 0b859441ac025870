"""Which layout rows are in, and what a row says in it. One small file per layout that users hold.

A layout file has `match(record)`, the columns that it would read or None, and `read(record, columns)`, a Sample or a
ValueError whose sentence becomes the reject's reason. sample.py is what they share, files.py the way from a file to
records.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from oresight.tasks.formats import alpaca, messages, pictures, sharegpt, table
from oresight.tasks.formats.sample import MEDIA, Record, Sample, last_turn, written

MEDIA_COLUMNS = {"audios": MEDIA["audio"], "videos": MEDIA["video"]}
READERS = {"messages": messages, "sharegpt": sharegpt, "alpaca": alpaca, "table": table}


class Layout(NamedTuple):
    """How the rows of a dataset are read: its name for people, the reader, and which column holds what."""

    name: str
    reader: Callable[[Record, Mapping[str, str]], Sample]
    columns: Mapping[str, str]
    used: frozenset[str]
    """Columns that are not metadata."""
    named: bool
    """The user said which column holds what, so nothing is taken for half of a preference pair."""

    def read(self, record: Record) -> Sample:
        """The record as a supervised row. Raises ValueError with a sentence that names the field."""
        if reason := _no_row_of_ours(record, self.named):
            raise ValueError(reason)
        return pictures.with_pictures(self.reader(record, self.columns), record, self.columns)

    def answered(self, record: Record, answer: str) -> Record:
        """The record with another answer in the place of its own. Raises ValueError if that cannot be done."""
        field = self.columns.get("answer") or self.columns["messages"]
        is_text = "answer" in self.columns and isinstance(record[field], str)
        changed = record | {field: answer if is_text else last_turn(record[field], answer)}
        if written(self.read(changed).messages[-1]) != answer:
            raise ValueError("the answer of this row cannot be replaced; drop the row and add it anew")
        return changed


def recognise(records: Sequence[Record], named: Mapping[Any, str], field: str = "dataset.columns") -> Layout:
    """The layout that most of these first records are in, or the one that `dataset.columns` (`field`) names.

    Raises ValueError with the columns found and the cure, or with why rows of this kind are not valued.
    """
    found = list(dict.fromkeys(column for record in records for column in record))
    if missing := [column for column in named.values() if column not in found]:
        raise ValueError(f"{field} names {missing[0]!r}, which is no column; there are {_list(found)}")
    shown = Counter(filter(None, map(pictures.column, records)))
    image = {"image": shown.most_common(1)[0][0]} if shown else {}
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
            if columns := reader.match(record):
                votes[name, tuple(columns.items())] += 1
                break
    if votes:
        (name, pairs), _ = votes.most_common(1)[0]
        return _layout(name, dict(pairs) | image | dict(named), is_named=False)
    if reason := next(filter(None, (_no_row_of_ours(record, bool(named)) for record in records)), None):
        raise ValueError(reason)
    raise ValueError(
        f"the columns {_list(found)} are in no layout that is read (messages, sharegpt, llava, alpaca,"
        f" prompt/completion, question/answer); say which column holds what, for instance {field}: {_guess(records)}"
    )


def _layout(reader: str, columns: dict[str, str], *, is_named: bool) -> Layout:
    columns.setdefault("system", "system")
    name = f"{columns['prompt']}/{columns['answer']}" if reader == "table" else reader
    if "image" in columns:
        name = "llava" if reader == "sharegpt" else f"{name} with {columns['image']}"
    used = {*columns.values(), *(["tools"] if "messages" in columns else [])}
    return Layout(name, READERS[reader].read, columns, frozenset(used), is_named)


def _no_row_of_ours(record: Record, named: bool) -> str | None:
    """Why a record is not a supervised row that is read, whatever its layout."""
    for column, medium in MEDIA_COLUMNS.items():
        if record.get(column):
            return f"field {column!r} holds {medium}; this version values texts and pictures only"
    if named:
        return None
    if "chosen" in record and "rejected" in record:
        return "a preference pair, not a supervised row; keep the chosen answer as a row of its own"
    if isinstance(record.get("label"), bool) and not record.keys().isdisjoint(
        ("messages", "conversations", "completion")
    ):
        return "an answer with a liked-or-not label (field 'label'), not a supervised row; keep the liked answers only"
    if isinstance(record.get("kto_tag"), bool):
        return (
            "an answer with a liked-or-not label (field 'kto_tag'), not a supervised row; keep the liked answers only"
        )
    return None


def _guess(records: Sequence[Record]) -> str:
    """The likeliest value of `dataset.columns`, to be shown, not to be used."""
    texts = [column for column, value in (records[0] if records else {}).items() if isinstance(value, str)]
    texts = [column for column in texts if column not in ("id", "idx", "index")] or ["q", "a"]
    asks = [column for column in texts if any(word in column.lower() for word in ("question", "prompt", "instruction"))]
    prompt = (asks or texts)[0]
    rest = [column for column in texts if column != prompt] or ["a"]
    tells = [column for column in rest if any(word in column.lower() for word in ("answer", "output", "response"))]
    return f"{{prompt: {prompt}, answer: {(tells or rest)[0]}}}"


def _list(columns: Sequence[str]) -> str:
    return ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "") if columns else "(none)"
