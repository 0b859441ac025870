"""Rows without a fresh score -> scores, shard by shard.

SQL lists what is missing, so a first run, a run that resumes after a crash and a run with a few new rows are the same
code. The database is open only to read and to commit, never while the model computes. A run that goes on after a crash
stores the same numbers as one that nothing interrupted: it takes the fit and the shards of the run before it.

The longest rows come first, so that a lack of memory shows at once. Each device has an engine, which takes shards until
none is left. While it computes, the rows of the next shard are read and encoded. With the section `cluster`, this
process is the head: it fits and commits, and actors on a Ray cluster score the same shards (workload/cluster.py).
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, replace
from importlib.util import find_spec

import pyarrow as pa
import pyarrow.compute as pc

from oresight.tasks.database import reading
from oresight.tasks.runs.progress import log, progress
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import register_model
from oresight.tasks.scoring.device import devices
from oresight.tasks.scoring.engine import Engine, Options, open_engine
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.source import TOY
from oresight.tasks.workload import todo as settings
from oresight.tasks.workload.commit import ScoringJob, commit_fit, commit_opening, commit_scores
from oresight.tasks.workload.encode import EncodedRows, Refusals, Row, encode_rows, require_vision
from oresight.tasks.workload.exchange import Exchange, Merger
from oresight.tasks.workload.shards import Shard, Shards, cut, forget_cut, shard_rows
from oresight.tasks.workload.store import EXTRA
from oresight.tasks.workload.todo import Todo, read_opening, read_todo, without

ShardTask = Callable[[int], int]
"""Scores the shard with this number and returns how many rows it scored."""


@dataclass(frozen=True)
class Scored:
    """Numbers of rows of a scoring step, canaries excluded."""

    model_key: str
    model: str
    scored: int
    reused: int
    unscorable: int


def score(run: Run, as_task: Callable[[ShardTask], ShardTask] = lambda shard: shard, exact: bool = True) -> Scored:
    """Score every row of the dataset and the reference that has no fresh score. Raises ValueError.

    Args:
        run: What to score, against what, and with which model.
        as_task: Wraps the function that scores a shard.
        exact: False scores only the reference's rows and the few rows that its form is chosen on. These rows are then
            in the index, and the macro `value_against` has values for all rows that were scored before.
    """
    config, model = run.config, run.model
    register_model(config.database, model)
    with reading(config.database) as connection:
        scope = run.scope(connection)
        todo = read_todo(connection, scope)
    if todo.basis is None and not exact:
        raise ValueError("score --index: there is no index of this model yet; leave --index out the first time")
    if todo.missing.num_rows == 0:
        forget_cut(config.database)  # a run can be killed after its last commit
        log().info("score: nothing to do, all %d rows have a fresh score from %s", todo.rows, model.name)
        return Scored(model_key=model.key, model=model.name, scored=0, reused=todo.rows, unscorable=0)
    if config.cluster and exact:
        _require_cluster(config.cluster.address)
    conversion = " (a GGUF file is converted once, for a minute)" if model.files.gguf else ""
    log().info("score: loading %s%s", model.name, conversion)
    device_names = devices(config.model.device)
    loaded = load(
        model.files, device_names[0], todo.dtype(config.model.dtype), config.model.parallel, spread=config.model.spread
    )
    device_names = loaded.engines(device_names)
    require_vision(loaded, model.files, scope.dataset, scope.dataset_kind)
    if config.model.name == TOY:
        log().warning("score: %s is a toy: its scores mean nothing on pictures other than easy-VQA's", TOY)
    with closing(loaded), progress("score", todo.missing.num_rows, work=todo.length) as advance:
        job = ScoringJob(run=run, scope=scope, model=loaded, advance=advance, canaries=todo.canary_ids)
        rows = f"{todo.missing_rows} rows" + (f" and {todo.canaries} canaries" if todo.canaries else "")
        on = f"{' and '.join(device_names)} in {loaded.dtype_name}{loaded.places}"
        log().info("score: %s with %s on %s", rows if exact else "the trusted rows", model.name, on)
        engine, finished = _open(job, todo)
        if exact:
            shards = cut(config.database, scope, without(todo.missing, finished), shard_rows(config, todo.rows))
            if config.cluster:
                _score_on_cluster(job, todo.fitted or engine.fitted.stored(), shards)
            else:
                _score_here(job, engine, device_names[1 : len(shards)], shards, as_task)
            forget_cut(config.database)
    return Scored(
        model_key=model.key,
        model=model.name,
        scored=job.scored,
        reused=todo.rows - todo.missing_rows,
        unscorable=job.unscorable,
    )


def _require_cluster(address: str) -> None:
    """Raises ValueError if Ray is not installed or there is no cluster, before anything is computed."""
    if find_spec("ray") is None:
        raise ValueError(f"cluster: needs Ray; to install it: {EXTRA}. Without this section, this process scores")
    from oresight.tasks.workload.cluster import connected  # only here, because this imports Ray

    with connected(address):
        pass


def _open(job: ScoringJob, todo: Todo) -> tuple[Engine, pa.Array]:
    """Take the stored fit, or fit the reference and the index, and commit the rows that are scored for that.

    Returns their sample_ids too.
    """
    config = job.run.config

    def halved(budget: int) -> None:
        log().warning("score: out of memory; going on with scoring.batch_tokens: %d", budget)

    scoring = config.scoring
    options = Options(scoring.batch_tokens, scoring.rank_tolerance, scoring.conditional_gain, halved)
    if todo.fitted:
        engine = Engine.of(job.model, todo.fitted, options)
        commit_fit(job, engine)
        log().info("score: reference as it was fitted before")
        return engine, pa.array([], pa.string())
    rows = read_opening(config, job.model, todo)
    finished = rows.sample_ids()
    scored = todo.missing.filter(pc.is_in(todo.missing["sample_id"], value_set=finished))
    finished, length = scored["sample_id"].combine_chunks(), pc.sum(scored["length"]).as_py() or 0
    opening = open_engine(
        model=job.model,
        reference=[row for _, row in rows.reference],
        opening=[row for _, row in rows.dataset],
        options=replace(options, on_opened=lambda share: job.advance(share * len(finished), share * length)),
        basis=todo.read_basis(job.model),
        form=todo.form,
    )
    engine, reference = opening.engine, opening.engine.fitted.reference
    fresh, with_vector = set(finished.to_pylist()), todo.with_vector(finished)
    records = job.records(rows.reference, opening.reference, fresh, with_vector)
    records += job.records(rows.dataset, opening.opening, fresh, with_vector)
    refusals = [refusal for refusal in rows.refusals if refusal[0] in fresh]
    commit_opening(job, engine, records, refusals, new_basis=todo.basis is None)
    if reference.rows:
        log().info(
            "score: reference of %d rows as %d directions over %d tokens, values within %.2g; index correlation %.4f",
            reference.rows, reference.rank, reference.tokens, reference.deviation, engine.fitted.index.correlation,
        )  # fmt: skip
    return engine, finished


def _score_on_cluster(job: ScoringJob, fitted: bytes, shards: Shards) -> None:
    """Score the remaining rows with the actors of a cluster, after taking in what an earlier head left in the store."""
    merger = Merger(job, Exchange.of(job.run.config, shards.label, fitted))
    try:
        if numbers := merger.merge_all(shards):
            from oresight.tasks.workload.cluster import score_shards

            merger.exchange.write_fit(fitted)
            score_shards(job, merger, shards, numbers)
    finally:
        merger.note_devices()
    merger.exchange.store.clear()


def _score_here(
    job: ScoringJob,
    engine: Engine,
    more_devices: Sequence[str],
    shards: Shards,
    as_task: Callable[[ShardTask], ShardTask],
) -> None:
    """Score the remaining rows in this process: on the engine's device, and on as many more as there are shards for."""
    others = (load(job.run.model.files, device, job.model.dtype_name) for device in more_devices)
    fitted = engine.fitted.stored() if more_devices else b""
    _score_shards(job, [engine, *(Engine.of(other, fitted, engine.options) for other in others)], shards, as_task)


def _score_shards(
    job: ScoringJob, engines: Sequence[Engine], shards: Shards, as_task: Callable[[ShardTask], ShardTask]
) -> None:
    """Score the remaining rows by shards, with as many shards at a time as there are engines."""
    config, stop = job.run.config, threading.Event()
    idle: queue.SimpleQueue[Engine] = queue.SimpleQueue()
    for engine in engines:
        idle.put(engine)
    ready: dict[int, Future[tuple[Shard, EncodedRows, Refusals]]] = {}

    def read_shard(number: int) -> tuple[Shard, EncodedRows, Refusals]:
        shard = shards.read(shards.unfinished[number])
        return shard, *encode_rows(shard.rows, job.model, config.scoring.max_tokens)

    def score_shard(number: int) -> int:
        shard, rows, refusals = ready.pop(number).result()
        if (later := number + len(engines)) < len(shards):
            ready[later] = ahead.submit(read_shard, later)
        refusals = [refusal for refusal in refusals if refusal[0] in shard.missing]
        commit_scores(job, [], refusals)
        job.show(shard, [sample_id for sample_id, _ in refusals])
        engine, scored = idle.get(), 0
        try:
            for portion in _portions(job, engine, shard, rows, stop):
                commit_scores(job, portion)
                scored += len(portion)
        finally:
            idle.put(engine)
        return scored

    run_shard = as_task(score_shard)
    with ThreadPoolExecutor(1) as ahead:
        for number in range(min(len(engines), len(shards))):
            ready[number] = ahead.submit(read_shard, number)
        if len(engines) == 1:
            for number in range(len(shards)):
                run_shard(number)
            return
        with ThreadPoolExecutor(len(engines)) as threads:
            started = [threads.submit(copy_context().run, run_shard, number) for number in range(len(shards))]
            try:
                for future in started:
                    future.result()
            finally:
                stop.set()  # one shard failed: the others end after their current batch
                threads.shutdown(cancel_futures=True)


def _portions(
    job: ScoringJob, engine: Engine, shard: Shard, rows: EncodedRows, stop: threading.Event
) -> Iterator[list[Row]]:
    """Score the rows that lack a score, and yield records in portions of about COMMIT_S seconds."""
    started, portion = time.monotonic(), list[Row]()
    for records in job.score(engine, shard, rows):
        portion += records
        if time.monotonic() - started > settings.COMMIT_S or stop.is_set():
            yield portion
            started, portion = time.monotonic(), []
        if stop.is_set():
            return
    if portion:
        yield portion
