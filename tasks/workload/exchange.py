"""What the head of a cluster and its workers exchange, in a folder of the store that belongs to one cut of the rows.

    fit-HASH.safetensors    the fit that all workers score with, the bytes of the database
    in/NAME.parquet         the rows of a shard; NAME is a hash of the rows
    out/NAME.parquet        their scores, exactly as the head would have made them
    started/ATTEMPT         a worker has begun to score a shard

The folder's name is a hash of the cut, the fit and the settings that scores hang on. Files are Parquet and safetensors
only, nothing in them is executed, and sizes and columns are checked before anything is taken into the database.
"""

import hashlib
import io
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from oresight.tasks.config import Curate
from oresight.tasks.runs.progress import log
from oresight.tasks.workload.commit import SCORES, Job, commit_shard, score_table
from oresight.tasks.workload.encode import Refusals, Row
from oresight.tasks.workload.shards import Shard, Shards
from oresight.tasks.workload.store import Store

FILE_BYTES = 4 << 30
"""Most bytes of a file, and of its columns after decompression."""


class Unusable(ValueError):
    """A file of scores that cannot be taken into the database. The message says why."""


@dataclass(frozen=True)
class ShardScores:
    """The results of a shard, and where they were made."""

    records: pa.Table
    """The columns SCORES."""
    refusals: Refusals
    device: str
    """The type of the device and the dtype, such as `cuda in bfloat16`."""


@dataclass(frozen=True)
class Exchange:
    """The folder of one cut. Ray sends it to the workers."""

    store: Store
    fit: str
    """SHA-256 of the fit."""

    @staticmethod
    def of(config: Curate, label: bytes, fitted: bytes) -> "Exchange":
        """The folder for a cut with this label, and for a fit."""
        assert config.cluster is not None
        fit, scoring = hashlib.sha256(fitted).hexdigest(), config.scoring
        hangs_on = json.dumps([label.decode(), fit, scoring.batch_tokens, scoring.token_values])
        name = f"{config.dataset.name}-{hashlib.sha256(hangs_on.encode()).hexdigest()[:16]}"
        return Exchange(Store.of(config.cluster.store, name), fit)

    @property
    def _fit_file(self) -> str:
        return f"fit-{self.fit[:32]}.safetensors"

    def write_fit(self, fitted: bytes) -> None:
        """Write the fit, unless it is there."""
        if not self.store.has(self._fit_file):
            self.store.write(self._fit_file, fitted)

    def read_fit(self) -> bytes:
        """The fit. Raises ValueError if it is not the one that the head made."""
        fitted = self.store.read(self._fit_file, FILE_BYTES)
        if hashlib.sha256(fitted).hexdigest() != self.fit:
            raise ValueError(f"{self.store.url}/{self._fit_file} was changed; delete it, then run again")
        return fitted

    def write_shard(self, shard: Shard) -> None:
        """Write the rows of a shard."""
        self.store.write(f"in/{shard.name}.parquet", parquet_bytes(shard.table))

    def read_shard(self, name: str) -> Shard:
        """The rows of a shard."""
        return Shard(_read_parquet(self.store.read(f"in/{name}.parquet", FILE_BYTES)))

    def write_scores(self, shard: Shard, records: list[Row], refusals: Refusals, device: str) -> None:
        """Write the results of a shard."""
        facts = {"fit": self.fit, "device": device, "refusals": json.dumps(refusals)}
        table = score_table(records).replace_schema_metadata(facts)
        self.store.write(f"out/{shard.name}.parquet", parquet_bytes(table))

    def scored_names(self) -> set[str]:
        """The names of the shards that have results."""
        return self.store.names("out", ".parquet")

    def read_scores(self, shard: Shard) -> ShardScores:
        """The results of a shard. Raises Unusable if they are not complete, or not of this fit."""
        try:
            table = _read_parquet(self.store.read(f"out/{shard.name}.parquet", FILE_BYTES))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise Unusable(f"it cannot be read ({' '.join(str(error).split())[:200]})") from error
        facts = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        if facts.get("fit") != self.fit:
            raise Unusable(f"it was scored with another fit ({facts.get('fit', 'none')[:8]}, not {self.fit[:8]})")
        if not table.schema.equals(SCORES):
            raise Unusable("its columns are not those of scores")
        try:
            refusals = [(str(sample_id), str(reason)) for sample_id, reason in json.loads(facts["refusals"])]
            device = facts["device"]
        except (KeyError, TypeError, ValueError) as error:
            raise Unusable("it does not say how it was scored") from error
        sample_ids = [*table["sample_id"].to_pylist(), *(sample_id for sample_id, _ in refusals)]
        is_whole = shard.missing <= set(sample_ids) <= set(shard.table["sample_id"].to_pylist())
        if not is_whole or len(set(sample_ids)) < len(sample_ids):
            raise Unusable("its rows are not those of the shard")
        return ShardScores(table, refusals, device)

    def note_start(self, attempt: str) -> None:
        """A worker notes that it begins with a shard."""
        self.store.write(f"started/{attempt}", b"")

    def has_started(self, attempt: str) -> bool:
        """Whether a worker began with a shard before it ended."""
        return self.store.has(f"started/{attempt}")


@dataclass
class Merger:
    """Takes results from the store into the database. It is the only writer, and takes each row once."""

    job: Job
    exchange: Exchange
    devices: Counter[str] = field(default_factory=Counter)
    """Shards that were merged, by the device that scored them."""

    def merge(self, shard: Shard) -> bool:
        """Take the results of a shard in one transaction. Results that cannot be used are deleted."""
        store, file = self.exchange.store, f"out/{shard.name}.parquet"
        try:
            scores = self.exchange.read_scores(shard)
        except Unusable as error:
            log().warning("score: %s/%s is refused: %s; its rows are scored again", store.url, file, error)
            store.remove(file)
            return False
        commit_shard(self.job, shard, scores.records, scores.refusals)
        self.devices[scores.device] += 1
        return True

    def merge_all(self, shards: Shards) -> list[int]:
        """Take all results that are in the store. Returns the numbers of the shards that are left to score."""
        names = self.exchange.scored_names()
        if not names:
            return shards.unfinished
        shards_by_number = ((number, shards.read(number)) for number in shards.unfinished)
        return [number for number, shard in shards_by_number if shard.name not in names or not self.merge(shard)]

    def note_devices(self) -> None:
        """Note with the run on which devices its shards were scored."""
        if self.devices:
            self.job.run.note(cluster_devices=dict(self.devices))


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _read_parquet(content: bytes) -> pa.Table:
    """The table of a Parquet file. Raises ArrowException if it is none, ValueError if its columns are too large."""
    file = pq.ParquetFile(io.BytesIO(content))
    groups: list[Any] = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    if (size := sum(group.total_byte_size for group in groups)) > FILE_BYTES:
        raise ValueError(f"its columns have {size:,} bytes; at most {FILE_BYTES:,} are read")
    return file.read()
