"""Reads the records of a file as a stream. A bad line gives a reason, whatever the file holds, and never an exception.

Only a failing disk raises (OSError), and a hub that does not answer (ValueError).
"""

import base64
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from oresight.tasks.formats import shards, spreadsheet, toplevel
from oresight.tasks.formats.encoding import Advance, CountingFile, open_stream, read_head
from oresight.tasks.formats.sample import Record, describe
from oresight.tasks.formats.sources import File
from oresight.tasks.formats.turns import is_conversation, may_be_turns
from oresight.tasks.formats.values import Stream, values
from oresight.tasks.scoring.picture import is_picture

MAX_LINE = 256 << 20
"""Longest line in bytes, so that a file without line ends cannot fill the memory."""
BATCH_ROWS = 512
"""Rows of a table in memory at a time."""


class Line(NamedTuple):
    """A record, or the reason why a line is none."""

    number: int | None
    """The line, counted from 1; in a list or a table the position. None stands for the whole file."""
    record: Record | None
    text: str
    """The JSON text of the record, unchanged where the file is JSON; the beginning of a line that cannot be read."""
    reason: str = ""


def read(file: File, advance: Advance) -> Iterator[Line]:
    """The lines of a file."""
    if file.kind == ".parquet":
        return _rows(_parquet(file, advance))
    if file.kind == "arrow":
        return _rows(_arrow(file, advance))
    if file.kind == "hub":
        return _rows(_hub(file))
    if file.kind == ".tar":
        return _shard(file, advance)
    return _with_answers(file, file.answers, advance) if file.answers else _text(file, advance)


def dumps(value: Any) -> str:
    """JSON text; types that JSON lacks become text. Raises TypeError for a lone surrogate or too many levels."""
    return orjson.dumps(value, default=_as_text, option=orjson.OPT_NON_STR_KEYS).decode()


def _as_text(value: Any) -> str:
    if not isinstance(value, bytes):
        return str(value)
    # A picture is stored in a file of its own, named by its content. The record refers to it by its hash.
    return f"sha256:{hashlib.sha256(value).hexdigest()}" if is_picture(value) else base64.b64encode(value).decode()


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
                lines = _unwrapped((_json(*value) for value in values(stream, MAX_LINE)), file, has_answers=has_answers)
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
            yield _row(line.number or 0, annotations.get(str(line.record.get("question_id")), {}) | line.record)


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
        is_document = first.record is not None and second is None
        rows = toplevel.rows_of(first.record or {}, file.split, file.split_field) if is_document else None
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
        yield _row(number, row) if isinstance(row, dict) else _json(number, dumps(row), "")


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
                yield _json(number, text, "")


def _json(number: int, text: str, reason: str) -> Line:
    """A record from its JSON text; with a reason, no record."""
    if reason:
        return Line(number, None, text, reason)
    try:
        value = orjson.loads(text)
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
        yield Line(number, None, beginning, reason) if record is None else _row(number, record, beginning)


def _row(number: int, record: Record, beginning: str = "") -> Line:
    """The line of a record from a file that is not JSON."""
    try:
        return Line(number, record, dumps(record))
    except TypeError as error:
        reason = "is not UTF-8" if "UTF-8" in str(error) else f"cannot be kept as JSON ({error})"
        return Line(number, None, beginning or repr(record)[:1000], reason)


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[Line]:
    """Rows of Arrow batches, numbered by their position. A text that is not UTF-8 spoils only its own row."""
    number = 0
    try:
        for batch in batches:
            for record in _records(batch):
                number += 1
                yield _row(number, record) if record is not None else Line(number, None, "", "is not UTF-8")
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):
            raise
        reason = f"the file is damaged from here on ({' '.join(str(error).split())[:200]})"
        yield Line(number + 1 if number else None, None, "", reason)


def _records(batch: pa.RecordBatch) -> Iterator[Record | None]:
    """The records of a batch; None for one with a text that is not UTF-8."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for row in range(batch.num_rows):
            try:
                yield batch.slice(row, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def _shard(file: File, advance: Advance) -> Iterator[Line]:
    """Records of a webdataset shard, numbered by their position."""
    with CountingFile(file.path, advance) as stream:
        for number, record in enumerate(shards.shard_records(stream, file.path), start=1):
            yield Line(number, None, "", record) if isinstance(record, str) else _row(number, record)


def _parquet(file: File, advance: Advance) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(file.path) as table:
        for batch in table.iter_batches(batch_size=BATCH_ROWS):
            advance(file.bytes * batch.num_rows // max(table.metadata.num_rows, 1))
            yield batch


def _arrow(file: File, advance: Advance) -> Iterator[pa.RecordBatch]:
    from datasets import load_from_disk

    try:
        rows = load_from_disk(file.path).with_format("arrow")
    except Exception as error:  # an incomplete folder raises many kinds of errors
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{file.path}: is not a complete save_to_disk folder ({reason}); write it again with save_to_disk"
        ) from error
    for table in rows.iter(batch_size=BATCH_ROWS):
        advance(file.bytes * table.num_rows // max(len(rows), 1))
        yield from table.to_batches()


def _hub(file: File) -> Iterator[pa.RecordBatch]:
    from datasets import load_dataset

    name, split = file.path.removeprefix("hf:").rsplit(":", 1)
    try:
        rows = load_dataset(name, split=split, revision=file.sha256, streaming=True).with_format("arrow")
        for table in rows.iter(batch_size=BATCH_ROWS):
            yield from table.to_batches()
    except Exception as error:  # the hub's client raises many kinds of errors
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{file.path}: cannot be read from the hub ({reason}); download it and give its folder"
        ) from error
