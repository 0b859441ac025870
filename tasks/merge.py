"""Scores in the store of a cluster -> the database, where a head died before it took them in.

Neither Ray nor the model is needed. `score` does the same before it scores what is left.
"""

from dataclasses import dataclass

from oresight.tasks.database import reading
from oresight.tasks.runs.progress import progress
from oresight.tasks.runs.record import Run
from oresight.tasks.workload.commit import Job
from oresight.tasks.workload.exchange import Exchange, Merger
from oresight.tasks.workload.shards import cut, cut_label, forget_cut, shard_rows
from oresight.tasks.workload.todo import read_todo


@dataclass(frozen=True)
class Merged:
    """What was taken in. Rows do not include canaries."""

    shards: int
    scored: int
    unscorable: int
    left: int
    """Rows that still lack a score."""


def merge(run: Run) -> Merged:
    """Take the scores that a head left in the store into the database.

    Raises ValueError if the configuration has no section `cluster`, or if the dataset was never read.
    """
    config = run.config
    if config.cluster is None:
        raise ValueError(
            "cluster: this section is missing, and it names the store; without it there is nothing to merge"
        )
    with reading(config.database) as connection:
        scope = run.scope(connection)
        todo = read_todo(connection, scope)
        label = cut_label(connection, scope, config.cluster.shard_rows)
    if todo.fitted is None:
        return Merged(shards=0, scored=0, unscorable=0, left=todo.missing_rows)
    with progress("merge", todo.missing.num_rows, work=todo.length) as advance:
        job = Job(run=run, scope=scope, advance=advance, canaries=todo.canary_ids)
        merger = Merger(job, Exchange.of(config, label, todo.fitted))
        is_whole = todo.missing.num_rows == 0
        if not is_whole and merger.exchange.scored_names():
            is_whole = not merger.merge_all(cut(config.database, scope, todo.missing, shard_rows(config, todo.rows)))
            merger.note_devices()
    if is_whole:
        merger.exchange.store.clear()
        forget_cut(config.database)
    return Merged(
        shards=merger.devices.total(),
        scored=job.scored,
        unscorable=job.unscorable,
        left=todo.missing_rows - job.scored - job.unscorable,
    )
