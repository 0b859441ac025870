"""Rows without a fresh score -> scores. What is missing is a question to SQL, so resuming after a crash, scoring only
new rows and the first run are the same code. The database is open only to ask and to commit, never while the model
computes.

The work is cut into shards of SHARD rows, the longest first: what does not fit into memory shows at once. Each device
has an engine, which takes shards until none is left; while it computes, the rows of the next are fetched and encoded.
"""

import hashlib
import json
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.commit import Job, Row, commit_fit, commit_scores, commit_unscorable, record
from tasks.config import Curate
from tasks.database import query, reading, writing
from tasks.encode import Named, Refusals, encoded, encoded_reference, must_see, rows_of
from tasks.progress import log, progress
from tasks.run import stored
from tasks.scoring.engine import Engine, Options, enough, opened
from tasks.scoring.index import Basis
from tasks.scoring.model import devices, load
from tasks.scoring.prompt import MASKING
from tasks.scoring.source import TOY, Source, find

SCORING_VERSION = 2
"""Raise it when the same row, model and reference would get another number."""
SHARD = 2048
"""Rows taken from the database at a time."""
OPENING = 1000
"""Rows of the dataset that are fetched to open the engine with."""
COMMIT_S = 10.0
"""Seconds of computing that a crash may cost."""

Shard = Callable[[int], int]


@dataclass(frozen=True)
class Scored:
    """What the step did."""

    model_key: str
    model: str
    scored: int
    reused: int
    unscorable: int


def score(
    config: Curate, run_id: str, as_task: Callable[[Shard], Shard] = lambda shard: shard, exact: bool = True
) -> Scored:
    """Score every row of the dataset and the reference that has no fresh score. Raises ValueError.

    Args:
        config: What to score, against what, and with which model.
        run_id: The run that does it.
        as_task: What the function that scores a shard, given its number, is wrapped in.
        exact: False for the reference's rows only, and the few that its form is chosen on: they are in the index then,
            and the macro `value_against` has values for all rows that were scored before.
    """
    source = find(config.model.name, config.model.revision, config.model.adapter)
    key, name = register(config, source)
    with reading(config.database) as connection:
        known = stored(connection, config.database, config.dataset.name, config.reference.name)
        names = _names(config, key, known[config.reference.name].content_hash)
        datasets = {"dataset": config.dataset.name, "reference": config.reference.name}
        (wanted,) = connection.execute(query("score_wanted"), datasets).fetchone() or (0,)
        todo = connection.execute(query("score_todo"), names).to_arrow_table()
        trusted = connection.execute(query("score_reference_ids"), {"reference": config.reference.name})
        trusted_ids = trusted.to_arrow_table()
        before = connection.execute(query("score_fit"), {k: names[k] for k in names if k != "dataset"}).fetchone()
        kept = connection.execute(query("score_basis"), {"model_key": key}).fetchone()
    if kept is None and not exact:
        raise ValueError("score --index: there is no index of this model yet; leave --index away the first time")
    missing = todo.num_rows - (canaries := pc.sum(todo["is_canary"]).as_py() or 0)
    if todo.num_rows == 0:
        log().info("score: nothing to do, all %d rows have a fresh score from %s", wanted, name)
        return Scored(key, name, 0, wanted, 0)
    log().info("score: loading %s%s", name, " (a GGUF file is converted once, for a minute)" if source.gguf else "")
    dtype = before[2] if before and config.model.dtype == "auto" else config.model.dtype
    places = devices(config.model.device)
    model = load(source, places[0], dtype)
    must_see(model, source, config.dataset.name, known[config.dataset.name].kind)
    if config.model.name == TOY:
        log().warning("score: %s is a toy: what it says of pictures other than easy-VQA's means nothing", TOY)
    with progress(f"score with {name}", todo.num_rows) as advance:
        planted = todo.filter(todo["is_canary"])["sample_id"].to_pylist()
        job = Job(config, run_id, key, names["reference_hash"], model, advance, frozenset(planted))
        on = f"{' and '.join(places)} in {str(model.dtype).removeprefix('torch.')}"
        rows = f"{missing} rows and {canaries} canaries" if canaries else f"{missing} rows"
        log().info("score: %s with %s on %s", rows if exact else "the trusted rows", name, on)
        basis = Basis.read(kept[0]).to(model.device) if kept else None
        engine, first = _open(job, todo, trusted_ids, basis, (before[0], before[1]) if before else None)
        if exact:
            rest = _without(todo, first)
            others = places[1 : math.ceil(rest.num_rows / SHARD)]  # no more devices than shards
            engines = [engine, *(engine.beside(load(source, place, dtype)) for place in others)]
            _score_shards(job, engines, rest, as_task)
    return Scored(key, name, job.scored, wanted - missing, job.unscorable)


def identity(config: Curate, source: Source) -> dict[str, Any]:
    """What this model's scores hang on, the key that is its hash, and a readable name: columns of store.models."""
    settings = {"rank_tolerance": config.scoring.rank_tolerance, "conditional_gain": config.scoring.conditional_gain}
    parts = {
        "weights": source.weights,
        "adapter": source.adapter_hash,
        "template": source.template,
        "masking": MASKING,
        "max_tokens": config.scoring.max_tokens,
        "scoring_version": SCORING_VERSION,
        "settings": json.dumps(settings | {"dtype": config.model.dtype}, sort_keys=True),
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    return {**parts, "model_key": key, "model": f"{source.name}@{key[:8]}"}


def register(config: Curate, source: Source) -> tuple[str, str]:
    """The key and the readable name under which this model's scores are kept; known to the database afterwards."""
    known = identity(config, source)
    with writing(config.database) as connection:
        connection.execute(query("score_register_model"), known)
    return known["model_key"], known["model"]


def _names(config: Curate, key: str, reference_hash: str) -> dict[str, Any]:
    return {
        "dataset": config.dataset.name,
        "reference": config.reference.name,
        "model_key": key,
        "reference_hash": reference_hash,
    }


def _without(todo: pa.Table, sample_ids: pa.Array) -> pa.Table:
    return todo.filter(pc.invert(pc.is_in(todo["sample_id"], value_set=sample_ids)))


def _open(
    job: Job, todo: pa.Table, trusted_ids: pa.Table, basis: Basis | None, form: tuple[int, int] | None
) -> tuple[Engine, pa.Array]:
    """Fit the reference and the index, and commit the rows that this takes; their sample_ids are the second result."""
    scoring = job.config.scoring

    def halved(budget: int) -> None:
        log().warning("score: out of memory; going on with scoring.batch_tokens: %d", budget)

    options = Options(scoring.batch_tokens, scoring.rank_tolerance, scoring.conditional_gain, halved)
    reference, refused = encoded_reference(job.config, trusted_ids, job.model)
    others = _without(todo.filter(pc.invert(todo["is_canary"])), trusted_ids["sample_id"].combine_chunks())
    lowest = pc.select_k_unstable(others, k=OPENING, sort_keys=[("sample_id", "ascending")])  # hashes: a random sample
    opening, more = encoded(rows_of(job.config.database, others.take(lowest)), job.model, scoring.max_tokens)
    opening = opening[: enough([row for _, row in opening], fitted=basis is not None)]
    done = opened(job.model, [r for _, r in reference], [r for _, r in opening], options, basis, form)
    engine = done.engine
    kept = engine.gauge.reference
    commit_fit(job, engine, new_basis=basis is None)
    log().info(
        "score: reference of %d rows as %d directions over %d tokens, values within %.2g; index correlation %.4f",
        kept.rows, kept.rank, kept.tokens, kept.deviation, engine.correlation,
    )  # fmt: skip
    records = [record(job, *reference[found.row], found) for found in done.reference]
    records += [record(job, *opening[found.row], found) for found in done.opening]
    unscorable = refused + more
    taken = pa.array([*(row["sample_id"] for row in records), *(sample_id for sample_id, _ in unscorable)], pa.string())
    taken = pc.filter(taken, pc.is_in(taken, value_set=todo["sample_id"].combine_chunks()))
    fresh = set(taken.to_pylist())
    commit_scores(job, [row for row in records if row["sample_id"] in fresh])
    commit_unscorable(job, [refusal for refusal in unscorable if refusal[0] in fresh])
    return engine, taken


def _score_shards(job: Job, engines: Sequence[Engine], todo: pa.Table, as_task: Callable[[Shard], Shard]) -> None:
    """Score the rest, shard by shard, as many at a time as there are engines."""
    shards, stop = math.ceil(todo.num_rows / SHARD), threading.Event()
    idle: queue.SimpleQueue[Engine] = queue.SimpleQueue()
    for engine in engines:
        idle.put(engine)
    ready: dict[int, Future[tuple[Named, Refusals]]] = {}

    def prepared(number: int) -> tuple[Named, Refusals]:
        rows = rows_of(job.config.database, todo.slice(number * SHARD, SHARD))
        return encoded(rows, job.model, job.config.scoring.max_tokens)

    def shard(number: int) -> int:
        rows, refused = ready.pop(number).result()
        if (later := number + len(engines)) < shards:
            ready[later] = ahead.submit(prepared, later)
        commit_unscorable(job, refused)
        engine, scored = idle.get(), 0
        try:
            for portion in _computed(job, engine, rows, stop):
                commit_scores(job, portion)
                scored += len(portion)
        finally:
            idle.put(engine)
        return scored

    run = as_task(shard)
    with ThreadPoolExecutor(1) as ahead:
        for number in range(min(len(engines), shards)):
            ready[number] = ahead.submit(prepared, number)
        if len(engines) == 1:
            for number in range(shards):
                run(number)
            return
        with ThreadPoolExecutor(len(engines)) as side_by_side:
            started = [side_by_side.submit(copy_context().run, run, number) for number in range(shards)]
            try:
                for future in started:
                    future.result()
            finally:
                stop.set()  # one shard failed: the others end with the batch that they are in
                side_by_side.shutdown(cancel_futures=True)


def _computed(job: Job, engine: Engine, rows: Named, stop: threading.Event) -> Iterator[list[Row]]:
    """Score rows, in portions of about COMMIT_S seconds."""
    started, portion = time.monotonic(), list[Row]()
    for batch in engine.score([row for _, row in rows]):
        portion += [record(job, *rows[found.row], found) for found in batch]
        if time.monotonic() - started > COMMIT_S or stop.is_set():
            yield portion
            started, portion = time.monotonic(), []
        if stop.is_set():
            return
    if portion:
        yield portion
