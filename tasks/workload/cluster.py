"""The head of a Ray cluster: gives shards to actors, and merges their results. The only `import ray`.

Each actor gets one shard at a time, by name, and goes on with the next while the head merges. Rows move through the
store and never through Ray. An actor, a node or the head may end at any moment: what is in the store stays, and only
shards without results are scored again.

A dead actor is replaced by a new one, because Ray's own restarts fail the calls of shards that did nothing wrong. If a
shard ends its actor STRIKES times, a row of it may be the cause, for instance by a crash in a library. The shard is
then halved until that row is alone. Only attempts that the actor began count.
"""

import logging
import os
import socket
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from oresight.tasks.runs.progress import log
from oresight.tasks.workload.commit import ScoringJob, commit_scores
from oresight.tasks.workload.exchange import Merger
from oresight.tasks.workload.scorer import Orders, Scorer
from oresight.tasks.workload.shards import Shard, Shards

STRIKES = 3
"""How often a shard, and in the end a row, may end its actor before it counts as the cause."""
REASON = "cannot be scored: it ended the process that scored it"
PATIENCE_S = 60.0
"""Seconds to wait for a first actor before the log says what the cluster lacks."""


@dataclass(frozen=True)
class Attempt:
    """A shard that an actor has been given."""

    actor: Any
    shard: Shard
    id: str


class Crew:
    """The actors, and the shards that are left to score."""

    def __init__(self, orders: Orders, merger: Merger, shards: Shards, numbers: Sequence[int]) -> None:
        cluster = orders.config.cluster
        assert cluster is not None
        self.orders, self.merger, self.cluster = orders, merger, cluster
        self.unread: Iterator[Shard] = map(shards.read, numbers)
        self.again: deque[Shard] = deque()
        """Shards whose actor died, and halves of such shards."""
        self.left = len(numbers)
        """Shards without results, those that are being scored included."""
        self.opening: dict[Any, Any] = {}
        """Actors that load the model, by the call that they answer."""
        self.idle: list[Any] = []
        self.busy: dict[Any, Attempt] = {}
        self.strikes: Counter[str] = Counter()
        self.failures = 0
        """Failures since a shard was last finished."""

    def score(self) -> None:
        """Score and merge all shards. Raises ValueError if a node cannot score, RuntimeError if all actors die."""
        ended: list[tuple[Attempt, str]] = []
        try:
            while self.left:
                self._assign()
                for attempt, failure in ended:  # the actors go on meanwhile
                    self._settle(attempt, failure)
                ended = self._wait() if not ended else []
        finally:
            for actor in (*self.opening.values(), *self.idle, *(attempt.actor for attempt in self.busy.values())):
                ray.kill(actor)

    def _assign(self) -> None:
        """Make as many actors as there is work for, and give a shard to each that has none."""
        resources = {"num_cpus": self.cluster.cpus, "num_gpus": self.cluster.gpus}
        make = ray.remote(Scorer).options(**resources, max_restarts=0, scheduling_strategy="SPREAD")
        while len(self.opening) + len(self.idle) + len(self.busy) < min(self.cluster.actors, self.left):
            actor = make.remote(self.orders)
            self.opening[actor.open.remote()] = actor
        while self.idle:
            shard = self.again.popleft() if self.again else next(self.unread, None)
            if shard is None:
                return
            self.orders.exchange.write_shard(shard)
            attempt = Attempt(self.idle.pop(), shard, uuid.uuid4().hex)
            self.busy[attempt.actor.score.remote(shard.name, attempt.id)] = attempt

    def _wait(self) -> list[tuple[Attempt, str]]:
        """Wait until an actor answers. Returns the attempts that ended, each with why it failed, or an empty text."""
        calls = [*self.opening, *self.busy]
        ready, _ = ray.wait(calls, num_returns=1, timeout=None if self.idle or self.busy else PATIENCE_S)
        if not ready:
            log().warning(
                "score: no actor is ready after %.0f s; each needs %d CPUs and %d GPUs, and the cluster has %d and %d",
                PATIENCE_S, self.cluster.cpus, self.cluster.gpus,
                *(ray.cluster_resources().get(kind, 0) for kind in ("CPU", "GPU")),
            )  # fmt: skip
        ready, _ = ray.wait(calls, num_returns=len(calls), timeout=0)
        ended = []
        for call in ready:
            failure = _failure(call)
            attempt = self.busy.pop(call, None)
            actor = attempt.actor if attempt else self.opening.pop(call)
            if attempt:
                ended.append((attempt, failure))
            if failure:
                ray.kill(actor)
                self._count_failure(failure)
            else:
                self.idle.append(actor)
        return ended

    def _count_failure(self, failure: str) -> None:
        """Raises RuntimeError if actors fail whatever they score."""
        self.failures += 1
        log().warning("score: an actor failed: %s", failure)
        if self.failures >= STRIKES * max(self.cluster.actors, STRIKES):
            raise RuntimeError(f"score: actors failed {self.failures} times one after the other, at last: {failure}")

    def _settle(self, attempt: Attempt, failure: str) -> None:
        """Merge the results of an attempt, or decide what becomes of its shard."""
        shard = attempt.shard
        if not failure:
            if self.merger.merge(shard):
                self.left, self.failures = self.left - 1, 0
            else:
                self.again.append(shard)
                self._count_failure("its results cannot be used")
            return
        self.strikes[shard.name] += self.orders.exchange.has_started(attempt.id)
        if self.strikes[shard.name] < STRIKES:
            self.again.append(shard)
        elif shard.table.num_rows > 1:
            halves = shard.halves()
            self.strikes |= {half.name: STRIKES - 1 for half in halves if half.table.num_rows > 1}
            self.again.extend(halves)
            self.left += len(halves) - 1
        else:
            refusals = [(sample_id, f"{REASON} {STRIKES} times") for sample_id in shard.missing]
            commit_scores(self.merger.job, [], refusals)
            self.merger.job.show(shard, shard.missing)
            self.left, self.failures = self.left - 1, 0


def score_shards(job: ScoringJob, merger: Merger, shards: Shards, numbers: Sequence[int]) -> None:
    """Score the shards with these numbers on the configured cluster, and merge their results.

    Raises ValueError if there is no cluster or a node cannot score, RuntimeError if all actors die.
    """
    cluster = job.run.config.cluster
    assert cluster is not None
    with connected(cluster.address):
        log().info("score: %d shards on the cluster, with at most %d actors", len(numbers), cluster.actors)
        Crew(Orders.of(job, merger.exchange), merger, shards, numbers).score()


def _failure(call: Any) -> str:
    """Why a call of an actor failed; empty if it did not. Raises ValueError if the actor refused."""
    try:
        if message := ray.get(call):
            log().warning("score: %s", message)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise ValueError(str(error.cause)) from error
        return f"{type(error.cause).__name__}: {_brief(str(error.cause))}"
    except ray.exceptions.RayError as error:
        return f"{type(error).__name__}: {_brief(str(error))}"
    return ""


def _brief(text: str) -> str:
    """The beginning and the end of a text, in one line. A traceback ends with the error."""
    line = " ".join(text.split())
    return line if len(line) <= 400 else f"{line[:200]} ... {line[-200:]}"


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to the cluster, unless this process is connected already. Raises ValueError if there is none."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        if address != "auto":  # Ray would try for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except OSError as error:
        raise ValueError(
            f"cluster.address: no Ray cluster answers at {address}; start one (`ray start --head`) that this machine is"
            " a node of, or remove the section cluster to score in this process"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
