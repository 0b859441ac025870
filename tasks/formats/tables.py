"""Reads the rows of Parquet files, Arrow folders and datasets of the hub, in batches."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from oresight.tasks.formats.encoding import Advance
from oresight.tasks.formats.line import Line, row_line
from oresight.tasks.formats.sample import Record
from oresight.tasks.formats.sources import File

BATCH_ROWS = 512
"""Rows of a table in memory at a time."""
BATCH_BYTES, MOST_BYTES = 32 << 20, 512 << 20
"""Bytes of a batch beyond which its rows are read one by one, and bytes that the rows of a batch may take at most."""


def parquet_lines(file: File, advance: Advance) -> Iterator[Line]:
    """The rows of a Parquet file, numbered by their position."""
    return _rows(_parquet(file, advance))


def arrow_lines(file: File, advance: Advance) -> Iterator[Line]:
    """The rows of a folder of `save_to_disk`. Raises ValueError if it is incomplete."""
    return _rows(_arrow(file, advance))


def hub_lines(file: File) -> Iterator[Line]:
    """The rows of a dataset of the hub. Raises ValueError if it cannot be read."""
    return _rows(_hub(file))


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[Line]:
    """Rows of Arrow batches, numbered by their position. A text that is not UTF-8 spoils only its own row."""
    number = 0
    try:
        for batch in batches:
            if name := _repeated_name(batch.schema):
                yield Line(None, None, "", f"has two columns or fields with the name {name!r}; rename one")
                return
            for record in _records(batch):
                number += 1
                yield Line(number, None, "", record) if isinstance(record, str) else row_line(number, record)
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):
            raise
        reason = f"the file is damaged from here on ({' '.join(str(error).split())[:200]})"
        yield Line(number + 1 if number else None, None, "", reason)


def _repeated_name(fields: Iterable[pa.Field]) -> str | None:
    """A name that two fields of a schema, or of a struct in it, share; None if there is none."""
    seen = set[str]()
    for field in fields:
        if field.name in seen:
            return str(field.name)
        seen.add(field.name)
        kind = field.type
        inner = [kind.field(i) for i in range(kind.num_fields)] if pa.types.is_nested(kind) else []
        if (name := _repeated_name(inner)) is not None:
            return name
    return None


def _records(batch: pa.RecordBatch) -> Iterator[Record | str]:
    """The records of a batch; the reason instead of one with a value that Python has not."""
    if batch.num_rows > 1 and batch.nbytes > BATCH_BYTES:
        for row in range(batch.num_rows):
            yield from _records(batch.slice(row, 1))
        return
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError, KeyError):
        for row in range(batch.num_rows):
            yield _one_record(batch.slice(row, 1))


def _one_record(row: pa.RecordBatch) -> Record | str:
    try:
        return dict(row.to_pylist()[0])
    except UnicodeDecodeError:
        return "is not UTF-8"
    except (ValueError, OverflowError, KeyError) as error:  # a time in the year 146,000, or in a zone that is none
        return f"holds a value that cannot be read ({' '.join(str(error).split())[:200]})"


def _parquet(file: File, advance: Advance) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(file.path) as table:
        for batch in table.iter_batches(batch_size=_batch_rows(table.metadata)):
            advance(file.bytes * batch.num_rows // max(table.metadata.num_rows, 1))
            yield batch


def _batch_rows(metadata: pq.FileMetaData) -> int:
    """Rows that can be decoded at a time, whatever they hold.

    A value in a dictionary is stored once and decoded once a row, so a row may take as much as all of its row group.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    largest = max((group.total_byte_size for group in groups), default=0)
    return min(max(MOST_BYTES // max(largest, 1), 1), BATCH_ROWS)


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
