"""The rows that a caller of the Python API gives, in any form, as records and as the caller's own rows."""

import base64
import filecmp
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
from PIL.Image import Image

from oresight.tasks.scoring.picture import is_picture

BATCH_ROWS = 512
FORMS = "a pandas frame, a list of dicts, a datasets.Dataset, a pyarrow table or a path"
Record = Mapping[str, Any]


@dataclass(frozen=True)
class GivenRows:
    """Rows in memory."""

    index: pd.Index
    """The labels of the rows: those of a frame, else their positions."""
    records: Callable[[], Iterator[Record]]
    """The rows in their order, as records."""
    take: Callable[[Sequence[int]], Any]
    """The caller's own rows at some positions, in the form in which they were given."""

    def write(self, file: Path) -> dict[int, str]:
        """Write the rows as JSON lines. Returns by position why a row cannot be written; its line is no JSON.

        A file that holds these lines already stays as it is, so that its rows are not read again.
        """
        reasons = dict[int, str]()
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.{os.getpid()}")
        with unfinished.open("wb") as stream:
            for position, record in enumerate(self.records()):
                try:
                    line = _line(record)
                except ValueError as error:
                    line, reasons[position] = b"-", str(error)
                stream.write(line + b"\n")
        if file.is_file() and filecmp.cmp(file, unfinished, shallow=False):
            unfinished.unlink()
        else:
            unfinished.replace(file)
        return reasons


def given_rows(rows: Any, name: str) -> GivenRows:
    """The rows in one of the FORMS except a path. name: the argument that holds them, for messages.

    Raises ValueError, one sentence, if there are none or they have another form.
    """
    given = _given(rows, name)
    if not len(given.index):
        raise ValueError(f"{name}: has no rows; give at least one")
    return given


def _given(rows: Any, name: str) -> GivenRows:
    if isinstance(rows, pd.DataFrame):
        columns = [str(column) for column in rows.columns]
        if repeated := next((column for column in columns if columns.count(column) > 1), None):
            raise ValueError(f"{name}: has two columns with the name {repeated!r}; rename one")
        return GivenRows(rows.index, lambda: _frame_records(rows), lambda positions: rows.iloc[list(positions)])
    if (datasets := sys.modules.get("datasets")) and isinstance(rows, datasets.Dataset):
        return GivenRows(pd.RangeIndex(len(rows)), lambda: _dataset_records(rows), rows.select)
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    elif not isinstance(rows, pa.Table) and hasattr(rows, "__arrow_c_stream__"):
        rows = pa.table(rows)
    if isinstance(rows, pa.Table):
        return GivenRows(pd.RangeIndex(len(rows)), lambda: _table_records(rows), lambda positions: rows.take(positions))
    if isinstance(rows, Mapping):
        what = f"splits or columns {', '.join(map(str, list(rows)[:5]))}; give one split, or a list with a dict a row"
        raise ValueError(f"{name}: is a {type(rows).__name__} of {what}")
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise ValueError(f"{name}: is a {type(rows).__name__}; give {FORMS}")
    items = list(rows)
    if (wrong := next((i for i, item in enumerate(items) if not isinstance(item, Mapping)), None)) is not None:
        raise ValueError(f"{name}[{wrong}]: is a {type(items[wrong]).__name__}, not a dict of columns; give {FORMS}")
    return GivenRows(
        pd.RangeIndex(len(items)), lambda: iter(items), lambda positions: [items[position] for position in positions]
    )


def _frame_records(frame: pd.DataFrame) -> Iterator[Record]:
    for start in range(0, len(frame), BATCH_ROWS):
        yield from frame.iloc[start : start + BATCH_ROWS].to_dict("records")  # type: ignore[misc]


def _dataset_records(dataset: Any) -> Iterator[Record]:
    """The rows of a `datasets.Dataset`. A picture is its bytes or its path as stored, and is not decoded."""
    for table in dataset.with_format("arrow").iter(batch_size=BATCH_ROWS):
        yield from table.to_pylist()


def _table_records(table: pa.Table) -> Iterator[Record]:
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        yield from batch.to_pylist()


def _line(record: Record) -> bytes:
    """The record as JSON. A cell that JSON cannot hold becomes its text. Raises ValueError if that is no Unicode."""
    cells = {str(column): value for column, value in record.items()}
    try:
        return _dumps(cells)
    except TypeError:
        for column, value in cells.items():
            try:
                _dumps(value)
            except TypeError:
                cells[column] = str(value)
        try:
            return _dumps(cells)
        except TypeError as error:
            raise ValueError(f"a cell is no text in Unicode ({error})") from error


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=_as_json, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def _as_json(value: Any) -> Any:
    """A value of a type that JSON lacks. A picture becomes a data: URL, which is read as the picture."""
    if isinstance(value, Image):
        stream = io.BytesIO()
        (value if value.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else value.convert("RGB")).save(stream, "PNG")
        value = stream.getvalue()
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return f"{'data:image/png;base64,' if is_picture(data) else ''}{base64.b64encode(data).decode()}"
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    return None if value is pd.NA or value is pd.NaT else str(value)
