"""The actor of a cluster: a process on any node that scores the shards that the head names, and writes to the store."""

import socket
from dataclasses import dataclass
from pathlib import Path

import torch

from oresight.tasks.config import Curate
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import Scope
from oresight.tasks.scoring.engine import Engine, Options
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.picture import Unreadable
from oresight.tasks.scoring.source import EMBEDDED, TOY, UnusableModel
from oresight.tasks.workload.commit import ScoringJob
from oresight.tasks.workload.encode import encode_rows
from oresight.tasks.workload.exchange import Exchange


@dataclass(frozen=True)
class Orders:
    """All that an actor must know. Ray sends it when it makes the actor."""

    config: Curate
    scope: Scope
    run_id: str
    exchange: Exchange
    dtype: str
    """The dtype that the head decided on."""

    @staticmethod
    def of(job: ScoringJob, exchange: Exchange) -> "Orders":
        """The orders for a job. Paths become absolute, because actors run in folders of their own.

        Raises ValueError if the head's type of device is required and the actors have another.
        """
        config, device = job.run.config, job.model.device.type
        assert config.cluster is not None
        if config.cluster.same_device and config.cluster.device != device:
            raise ValueError(
                f"cluster.same_device: the head scores on {device} and the actors on {config.cluster.device}; set it to"
                " false, or run on a node with the actors' device"
            )
        model = config.model.model_copy(
            update={"name": _absolute(config.model.name), "adapter": _absolute(config.model.adapter)}
        )
        return Orders(
            config=config.model_copy(update={"model": model}),
            scope=job.scope,
            run_id=job.run.run_id,
            exchange=exchange,
            dtype=job.model.dtype_name,
        )


class Scorer:
    """The actor: loads the model and the fit once, and then scores one shard after the other."""

    def __init__(self, orders: Orders) -> None:
        self.orders, self.host = orders, socket.gethostname()
        self.lowered: int | None = None
        """The batch budget, if it was halved since it was last reported."""

    def open(self) -> None:
        """Load the model and the fit. Raises ValueError if this node cannot score as the head would."""
        orders, cluster = self.orders, self.orders.config.cluster
        assert cluster is not None
        if cluster.gpus and not torch.cuda.is_available():
            raise ValueError(
                f"cluster.gpus: torch sees no GPU on {self.host}; install a CUDA torch there, or set it to 0"
            )
        torch.set_num_threads(cluster.cpus)
        run, scoring = Run(orders.config, orders.run_id), orders.config.scoring
        try:
            if run.model.key != orders.scope.model_key:
                raise UnusableModel("the model is not the head's, or another version of oresight is installed")
            model = load(
                run.model.files,
                cluster.device,
                orders.dtype,
                orders.config.model.parallel,
                spread=orders.config.model.spread,
            )
        except UnusableModel as error:
            cure = "all nodes must see the same files under the same path, and have the same version of oresight"
            raise ValueError(f"cluster: on {self.host}, {error}; {cure}") from error
        options = Options(scoring.batch_tokens, scoring.rank_tolerance, scoring.conditional_gain, self._halved)
        self.engine = Engine.of(model, orders.exchange.read_fit(), options)
        self.job = ScoringJob(run=run, scope=orders.scope, model=model, advance=lambda *_: None)

    def _halved(self, budget: int) -> None:
        self.lowered = budget

    def score(self, name: str, attempt: str) -> str:
        """Score a shard and write its results to the store. Returns what the log should say; empty if nothing.

        Raises ValueError if a picture is missing or not the one that was ingested.
        """
        exchange, model = self.orders.exchange, self.engine.model
        exchange.note_start(attempt)
        shard = exchange.read_shard(name)
        rows, refusals = encode_rows(shard.rows, model, self.orders.config.scoring.max_tokens)
        try:
            records = [record for batch in self.job.score(self.engine, shard, rows) for record in batch]
        except Unreadable as error:
            raise ValueError(
                f"cluster: on {self.host}, {error}, or let {self.host} see the same files under the same paths"
            ) from error
        refusals = [refusal for refusal in refusals if refusal[0] in shard.missing]
        exchange.write_scores(shard, records, refusals, f"{model.device_name} in {model.dtype_name}")
        lowered, self.lowered = self.lowered, None
        return f"out of memory on {self.host}; it goes on with scoring.batch_tokens: {lowered}" if lowered else ""


def _absolute(path: str | None) -> str | None:
    """A path, where a name may be one; a model's name stays."""
    return str(Path(path).absolute()) if path and path not in (EMBEDDED, TOY) and Path(path).exists() else path
