"""Parquet files that stage ingested rows before they are committed, in a folder that is deleted afterwards."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from oresight.tasks.formats import Layout
from oresight.tasks.formats.album import Album, PictureRef
from oresight.tasks.formats.content import RAW_CHARACTERS, raw_beginning, read_sample, row_content
from oresight.tasks.formats.line import Line
from oresight.tasks.formats.sample import Sample

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
ROW_SCHEMA = pa.schema(
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
PICTURE_SCHEMA = pa.schema(
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
REJECT_SCHEMA = pa.schema({"source_file": TEXT, "source_line": pa.int64(), "reason": TEXT, "raw": TEXT})


class StagingFile:
    """A Parquet file that takes single rows and writes them in batches, which are bounded in rows and in characters."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        options = {"compression": "lz4", "use_dictionary": ["source_file"], "write_statistics": False}
        self.writer = pq.ParquetWriter(file, schema, **options)
        self.schema, self.pending, self.characters, self.count = schema, list[tuple[Any, ...]](), 0, 0

    def add(self, row: tuple[Any, ...], characters: int) -> None:
        self.pending.append(row)
        self.characters += characters
        self.count += 1
        if len(self.pending) >= BATCH_ROWS or self.characters > BATCH_CHARACTERS:
            self.write()

    def write(self) -> None:
        if self.pending:
            columns = zip(self.schema.types, zip(*self.pending, strict=True), strict=True)
            self.writer.write_table(pa.table([pa.array(values, kind) for kind, values in columns], schema=self.schema))
        self.pending, self.characters = [], 0

    def close(self) -> None:
        self.write()
        self.writer.close()


class Staging:
    """The Parquet files of rows, rejects and pictures that a dataset is staged in."""

    def __init__(self, folder: Path, album: Album, roots: dict[str, Path | None]) -> None:
        """roots: the folder where the picture paths of each file start."""
        self.album, self.roots, self.reject_file = album, roots, folder / "rejects.parquet"
        self.rows = StagingFile(folder / "rows.parquet", ROW_SCHEMA)
        self.rejects = StagingFile(self.reject_file, REJECT_SCHEMA)
        self.pictures = StagingFile(folder / "pictures.parquet", PICTURE_SCHEMA)

    def add(self, lines: list[tuple[str, Line]], layout: Layout) -> None:
        """Stage lines, each with the path of its file. Their pictures are opened at the same time."""
        samples = [(path, line, read_sample(line, layout)) for path, line in lines]
        refs = [
            [PictureRef(self.roots[path], source) for source in sample.pictures] if isinstance(sample, Sample) else []
            for path, _, sample in samples
        ]
        for picture in self.album.gather(chain.from_iterable(refs)):
            self.pictures.add(picture, len(picture.thumbnail or b""))
        for (path, line, sample), row_refs in zip(samples, refs, strict=True):
            try:
                content = row_content(line, layout, sample, self.album.usable(row_refs))
            except ValueError as error:
                self.rejects.add((path, line.number, str(error), raw_beginning(line.text)), RAW_CHARACTERS)
            else:
                self.rows.add((self.rows.count, *content, path, line.number), 4 * len(content.record))

    def close(self) -> None:
        for file in (self.rows, self.rejects, self.pictures):
            file.close()

    def reject_reasons(self) -> Iterator[tuple[Any, ...]]:
        """Source file, line and reason of every staged reject; to be called after `close`."""
        table = pq.read_table(self.reject_file, columns=["source_file", "source_line", "reason"])
        return (tuple(row.values()) for batch in table.to_batches() for row in batch.to_pylist())


@contextmanager
def empty_folder(path: str) -> Iterator[Path]:
    """An empty folder, deleted afterwards. Files that a killed run left there are deleted first."""
    shutil.rmtree(path, ignore_errors=True)
    Path(path).mkdir(parents=True)
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
