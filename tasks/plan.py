"""Rows without a fresh score -> what scoring them would take, from a few that are scored in a database of its own.

The database is a temporary one that holds what the user's does: what stands in it afterwards is made up. Rows that were
not scored get the numbers of those that were, so that the steps behind scoring can be run, timed and weighed.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.commit import Job, commit_fit, commit_scores, record
from tasks.config import Curate
from tasks.database import query, reading, transaction, writing
from tasks.encode import Named, encoded, encoded_reference, must_see, rows_of
from tasks.run import stored
from tasks.scoring.cost import Cost, Task, cost, resident
from tasks.scoring.engine import Options, enough
from tasks.scoring.index import Basis
from tasks.scoring.model import devices, load
from tasks.scoring.source import Source, converted

SAMPLE = 2048
"""Rows that are read as ids, beside the reference and the opening; of more a part, from the longest to the shortest."""
FILLED = 20_000
"""Rows that get made-up scores."""


@dataclass(frozen=True)
class Pace:
    """How a run works: rows in a shard, rows that it opens with, seconds between two commits."""

    shard: int
    opening: int
    commit_s: float


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


def plan(config: Curate, source: Source, model_key: str, run_id: str, pace: Pace) -> Planned:
    """What it takes to score what has no fresh score in this database, which is a plan's own.

    Raises ValueError as `score` does: the model cannot be used, or none of the trusted rows with it.
    """
    with reading(config.database) as connection:
        dataset, reference = config.dataset.name, config.reference.name
        known = stored(connection, config.database, dataset, reference)
        both = {"dataset": dataset, "reference": reference}
        place = {"model_key": model_key, "reference": reference, "reference_hash": known[reference].content_hash}
        (wanted,) = connection.execute(query("score_wanted"), both).fetchone() or (0,)
        todo = connection.execute(query("score_todo"), place | {"dataset": dataset}).to_arrow_table()
        trusted_ids = connection.execute(query("score_reference_ids"), {"reference": reference}).to_arrow_table()
        before = connection.execute(query("score_fit"), place).fetchone()
        kept = connection.execute(query("score_basis"), {"model_key": model_key}).fetchone()
    canaries = pc.sum(todo["is_canary"]).as_py() or 0
    missing = todo.num_rows - canaries
    if todo.num_rows == 0:
        return Planned(0, 0, wanted, memory=resident())
    begun = time.perf_counter()
    if source.gguf:
        converted(source)  # once; the run will find it
    dtype = before[2] if before and config.model.dtype == "auto" else config.model.dtype
    places, loading = devices(config.model.device), time.perf_counter()
    model = load(source, places[0], dtype)
    must_see(model, source, dataset, known[dataset].kind)
    loading = time.perf_counter() - loading
    job = Job(config, run_id, model_key, place["reference_hash"], model, lambda _: None)
    basis = Basis.read(kept[0]).to(model.device) if kept else None
    rows = _rows(job, todo, trusted_ids, pace.opening, fitted=basis is not None)
    names, task = [*rows.opening, *rows.rest] or rows.reference, rows.task
    scoring = config.scoring
    options = Options(scoring.batch_tokens, scoring.rank_tolerance, scoring.conditional_gain)
    found = cost(model, task, options, basis, (before[0], before[1]) if before else None)
    fresh = set(todo["sample_id"].to_pylist())
    records = [record(job, *names[one.row], one) for one in found.paced.signals if names[one.row][0] in fresh]
    committing = time.perf_counter()
    commit_fit(job, found.engine, new_basis=basis is None)
    commit_scores(job, records)
    committing = time.perf_counter() - committing
    seconds = loading + _seconds(rows, found, len(places), committing, pace)
    made_up, row_bytes = _fill(job, todo, trusted_ids, len(records)) if records else (1.0, 0.0)
    return Planned(
        missing - rows.unscorable,
        canaries,
        wanted - missing,
        rows.unscorable,
        rows.tokens(fresh),
        seconds,
        f"{' and '.join(places)} in {str(model.dtype).removeprefix('torch.')}",
        resident() + (0 if model.device.type == "cuda" else found.more_bytes),
        found.peak + found.more_bytes if model.device.type == "cuda" else None,
        len(found.paced.signals),
        time.perf_counter() - begun,
        task.share < 1,
        made_up,
        row_bytes,
    )


@dataclass(frozen=True)
class _Rows:
    """The rows of a run as ids."""

    reference: Named
    opening: Named
    rest: Named
    remaining: int
    """Rows of which `rest` is a sample."""
    unscorable: int
    first: int
    """Rows that are read as ids before the rest is."""
    read_s: float
    """Seconds to read one row."""

    @property
    def task(self) -> Task:
        reference, opening, rest = ([row for _, row in part] for part in (self.reference, self.opening, self.rest))
        return Task(reference, opening, rest, self.share)

    @property
    def share(self) -> float:
        return min(SAMPLE / self.remaining, 1.0) if self.remaining else 1.0

    def tokens(self, fresh: set[str]) -> int:
        """Of the rows to score; a trusted row may have its score already."""
        opened = sum(len(row.ids) for name, row in [*self.reference, *self.opening] if name in fresh)
        return opened + round(sum(len(row.ids) for _, row in self.rest) / self.share)


def _rows(job: Job, todo: pa.Table, trusted_ids: pa.Table, most: int, *, fitted: bool) -> _Rows:
    """What a run would open with and what would remain, as tasks/score.py cuts it."""
    database, max_tokens = job.config.database, job.config.scoring.max_tokens
    begun = time.perf_counter()
    reference, refused = encoded_reference(job.config, trusted_ids, job.model)
    trusted = trusted_ids["sample_id"].combine_chunks()
    others = _without(todo.filter(pc.invert(todo["is_canary"])), trusted)
    lowest = pc.select_k_unstable(others, k=most, sort_keys=[("sample_id", "ascending")])
    opening, more = encoded(rows_of(database, others.take(lowest)), job.model, max_tokens)
    opening = opening[: enough([row for _, row in opening], fitted=fitted)]
    taken = [*(name for name, _ in [*reference, *opening]), *(name for name, _ in [*refused, *more])]
    remaining = _without(todo, pa.array(taken, pa.string()))
    some = min(SAMPLE, remaining.num_rows)
    sample = remaining.take(pa.array([i * remaining.num_rows // some for i in range(some)], pa.int64()))
    rest, unread = encoded(rows_of(database, sample), job.model, max_tokens)
    first = trusted_ids.num_rows + len(lowest)
    read_s = (time.perf_counter() - begun) / (first + some)
    planted = set(todo.filter(todo["is_canary"])["sample_id"].to_pylist())
    fresh = set(todo["sample_id"].to_pylist()) - planted
    unscorable = sum(name in fresh for name, _ in [*refused, *more])
    unscorable += round(sum(name in fresh for name, _ in unread) * remaining.num_rows / max(some, 1))
    return _Rows(reference, opening, rest, remaining.num_rows, unscorable, first, read_s)


def _without(todo: pa.Table, sample_ids: Any) -> pa.Table:
    return todo.filter(pc.invert(pc.is_in(todo["sample_id"], value_set=sample_ids)))


def _seconds(rows: _Rows, found: Cost, devices: int, committing: float, pace: Pace) -> float:
    """Of scoring: rows of the first shard are read before it is computed, later ones meanwhile."""
    shards = math.ceil(rows.remaining / pace.shard)
    first = rows.first + min(pace.shard, rows.remaining)
    rest_s = max(found.rest_s / max(min(devices, shards), 1), rows.read_s * (rows.remaining - pace.shard))
    return rows.read_s * first + found.opening_s + rest_s + committing * (1 + max(shards, rest_s / pace.commit_s))


def _fill(job: Job, todo: pa.Table, trusted_ids: pa.Table, scored: int) -> tuple[float, float]:
    """Give rows without a score the numbers of those that have one; of very many, all canaries and trusted rows, and
    others up to FILLED. Gives the share of rows with a score, and the bytes that one of them adds.
    """
    file, trusted = Path(job.config.database), trusted_ids["sample_id"].combine_chunks()
    with reading(job.config.database) as connection:
        done = connection.execute(query("plan_scored"), {"run_id": job.run_id}).to_arrow_table()
    rest = _without(todo, done["sample_id"].combine_chunks())
    must = rest.filter(pc.or_(rest["is_canary"], pc.is_in(rest["sample_id"], value_set=trusted)))
    others = _without(rest, must["sample_id"].combine_chunks())
    some = range(0, others.num_rows, math.ceil(max(others.num_rows, 1) / FILLED))
    ids = pa.concat_tables([must, others.take(pa.array(some, pa.int64()))])["sample_id"]
    before = file.stat().st_size
    with writing(job.config.database) as connection, transaction(connection):
        connection.register("unscored", pa.table({"sample_id": ids, "position": range(len(ids))}))
        connection.execute(query("plan_fill_scores"), {"run_id": job.run_id})
        connection.execute(query("plan_fill_vectors"), {"run_id": job.run_id, "model_key": job.key})
    return (len(ids) + scored) / todo.num_rows, (file.stat().st_size - before) / max(len(ids), 1)
