"""The rows to score, cut into shards: a Parquet file beside the database, in which each row group is a shard.

The rows are read and sorted once. A run that goes on after a crash finds the shards that were cut before it: it forms
the same batches, leaves out those that are done, and so stores the same numbers as a run that nothing interrupted.
"""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from oresight.tasks.database import execute, reading
from oresight.tasks.scope import Scope
from oresight.tasks.workload.encode import Row

SHARD = 2048
"""Rows of a shard."""


@dataclass(frozen=True)
class Shard:
    """Rows of which a batch is made, done or not."""

    rows: list[Row]
    missing: frozenset[str]
    """sample_ids of rows without a score."""
    with_vector: frozenset[str]
    """Of these, the ones whose index vector is stored."""


def shard_count(rows: int) -> int:
    """Number of shards that this many rows make."""
    return math.ceil(rows / SHARD)


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

    def read(self, number: int) -> Shard:
        """A shard from the file."""
        rows = self.table.read_row_group(number).to_pylist()
        ids = np.array([row["sample_id"] for row in rows], dtype=object)
        is_missing_n, has_vector_n = self._part(self.is_missing_N, number), self._part(self.has_vector_N, number)
        return Shard(rows, frozenset(ids[is_missing_n]), frozenset(ids[has_vector_n]))


def cut(database: str, scope: Scope, missing: pa.Table) -> Shards:
    """Cut rows into shards, or take those that a run before this one cut for the same rows and did not finish.

    missing: columns sample_id, is_canary and has_vector.
    """
    folder = Path(f"{database}.shards")
    with reading(database) as connection:
        hangs_on = execute(connection, "score_cut_of", scope.parameters).fetchall()
        label = json.dumps([SHARD, scope.parameters, hangs_on], sort_keys=True).encode()
        file = folder / "rows.parquet"
        if file.is_file() and (earlier := _earlier(file, label, missing)):
            return earlier
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        connection.register("rows_to_cut", missing)
        reader = execute(connection, "score_cut", scope.parameters).to_arrow_reader(SHARD)
        part = folder / "rows.part"
        with pq.ParquetWriter(part, reader.schema.with_metadata({"cut": label}), compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch, row_group_size=SHARD)
        part.rename(file)
    return Shards(file, missing)


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
