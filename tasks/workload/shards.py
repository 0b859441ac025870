"""The rows to score, cut into shards: a Parquet file beside the database, in which each row group is a shard.

The rows are read and sorted once. A run that goes on after a crash finds the shards that were cut before it: it forms
the same batches, leaves out those that are done, and so stores the same numbers as a run that nothing interrupted.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from oresight.tasks.config import Curate
from oresight.tasks.database import Connection, execute, reading
from oresight.tasks.scope import Scope
from oresight.tasks.workload.encode import Row

SHARD = 2048
"""Rows of a shard where no cluster scores them."""
MANY, LARGEST = 1_000_000, 4
"""Of so many rows and more, shards are larger, up to so many times: a commit takes longer in a large database."""


@dataclass(frozen=True)
class Shard:
    """Rows of which batches are made, those with a score too."""

    table: pa.Table
    """The fields that a model reads, `is_missing` (the row lacks a score) and `has_vector` (its vector is stored)."""

    @cached_property
    def rows(self) -> list[Row]:
        """The rows as a model reads them."""
        rows: list[Row] = self.table.to_pylist()
        return rows

    @cached_property
    def missing(self) -> frozenset[str]:
        """sample_ids of rows without a score."""
        return self._ids("is_missing")

    @cached_property
    def with_vector(self) -> frozenset[str]:
        """Of these, the ones whose index vector is stored."""
        return self._ids("has_vector")

    @cached_property
    def lengths(self) -> dict[str, int]:
        """Characters of each row."""
        lengths = pc.utf8_length(self.table["messages"]).to_pylist()
        return dict(zip(self.table["sample_id"].to_pylist(), lengths, strict=True))

    def _ids(self, flag: str) -> frozenset[str]:
        return frozenset(self.table["sample_id"].filter(self.table[flag]).to_pylist())

    @property
    def name(self) -> str:
        """A hash of the rows, which are named by their content."""
        return hashlib.sha256(" ".join(self.table["sample_id"].to_pylist()).encode()).hexdigest()[:32]

    def halves(self) -> list["Shard"]:
        """The two halves of the rows, as far as a row of them lacks a score."""
        middle = self.table.num_rows // 2
        halves = Shard(self.table.slice(0, middle)), Shard(self.table.slice(middle))
        return [half for half in halves if half.missing]


def shard_rows(config: Curate, rows: int) -> int:
    """Rows of a shard of a run. rows: how many the dataset and the reference have, with a score or without."""
    return config.cluster.shard_rows if config.cluster else SHARD * min(max(rows // MANY, 1), LARGEST)


class Shards:
    """A cut, and which of its rows are to be scored."""

    def __init__(self, file: Path, missing: pa.Table) -> None:
        self.table = pq.ParquetFile(file)
        ids = self.table.read(["sample_id"])["sample_id"].combine_chunks()
        place_N = pc.index_in(ids, value_set=missing["sample_id"].combine_chunks())
        self.is_missing_N = pc.is_valid(place_N).to_numpy(zero_copy_only=False)
        has_vector_N = missing["has_vector"].combine_chunks().take(place_N).fill_null(False)
        self.has_vector_N = has_vector_N.to_numpy(zero_copy_only=False)
        group_rows = [self.table.metadata.row_group(i).num_rows for i in range(self.table.num_row_groups)]
        self.begins = np.cumsum([0, *group_rows])
        self.unfinished = [i for i in range(len(group_rows)) if self._part(self.is_missing_N, i).any()]
        """Numbers of the shards with a row to score."""

    def _part(self, mask_N: np.ndarray, number: int) -> np.ndarray:
        return mask_N[self.begins[number] : self.begins[number + 1]]

    def __len__(self) -> int:
        return len(self.unfinished)

    @property
    def label(self) -> bytes:
        """What the cut hangs on."""
        label: bytes = self.table.schema_arrow.metadata[b"cut"]
        return label

    def read(self, number: int) -> Shard:
        """A shard from the file."""
        table = self.table.read_row_group(number)
        for name, mask_N in (("is_missing", self.is_missing_N), ("has_vector", self.has_vector_N)):
            table = table.append_column(name, pa.array(self._part(mask_N, number)))
        return Shard(table.replace_schema_metadata(None))


def cut(database: str, scope: Scope, missing: pa.Table, rows: int) -> Shards:
    """Cut rows into shards, or take those that a run before this one cut for the same rows and did not finish.

    missing: columns sample_id, is_canary and has_vector. rows: rows of a shard.
    """
    folder = Path(f"{database}.shards")
    with reading(database) as connection:
        label = cut_label(connection, scope, rows)
        file = folder / "rows.parquet"
        if file.is_file() and (earlier := _earlier(file, label, missing)):
            return earlier
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        connection.register("rows_to_cut", missing)
        reader = execute(connection, "score_cut", scope.parameters).to_arrow_reader(rows)
        part = folder / "rows.part"
        with pq.ParquetWriter(part, reader.schema.with_metadata({"cut": label}), compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch, row_group_size=rows)
        part.rename(file)
    return Shards(file, missing)


def cut_label(connection: Connection, scope: Scope, rows: int) -> bytes:
    """What a cut hangs on. rows: rows of a shard, because batches are made of them."""
    hangs_on = execute(connection, "score_cut_of", scope.parameters).fetchall()
    return json.dumps([rows, scope.parameters, hangs_on], sort_keys=True).encode()


def _earlier(file: Path, label: bytes, missing: pa.Table) -> Shards | None:
    """The shards in a file if they are of the same rows and hold all that are missing; None if not, or if damaged."""
    try:
        metadata = pq.read_schema(file).metadata or {}
        if metadata.get(b"cut") != label:
            return None
        shards = Shards(file, missing)
    except (pa.ArrowException, OSError):
        return None
    return shards if shards.is_missing_N.sum() == missing.num_rows else None


def forget_cut(database: str) -> None:
    """Delete the shards, because all of their rows are scored."""
    shutil.rmtree(f"{database}.shards", ignore_errors=True)
