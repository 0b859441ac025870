"""What ingest found, on its way into the database: Parquet files in a folder that is gone afterwards."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS, BATCH_CHARACTERS = 20_000, 64_000_000
TEXT = pa.string()
PICTURE = pa.struct(
    {
        "name": TEXT,
        "path": TEXT,
        "sha256": TEXT,
        "width": pa.int32(),
        "height": pa.int32(),
        "mode": TEXT,
        "size": pa.int64(),
    }
)
ROWS = pa.schema(
    {
        "position": pa.int64(),
        "sample_id": TEXT,
        "kind": TEXT,
        "prompt": TEXT,
        "answer": TEXT,
        "messages": TEXT,
        "tools": TEXT,
        "images": pa.list_(PICTURE),
        "metadata": TEXT,
        "record": TEXT,
        "source_file": TEXT,
        "source_line": pa.int64(),
    }
)
PICTURES = pa.schema(
    {
        "path": TEXT,
        "reason": TEXT,
        "sha256": TEXT,
        "width": pa.int32(),
        "height": pa.int32(),
        "mode": TEXT,
        "format": TEXT,
        "size": pa.int64(),
        "modified_ns": pa.int64(),
        "spread": pa.float64(),
        "thumbnail": pa.binary(),
    }
)
REJECTS = pa.schema({"source_file": TEXT, "source_line": pa.int64(), "reason": TEXT, "raw": TEXT})


class Staged:
    """A Parquet file that takes rows one by one and writes them in batches bounded in rows and in characters."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        options = {"compression": "lz4", "use_dictionary": ["source_file"], "write_statistics": False}
        self.writer = pq.ParquetWriter(file, schema, **options)
        self.schema, self.waiting, self.characters, self.count = schema, list[tuple[Any, ...]](), 0, 0

    def add(self, row: tuple[Any, ...], characters: int) -> None:
        self.waiting.append(row)
        self.characters += characters
        self.count += 1
        if len(self.waiting) >= BATCH_ROWS or self.characters > BATCH_CHARACTERS:
            self.write()

    def write(self) -> None:
        if self.waiting:
            columns = zip(self.schema.types, zip(*self.waiting, strict=True), strict=True)
            self.writer.write_table(pa.table([pa.array(values, kind) for kind, values in columns], schema=self.schema))
        self.waiting, self.characters = [], 0

    def close(self) -> None:
        self.write()
        self.writer.close()


@contextmanager
def empty_folder(path: str) -> Iterator[Path]:
    """An empty folder, gone afterwards. What a killed run left there goes first."""
    shutil.rmtree(path, ignore_errors=True)
    Path(path).mkdir(parents=True)
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
