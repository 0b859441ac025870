"""From a file to its records. Everything streams, and nothing that a file holds raises: a bad line becomes a reason.

What does raise is a disk that fails (OSError) and a hub that is away (ValueError).
"""

import base64
import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from oresight.tasks.formats import shards
from oresight.tasks.formats.sample import Record, held
from oresight.tasks.formats.sources import File
from oresight.tasks.formats.values import Stream, values
from oresight.tasks.scoring.picture import is_picture

LONGEST = 256 << 20  # bytes of one line: a file without line ends must not fill the memory
ROWS = 512  # of a table in memory at a time
Advance = Callable[[int], None]


class Line(NamedTuple):
    """A record, or the reason why there is none."""

    number: int | None
    """From 1: the line, or in a list or a table the position; None is the file as a whole."""
    record: Record | None
    text: str
    """The record as JSON, as it came in; of a line that cannot be read, its beginning."""
    reason: str = ""


def read(file: File, advance: Advance) -> Iterator[Line]:
    """The lines of a file; `advance` is told how many bytes were read."""
    if file.kind == ".parquet":
        return _rows(_parquet(file, advance))
    if file.kind == "arrow":
        return _rows(_arrow(file, advance))
    if file.kind == "hub":
        return _rows(_hub(file))
    if file.kind == ".tar":
        return _shard(file, advance)
    return _text(file, advance)


def dumps(value: Any) -> str:
    """JSON; what JSON does not know becomes text. Raises TypeError for a lone surrogate or too many levels."""
    return orjson.dumps(value, default=_as_text, option=orjson.OPT_NON_STR_KEYS).decode()


def _as_text(value: Any) -> str:
    if not isinstance(value, bytes):
        return str(value)
    # A picture is kept as a file of its own, named by its content: the record tells which.
    return f"sha256:{hashlib.sha256(value).hexdigest()}" if is_picture(value) else base64.b64encode(value).decode()


class _Counted(io.FileIO):
    """A file that tells how far it has been read."""

    def __init__(self, path: str, advance: Advance) -> None:
        super().__init__(path)
        self.advance = advance

    def readinto(self, buffer: Any, /) -> int:
        count = super().readinto(buffer)
        self.advance(count)
        return count


def _opened(path: str, advance: Advance) -> Stream:
    packed = io.BufferedReader(_Counted(path, advance), 1 << 18)
    if path.lower().endswith(".gz"):
        return gzip.GzipFile(fileobj=packed)
    if path.lower().endswith(".zst"):
        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd"))
    return packed


def _text(file: File, advance: Advance) -> Iterator[Line]:
    """Lines of a text file; where an archive ends too early, or is none, the last one says so."""
    number = 0
    try:
        is_lines = file.kind not in (".csv", ".tsv") and _is_lines(file)
        with _opened(file.path, advance) as stream:
            if file.kind in (".csv", ".tsv"):
                lines = _csv(stream, file.kind)
            elif is_lines:
                lines = _json_lines(stream)
            else:
                lines = (_json(*value) for value in values(stream, LONGEST))
            for line in lines:
                number = line.number or number
                yield line
    except (OSError, EOFError, zlib.error) as error:
        if getattr(error, "errno", None):
            raise
        after = f"after line {number}" if number else "from its beginning"
        yield Line(number + 1, None, "", f"the archive is damaged or cut off {after} ({error})")


def _is_lines(file: File) -> bool:
    """Whether a JSON file holds a record a line, whatever its name; if not, it holds a list or records over lines."""
    head = b""
    with _opened(file.path, lambda _: None) as stream:
        try:
            while len(head) < 1 << 20 and (more := stream.read1(1 << 20)):
                head += more
        except (OSError, EOFError, zlib.error):
            pass  # what was readable decides; the reading proper meets the error again and reports it
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    lines = [line for line in head.split(b"\n", maxsplit=20)[:20] if line.strip()]
    whole = [isinstance(_loaded(line), dict | list) for line in lines]
    if head.startswith(b"["):
        return len(lines) > 1 and whole[0]
    if file.kind != ".json":
        return not lines or lines[0].strip() != b"{"
    starts = [line.startswith(b"{") and is_whole for line, is_whole in zip(lines, whole, strict=True)]
    return any(starts) or not head.startswith(b"{")


def _loaded(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _json_lines(stream: Stream) -> Iterator[Line]:
    number = 0
    while line := stream.readline(LONGEST):
        number += 1
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) == LONGEST and not line.endswith(b"\n"):
            beginning = line[:1000].decode(errors="replace")
            while line and not line.endswith(b"\n"):
                line = stream.readline(LONGEST)
            yield Line(number, None, beginning, f"is longer than {LONGEST >> 20} MB")
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
    """A record from its JSON text, unless there is already a reason against it."""
    if reason:
        return Line(number, None, text, reason)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return Line(number, None, text, f"is not JSON: {error.msg} (column {error.colno})")
    if not isinstance(value, dict):
        return Line(number, None, text, f"holds {held(value)}, not an object with fields")
    return Line(number, value, text)


def _csv(stream: Stream, kind: str) -> Iterator[Line]:
    """Rows of a table, numbered by the line on which they begin. The delimiter is the one that the header has most."""
    csv.field_size_limit(LONGEST)
    lines, begun = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline=""), [""]

    def remembered(line: str) -> str:
        begun[0] = begun[0] or line[:1000]
        return line

    first = lines.readline()
    comma = "\t" if kind == ".tsv" else max(",;\t", key=first.count)
    reader = csv.reader(map(remembered, chain([first], lines)), delimiter=comma, strict=True)
    header: list[str] = []
    while True:
        number, begun[0] = reader.line_num + 1, ""
        try:
            fields = next(reader, None)
        except csv.Error as error:
            over = f" (lines {number} to {reader.line_num})" if reader.line_num > number else ""
            yield Line(number, None, begun[0], f"is not CSV{over}: {error}")
            continue
        if fields is None:
            return
        if not header:
            header = fields
            if twice := [name for name in header if header.count(name) > 1]:
                yield Line(number, None, begun[0], f"the header names the column {twice[0]!r} twice")
                return
        elif fields and len(fields) != len(header):
            yield Line(number, None, begun[0], f"has {len(fields)} fields where the header has {len(header)}")
        elif fields:
            yield _row(number, dict(zip(header, fields, strict=True)), begun[0])


def _row(number: int, record: Record, beginning: str = "") -> Line:
    """A record that did not come as JSON."""
    try:
        return Line(number, record, dumps(record))
    except TypeError as error:
        reason = "is not UTF-8" if "UTF-8" in str(error) else f"cannot be kept as JSON ({error})"
        return Line(number, None, beginning or repr(record)[:1000], reason)


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[Line]:
    """Rows of Arrow batches, numbered by their position. A text that is not UTF-8 costs its own row only."""
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
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for row in range(batch.num_rows):
            try:
                yield batch.slice(row, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def _shard(file: File, advance: Advance) -> Iterator[Line]:
    """Samples of a webdataset shard, numbered by their position."""
    with _Counted(file.path, advance) as stream:
        for number, found in enumerate(shards.samples(stream, file.path), start=1):
            yield Line(number, None, "", found) if isinstance(found, str) else _row(number, found)


def _parquet(file: File, advance: Advance) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(file.path) as table:
        for batch in table.iter_batches(batch_size=ROWS):
            advance(file.bytes * batch.num_rows // max(table.metadata.num_rows, 1))
            yield batch


def _arrow(file: File, advance: Advance) -> Iterator[pa.RecordBatch]:
    from datasets import load_from_disk

    try:
        rows = load_from_disk(file.path).with_format("arrow")
    except Exception as error:  # a folder that is not whole fails in as many ways as it can be broken
        raise ValueError(
            f"{file.path}: is no whole folder of save_to_disk ({' '.join(str(error).split())[:200]})"
        ) from error
    for table in rows.iter(batch_size=ROWS):
        advance(file.bytes * table.num_rows // max(len(rows), 1))
        yield from table.to_batches()


def _hub(file: File) -> Iterator[pa.RecordBatch]:
    from datasets import load_dataset

    name, split = file.path.removeprefix("hf:").rsplit(":", 1)
    try:
        rows = load_dataset(name, split=split, revision=file.sha256, streaming=True).with_format("arrow")
        for table in rows.iter(batch_size=ROWS):
            yield from table.to_batches()
    except Exception as error:  # the hub's client raises a dozen kinds
        raise ValueError(f"{file.path}: cannot be read from the hub ({' '.join(str(error).split())[:200]})") from error
