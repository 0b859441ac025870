"""Columns of Arrow: on the disk, as a matrix, one after the other."""

import mmap
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray


def on_disk(batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path) -> pa.Table:
    """A table of these batches, in a file without a name. Raises OSError if the disk is full."""
    with tempfile.TemporaryFile(dir=folder) as file:
        with pa.ipc.new_file(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        file.flush()
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_file(pa.py_buffer(data)).read_all()


def matrix(lists: pa.ListArray) -> NDArray[Any]:
    """N lists of m numbers as an array [N, m]."""
    flat: NDArray[Any] = lists.flatten().to_numpy()
    return flat.reshape(len(lists), -1)


def joined(*columns: pa.ChunkedArray) -> pa.ChunkedArray:
    """Columns one after the other."""
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)
