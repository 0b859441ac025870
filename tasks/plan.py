"""Rows without a fresh score -> what scoring them would take, from a few that are scored in a database of its own.

The database is a temporary copy of the user's. Rows that were not scored get the numbers of rows that were, so that the
steps behind scoring can be run, timed and weighed. All scores in it are synthetic afterwards.
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
from oresight.tasks.scoring.engine import Options
from oresight.tasks.scoring.model import devices, load
from oresight.tasks.scoring.source import converted
from oresight.tasks.workload import todo as cut
from oresight.tasks.workload.clock import peak_memory
from oresight.tasks.workload.commit import Job, commit_fit, commit_scores
from oresight.tasks.workload.cost import Cost, Task, cost
from oresight.tasks.workload.encode import EncodedRows, encode_rows, read_rows, require_vision
from oresight.tasks.workload.todo import OpeningRows, Todo, read_opening, read_todo, shard_count, without

SAMPLE = 2048
"""Rows that are read as ids, beside the reference and the opening. Of more rows a part, from the longest to the
shortest."""
FILLED = 20_000
"""Rows that get made-up scores."""


@dataclass(frozen=True)
class Planned:
    """What scoring would do, and take."""

    to_score: int
    """Without canaries."""
    canaries: int
    reused: int
    unscorable: int = 0
    tokens: int = 0
    """Of rows and canaries, prompt and answer, each once."""
    seconds: float = 0
    device: str = ""
    memory: int = 0
    """The most bytes of the process."""
    device_memory: int | None = None
    """The most bytes on a CUDA device."""
    probed: int = 0
    """Rows that were scored for it ..."""
    probe_s: float = 0
    """... and the seconds that they took."""
    is_sampled: bool = False
    """Not all rows were read as ids."""
    made_up: float = 1
    """Share of the rows to score that have a score now, made up or not."""
    row_bytes: float = 0
    """In the database, of a row with a score."""


def plan(run: Run) -> Planned:
    """What it takes to score what has no fresh score in this database, which is a plan's own copy.

    Raises ValueError as `score` does: the model cannot be used, or can score none of the trusted rows.
    """
    config, source = run.config, run.model.files
    register_model(config.database, run.model)
    with reading(config.database) as connection:
        scope = run.scope(connection)
        todo = read_todo(connection, scope)
    if todo.missing.num_rows == 0:
        return Planned(0, 0, todo.rows, memory=peak_memory())
    started = time.perf_counter()
    if source.gguf:
        converted(source)  # once: the run will reuse it
    used, loading = devices(config.model.device), time.perf_counter()
    model = load(source, used[0], todo.dtype(config.model.dtype))
    require_vision(model, source, scope.dataset, scope.dataset_kind)
    loading = time.perf_counter() - loading
    job = Job(run, scope, model, lambda _: None)
    rows = _sample(job, todo)
    names = [*rows.opening.dataset, *rows.rest] or rows.opening.reference
    scoring = config.scoring
    options = Options(scoring.batch_tokens, scoring.rank_tolerance, scoring.conditional_gain)
    measured = cost(model, rows.task, options, todo.read_basis(model), todo.form)
    fresh = set(todo.missing["sample_id"].to_pylist())
    signals = measured.paced.signals
    records = [job.record(*names[one.row], one) for one in signals if names[one.row][0] in fresh]
    committing = time.perf_counter()
    commit_fit(job, measured.engine, new_basis=todo.basis is None)
    commit_scores(job, records)
    committing = time.perf_counter() - committing
    seconds = loading + _seconds(rows, measured, len(used), committing)
    made_up, row_bytes = _fill(job, todo, len(records)) if records else (1.0, 0.0)
    on_gpu = model.device.type == "cuda"
    return Planned(
        to_score=todo.missing_rows - rows.unscorable,
        canaries=todo.canaries,
        reused=todo.rows - todo.missing_rows,
        unscorable=rows.unscorable,
        tokens=rows.tokens(fresh),
        seconds=seconds,
        device=f"{' and '.join(used)} in {str(model.dtype).removeprefix('torch.')}",
        memory=peak_memory() + (0 if on_gpu else measured.more_bytes),
        device_memory=measured.peak + measured.more_bytes if on_gpu else None,
        probed=len(signals),
        probe_s=time.perf_counter() - started,
        is_sampled=rows.share < 1,
        made_up=made_up,
        row_bytes=row_bytes,
    )


@dataclass(frozen=True)
class _Sample:
    """The rows of a run as ids; of those behind the opening, a sample."""

    opening: OpeningRows
    rest: EncodedRows
    remaining: int
    """Rows that `rest` is a sample of."""
    unscorable: int
    read_s: float
    """Seconds to read one row."""

    @property
    def task(self) -> Task:
        """The same for the cost model."""
        parts = (self.opening.reference, self.opening.dataset, self.rest)
        reference, opening, rest = ([row for _, row in part] for part in parts)
        return Task(reference, opening, rest, self.share)

    @property
    def share(self) -> float:
        """How large a part of the remaining rows the sample is."""
        return min(SAMPLE / self.remaining, 1.0) if self.remaining else 1.0

    def tokens(self, fresh: set[str]) -> int:
        """Tokens of the rows to score. A trusted row may have its score already."""
        opening = [*self.opening.reference, *self.opening.dataset]
        opened = sum(len(row.ids) for sample_id, row in opening if sample_id in fresh)
        return opened + round(sum(len(row.ids) for _, row in self.rest) / self.share)


def _sample(job: Job, todo: Todo) -> _Sample:
    """Read what a run would open with, and a sample of what would remain."""
    config, started = job.run.config, time.perf_counter()
    opening = read_opening(config, job.model, todo)
    remaining = without(todo.missing, opening.sample_ids())
    size = min(SAMPLE, remaining.num_rows)
    sample = remaining.take(pa.array([i * remaining.num_rows // size for i in range(size)], pa.int64()))
    rest, refusals = encode_rows(read_rows(config.database, sample), job.model, config.scoring.max_tokens)
    read_s = (time.perf_counter() - started) / (opening.rows_read + size)
    fresh = set(todo.missing["sample_id"].to_pylist()) - todo.canary_ids
    unscorable = sum(sample_id in fresh for sample_id, _ in opening.refusals)
    unscorable += round(sum(sample_id in fresh for sample_id, _ in refusals) * remaining.num_rows / max(size, 1))
    return _Sample(opening, rest, remaining.num_rows, unscorable, read_s)


def _seconds(rows: _Sample, measured: Cost, engines: int, committing: float) -> float:
    """Seconds of scoring: rows of the first shard are read before it is computed, later ones meanwhile."""
    shards = shard_count(rows.remaining)
    first = rows.opening.rows_read + min(cut.SHARD, rows.remaining)
    reading_s = rows.read_s * (rows.remaining - cut.SHARD)
    rest_s = max(measured.rest_s / max(min(engines, shards), 1), reading_s)
    commits = 1 + max(shards, rest_s / cut.COMMIT_S)
    return rows.read_s * first + measured.opening_s + rest_s + committing * commits


def _fill(job: Job, todo: Todo, scored: int) -> tuple[float, float]:
    """Give rows without a score the numbers of rows that have one: all canaries and trusted rows, and of many others
    FILLED. Returns the share of rows with a score, and the bytes that one score adds.
    """
    run, file = job.run, Path(job.run.config.database)
    with reading(run.config.database) as connection:
        done = execute(connection, "plan_scored", {"run_id": run.run_id}).to_arrow_table()
    rest = without(todo.missing, done["sample_id"])
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
