"""Reads the records of a file as a stream. A bad line gives a reason, whatever the file holds, and never an exception.

Only a failing disk raises (OSError), and a hub that does not answer (ValueError).
"""

import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Any

import orjson

from oresight.tasks.formats import shards, spreadsheet, tables, toplevel
from oresight.tasks.formats.encoding import Advance, CountingFile, open_stream, read_head
from oresight.tasks.formats.line import Line, dumps, row_line
from oresight.tasks.formats.repeats import RepeatedKey, RepeatingObject, parse, parse_all_keys, repeated_key
from oresight.tasks.formats.sample import Record, describe
from oresight.tasks.formats.sources import File
from oresight.tasks.formats.turns import is_conversation, may_be_turns
from oresight.tasks.formats.values import Stream, too_many_values, values

MAX_LINE = 64 << 20
"""Longest line in bytes, so that a file without line ends cannot fill the memory."""
MOST_COLUMNS = 100_000
"""Columns of a row. The name of each is compared with all that are known, which takes minutes for a million."""


def read(file: File, advance: Advance) -> Iterator[Line]:
    """The lines of a file."""
    return map(_narrow, _lines(file, advance))


def _narrow(line: Line) -> Line:
    """The line, or the reason why it is none if it has more columns than a table can have."""
    if line.record is None or len(line.record) <= MOST_COLUMNS:
        return line
    reason = f"has {len(line.record):,} columns; at most {MOST_COLUMNS:,} are read"
    return Line(line.number, None, line.text[:1000], reason)


def _lines(file: File, advance: Advance) -> Iterator[Line]:
    if file.kind == ".parquet":
        return tables.parquet_lines(file, advance)
    if file.kind == "arrow":
        return tables.arrow_lines(file, advance)
    if file.kind == "hub":
        return tables.hub_lines(file)
    if file.kind == ".tar":
        return _shard(file, advance)
    return _with_answers(file, file.answers, advance) if file.answers else _text(file, advance)


def _text(file: File, advance: Advance, *, has_answers: bool = True) -> Iterator[Line]:
    """Lines of a text file. If the archive is damaged or cut off, the last line gives that as its reason.

    has_answers: whether the file must hold questions and answers, not one of the two.
    """
    number = 0
    try:
        is_json_lines = file.kind not in spreadsheet.KINDS and _is_json_lines(file)
        with open_stream(file.path, file.encoding, advance) as stream:
            if file.kind in spreadsheet.KINDS:
                lines = _csv(stream, file.kind)
            elif is_json_lines:
                lines = _unwrapped(_json_lines(stream), file, has_answers=has_answers)
            else:
                parts = values(stream, MAX_LINE, file.bytes)
                lines = _unwrapped((_json(*value) for value in parts), file, has_answers=has_answers)
            for line in lines:
                number = line.number or number
                yield line
    except UnicodeError as error:
        yield Line(number + 1, None, "", f"is not {file.encoding} from here on ({error})")
    except (OSError, EOFError, zlib.error) as error:
        if getattr(error, "errno", None):
            raise
        after = f"after line {number}" if number else "from its beginning"
        yield Line(number + 1, None, "", f"the archive is damaged or cut off {after} ({error})")


def _with_answers(questions: File, answers: File, advance: Advance) -> Iterator[Line]:
    """Rows of a file of questions, each with the fields of the annotation that has its question_id."""
    annotations: dict[str, Record] = {}
    for line in _text(answers, advance, has_answers=False):
        if line.record is None:
            yield line
        elif (number := line.record.get("question_id")) is not None:
            annotations[str(number)] = line.record
    if not annotations:
        raise ValueError(
            f"{answers.path}: no record has a question_id, to find its question; give the path of one file"
        )
    for line in _text(questions, advance, has_answers=False):
        if line.record is None:
            yield line
        else:
            yield row_line(line.number or 0, annotations.get(str(line.record.get("question_id")), {}) | line.record)


def _unwrapped(lines: Iterator[Line], file: File, *, has_answers: bool) -> Iterator[Line]:
    """The lines of a JSON file; where all of it is one object that holds rows, these rows."""
    first = next(lines, None)
    if first is None:
        return
    try:
        second = next(lines, None)
    except (OSError, EOFError, zlib.error, UnicodeError):
        yield first
        raise
    try:
        document = _document(first) if second is None else None
        rows = toplevel.rows_of(document, file.split, file.split_field) if document else None
        if rows and first.record is None and not any(repeated_key(row) is not None for row in rows):
            rows = None  # the object repeats a key outside its rows
        if rows and has_answers:
            toplevel.require_answers(rows)
        if rows is None and file.split:
            raise ValueError(f"holds no splits; leave out {file.split_field}")
    except ValueError as error:
        raise ValueError(f"{file.path}: {error}") from error
    if rows is None:
        yield from chain([first], [] if second is None else [second], lines)
        return
    del first  # its text may be as large as the file
    for number, row in enumerate(rows, start=1):
        if (key := repeated_key(row)) is not None:
            yield Line(number, None, dumps(row), str(RepeatedKey(key)))
        else:
            yield row_line(number, row) if isinstance(row, dict) else _json(number, dumps(row), "")


def _document(line: Line) -> Record | None:
    """The object that may hold all rows of a file. Rows in it may repeat a key, the object itself and its lists not."""
    if line.record is not None or not line.text.startswith("{"):
        return line.record
    try:
        value = parse_all_keys(line.text)
    except ValueError:
        return None
    return None if isinstance(value, RepeatingObject) else value


def _is_json_lines(file: File) -> bool:
    """Whether a JSON file holds one record per line, whatever its name. If not, it holds a list, or records that span
    several lines.
    """
    head = read_head(file.path, file.encoding).removeprefix(b"\xef\xbb\xbf").lstrip()
    lines = [line for line in head.split(b"\n", maxsplit=20)[:20] if line.strip()]
    are_complete = [isinstance(_parse_or_none(line), dict | list) for line in lines]
    if head.startswith(b"["):
        return are_complete[0] and (len(lines) > 1 or is_conversation(orjson.loads(lines[0])))
    if file.kind != ".json":
        return not lines or lines[0].strip() != b"{"
    are_records = [line.startswith(b"{") and complete for line, complete in zip(lines, are_complete, strict=True)]
    return any(are_records) or not head.startswith(b"{")


def _parse_or_none(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _json_lines(stream: Stream) -> Iterator[Line]:
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            beginning = line[:1000].decode(errors="replace")
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE)
            yield Line(number, None, beginning, f"is longer than {MAX_LINE >> 20} MB")
        elif line := line.strip():
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                yield Line(
                    number, None, line.decode(errors="replace"), f"is not UTF-8 (byte {error.start + 1} of the line)"
                )
            else:
                yield _json(number, text, too_many_values(text))


def _json(number: int, text: str, reason: str) -> Line:
    """A record from its JSON text; with a reason, no record."""
    if reason:
        return Line(number, None, text[:1000], reason)
    try:
        value = parse(text)
    except RepeatedKey as error:
        return Line(number, None, text, str(error))
    except orjson.JSONDecodeError as error:
        reason = f"is not JSON: {error.msg} (column {error.colno})"
        if text.endswith(",") and _parse_or_none(text[:-1].encode()) is not None:
            reason = "is not JSON: a comma follows the record; remove the commas at the ends of the lines"
        elif text.startswith("{'"):
            reason = "is not JSON but a Python dict; write it with json.dumps"
        return Line(number, None, text, reason)
    if may_be_turns(value):  # a list of turns without a column
        value, text = {"messages": value}, f'{{"messages":{text}}}'
    if not isinstance(value, dict):
        return Line(number, None, text, f"holds {describe(value)}, not an object with fields")
    return Line(number, value, text)


def _csv(stream: Stream, kind: str) -> Iterator[Line]:
    for number, record, beginning, reason in spreadsheet.csv_rows(stream, kind, MAX_LINE):
        yield Line(number, None, beginning, reason) if record is None else row_line(number, record, beginning)


def _shard(file: File, advance: Advance) -> Iterator[Line]:
    """Records of a webdataset shard, numbered by their position."""
    with CountingFile(file.path, advance) as stream:
        for number, record in enumerate(shards.shard_records(stream, file.path), start=1):
            yield Line(number, None, "", record) if isinstance(record, str) else row_line(number, record)
