"""Rows without a fresh score -> an estimate of time, memory and disk, from a few rows that are really scored.

This happens in a temporary copy of the user's database. Rows that were not scored get the numbers of rows that were, so
that the steps after scoring can be run and measured. All scores in the copy are synthetic afterwards.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from oresight.tasks.database import execute, reading, transaction, writing
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import register_model
from oresight.tasks.scoring.device import devices
from oresight.tasks.scoring.engine import Options
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.source import converted
from oresight.tasks.workload.clock import peak_memory
from oresight.tasks.workload.commit import ScoringJob, commit_opening, score_table
from oresight.tasks.workload.cost import Cost, Workload, cost
from oresight.tasks.workload.encode import EncodedRows, Row, encode_rows, read_rows, require_vision
from oresight.tasks.workload.exchange import parquet_bytes
from oresight.tasks.workload.shards import shard_rows
from oresight.tasks.workload.todo import COMMIT_S, OpeningRows, Todo, read_opening, read_todo, without

SAMPLE = 2048
"""Most rows that are encoded, beside the reference and the opening. Of more rows an even sample by length is taken."""
FILLED = 20_000
"""Most rows, beside canaries and trusted rows, that get synthetic scores."""


@dataclass(frozen=True)
class Planned:
    """What scoring would do, and what it would take."""

    to_score: int
    """Rows, canaries excluded."""
    canaries: int
    reused: int
    unscorable: int = 0
    tokens: int = 0
    """Tokens of prompts and answers of the rows and canaries to score."""
    seconds: float = 0
    device: str = ""
    memory: int = 0
    """Peak bytes of the process."""
    device_memory: int | None = None
    """Peak bytes on a CUDA device; None without one."""
    probed: int = 0
    """Rows that were scored for the estimate."""
    probe_s: float = 0
    """Seconds that the estimate took."""
    is_sampled: bool = False
    """Whether only a sample of the rows was encoded."""
    made_up: float = 1
    """Share of the rows to score that have a score now, real or synthetic."""
    row_bytes: float = 0
    """Bytes that one score adds to the database."""
    store_bytes: int = 0
    """Most bytes in the store of a cluster: the fit, and rows and scores of all shards."""
    actor_s: float = 0
    """Seconds that the actors of a cluster score in all, if each is as fast as this machine."""


def plan(run: Run) -> Planned:
    """Estimate what scoring would take. The database must be a plan's own copy, because synthetic scores are written.

    Raises ValueError as `score` does: the model cannot be used, or can score none of the trusted rows.
    """
    config, source = run.config, run.model.files
    register_model(config.database, run.model)
    with reading(config.database) as connection:
        scope = run.scope(connection)
        todo = read_todo(connection, scope)
    if todo.missing.num_rows == 0:
        return Planned(to_score=0, canaries=0, reused=todo.rows, memory=peak_memory())
    started = time.perf_counter()
    if source.gguf:
        converted(source)  # done once: the run reuses it
    device_names, loading_started = devices(config.model.device), time.perf_counter()
    model = load(
        source, device_names[0], todo.dtype(config.model.dtype), config.model.parallel, spread=config.model.spread
    )
    device_names = model.engines(device_names)
    require_vision(model, source, scope.dataset, scope.dataset_kind)
    loading_s = time.perf_counter() - loading_started
    job = ScoringJob(run=run, scope=scope, model=model, advance=lambda *_: None)
    rows = _sample(job, todo)
    sampled = [*rows.opening.dataset, *rows.rest] or rows.opening.reference
    scoring = config.scoring
    options = Options(scoring.batch_tokens, scoring.rank_tolerance, scoring.conditional_gain)
    measured = cost(model, rows.workload, options, basis=todo.read_basis(model), form=todo.form, fitted=todo.fitted)
    fresh = set(todo.missing["sample_id"].to_pylist())
    signals = measured.sample.signals
    with_vector = todo.with_vector(pa.array([sampled[row.row][0] for row in signals], pa.string()))
    records = job.records(sampled, signals, fresh, with_vector)
    commit_started = time.perf_counter()
    commit_opening(job, measured.engine, records, [], new_basis=todo.basis is None)
    commit_s = time.perf_counter() - commit_started
    engines = config.cluster.actors if config.cluster else len(device_names)
    size = shard_rows(config, todo.rows)
    seconds = loading_s + _seconds(rows, measured, engines=engines, commit_s=commit_s, size=size)
    made_up, row_bytes = _fill(job, todo, len(records)) if records else (1.0, 0.0)
    on_gpu = model.device.type == "cuda"
    return Planned(
        to_score=todo.missing_rows - rows.unscorable,
        canaries=todo.canaries,
        reused=todo.rows - todo.missing_rows,
        unscorable=rows.unscorable,
        tokens=rows.tokens(fresh),
        seconds=seconds,
        device=f"{' and '.join(device_names)} in {model.dtype_name}",
        memory=peak_memory() + (0 if on_gpu else measured.more_bytes),
        device_memory=measured.peak + measured.more_bytes if on_gpu else None,
        probed=len(signals),
        probe_s=time.perf_counter() - started,
        is_sampled=rows.share < 1,
        made_up=made_up,
        row_bytes=row_bytes,
        store_bytes=_store_bytes(rows, records, measured) if config.cluster else 0,
        actor_s=measured.rest_s,
    )


@dataclass(frozen=True)
class _Sample:
    """The rows of a run as token ids: the opening, and a sample of the remaining rows."""

    opening: OpeningRows
    rest: EncodedRows
    remaining: int
    """Rows that `rest` is a sample of."""
    unscorable: int
    read_s: float
    """Seconds to read one row."""
    file_bytes: int
    """Bytes of the rows of `rest`, and of those that the model refuses, as a Parquet file."""

    @property
    def workload(self) -> Workload:
        """The rows as the cost model takes them."""
        parts = (self.opening.reference, self.opening.dataset, self.rest)
        reference, opening, rest = ([row for _, row in part] for part in parts)
        return Workload(reference, opening, rest, self.share)

    @property
    def share(self) -> float:
        """Share of the remaining rows that the sample is."""
        return min(SAMPLE / self.remaining, 1.0) if self.remaining else 1.0

    def tokens(self, fresh: set[str]) -> int:
        """Tokens of the rows to score. fresh: sample_ids that lack a score; a trusted row may have one."""
        opening = [*self.opening.reference, *self.opening.dataset]
        opening_tokens = sum(len(row.ids) for sample_id, row in opening if sample_id in fresh)
        return opening_tokens + round(sum(len(row.ids) for _, row in self.rest) / self.share)


def _sample(job: ScoringJob, todo: Todo) -> _Sample:
    """Read the rows that a run would open with, and a sample of the remaining rows."""
    config, started = job.run.config, time.perf_counter()
    opening = read_opening(config, job.model, todo)
    remaining = without(todo.missing, opening.sample_ids())
    size = min(SAMPLE, remaining.num_rows)
    sample = remaining.take(pa.array([i * remaining.num_rows // size for i in range(size)], pa.int64()))
    rest_rows = read_rows(config.database, sample)
    rest, refusals = encode_rows(rest_rows, job.model, config.scoring.max_tokens)
    read_s = (time.perf_counter() - started) / (opening.rows_read + size)
    fresh = set(todo.missing["sample_id"].to_pylist()) - todo.canary_ids
    unscorable = sum(sample_id in fresh for sample_id, _ in opening.refusals)
    unscorable += round(sum(sample_id in fresh for sample_id, _ in refusals) * remaining.num_rows / max(size, 1))
    return _Sample(
        opening=opening,
        rest=rest,
        remaining=remaining.num_rows,
        unscorable=unscorable,
        read_s=read_s,
        file_bytes=len(parquet_bytes(pa.Table.from_pylist(rest_rows))) if rest_rows else 0,
    )


def _store_bytes(rows: _Sample, records: list[Row], measured: Cost) -> int:
    """Bytes of the files that the nodes of a cluster exchange. records: scores of a sample of the rows."""
    scores = len(parquet_bytes(score_table(records))) / max(len(records), 1)
    return len(measured.engine.fitted.stored()) + round(rows.file_bytes / rows.share + scores * rows.remaining)


def _seconds(rows: _Sample, measured: Cost, *, engines: int, commit_s: float, size: int) -> float:
    """Seconds of scoring. The first shard is read before it is computed; later shards are read during computation.

    size: rows of a shard.
    """
    shards = math.ceil(rows.remaining / size)
    first = rows.opening.rows_read + min(size, rows.remaining)
    reading_s = rows.read_s * (rows.remaining - size)
    rest_s = max(measured.rest_s / max(min(engines, shards), 1), reading_s)
    commits = 1 + max(shards, rest_s / COMMIT_S)
    return rows.read_s * first + measured.opening_s + rest_s + commit_s * commits


def _fill(job: ScoringJob, todo: Todo, scored: int) -> tuple[float, float]:
    """Give rows without a score the numbers of scored rows: all canaries and trusted rows, and at most FILLED others.

    Returns the share of rows with a score, and the bytes that one score adds to the database.
    """
    run, file = job.run, Path(job.run.config.database)
    with reading(run.config.database) as connection:
        scored_ids = execute(connection, "plan_scored", {"run_id": run.run_id}).to_arrow_table()
    rest = without(todo.missing, scored_ids["sample_id"])
    is_trusted = pc.is_in(rest["sample_id"], value_set=todo.trusted["sample_id"].combine_chunks())
    required = rest.filter(pc.or_(rest["is_canary"], is_trusted))
    others = without(rest, required["sample_id"])
    chosen = range(0, others.num_rows, math.ceil(max(others.num_rows, 1) / FILLED))
    ids = pa.concat_tables([required, others.take(pa.array(chosen, pa.int64()))])["sample_id"]
    before = file.stat().st_size
    with writing(run.config.database) as connection, transaction(connection):
        connection.register("unscored_rows", pa.table({"sample_id": ids, "position": range(len(ids))}))
        values = job.scope.parameters | {"run_id": run.run_id}
        execute(connection, "plan_fill_scores", values)
        execute(connection, "plan_fill_vectors", values)
    return (len(ids) + scored) / todo.missing.num_rows, (file.stat().st_size - before) / max(len(ids), 1)
