"""Results about the method, kept as rows: a group of numbers at a time, whole or not at all.

A group's `unit` is the hash of everything that it depends on. A known group is not computed again, so that a killed
evaluation continues where it was, and a scheduled one costs nothing as long as nothing has changed.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from oresight.tasks.database import execute, reading, transaction, writing
from oresight.tasks.evaluation.measure import Comparison, compare
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run

VERSION = 1
"""Raise it when the same data would get other numbers."""
HASH = 12
"""Letters of a hash that conditions show."""


class Result(NamedTuple):
    """A number."""

    setting: str
    """What was varied beside the method."""
    method: str
    seed: int | None
    """None: of all seeds at once."""
    metric: str
    value: float


Compared = list[tuple[str, str, Comparison]]
"""Setting, method, and how the method compares with another."""


@dataclass(frozen=True)
class Ledger:
    """Where the results of one evaluation are kept, and the conditions that they hold under."""

    database: str
    run_id: str
    evaluation: str
    dataset: str
    model: str
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """Remaining inputs. Results under different conditions are never pooled."""

    @staticmethod
    def of(run: Run, evaluation: str, **conditions: Any) -> "Ledger":
        """The ledger of an evaluation of the run's dataset by its model."""
        config = run.config
        return Ledger(config.database, run.run_id, evaluation, config.dataset.name, run.model.name, conditions)

    def under(self, **conditions: Any) -> "Ledger":
        """The same under more conditions."""
        return replace(self, conditions={**self.conditions, **conditions})

    def unit(self, **inputs: Any) -> str:
        """The name of a group of numbers: a hash of the conditions and of these inputs."""
        everything = {
            **self.conditions, **inputs, "evaluation": self.evaluation, "model": self.model, "version": VERSION
        }  # fmt: skip
        return hashlib.sha256(json.dumps(everything, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def has(self, unit: str) -> bool:
        """Whether a group's numbers are stored."""
        with reading(self.database) as connection:
            (stored,) = execute(connection, "ledger_has", {"unit": unit}).fetchone() or (False,)
        return bool(stored)

    def once(self, unit: str, compute: Callable[[], Iterable[Result]], what: str) -> str:
        """Store a group of numbers, computed now unless it is stored already; returns its unit."""
        if self.has(unit):
            log().info("%s: %s is known", self.evaluation, what)
            return unit
        log().info("%s: %s", self.evaluation, what)
        rows = [result._asdict() for result in compute() if np.isfinite(result.value)]
        if rows:
            with writing(self.database) as connection, transaction(connection):
                connection.register("new_evaluations", pa.Table.from_pylist(rows, SCHEMA))
                execute(connection, "ledger_insert", self._names() | {"unit": unit})
        return unit

    def compare(
        self, units: Sequence[str], metric: str, rivals: Sequence[str], test: str, methods: Sequence[str] = ()
    ) -> Compared:
        """Compare each method with each rival that was measured on the same seeds; the comparisons are stored too.

        methods: those that are compared; by default all that are no rivals.
        """
        by_setting: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        for result in self.read(units):
            if result.metric == metric and result.seed is not None:
                by_setting[result.setting][result.method][result.seed] = result.value
        compared: Compared = []
        for setting, by_method in by_setting.items():
            for method, mine in by_method.items():
                if method not in methods if methods else method in rivals:
                    continue
                others = {name: by_method[name] for name in rivals if name in by_method and name != method}
                seeds = sorted(set(mine).intersection(*others.values())) if others else []
                ours = np.array([mine[seed] for seed in seeds])
                theirs = {name: np.array([other[seed] for seed in seeds]) for name, other in others.items()}
                compared += [(setting, method, comparison) for comparison in compare(ours, theirs, test)]
        self._store_comparisons(compared, metric, self.unit(
            compared=metric, test=test, of=sorted(set(units)), rivals=sorted(rivals)
        ))  # fmt: skip
        return compared

    def _store_comparisons(self, compared: Compared, metric: str, unit: str) -> None:
        rows = [
            {"setting": setting, "method": method, "metric": metric, **asdict(comparison)}
            for setting, method, comparison in compared
        ]
        with writing(self.database) as connection, transaction(connection):
            execute(connection, "ledger_clear", {"unit": unit})
            if rows:
                connection.register("new_comparisons", pa.Table.from_pylist(rows))
                execute(connection, "ledger_compare", self._names() | {"unit": unit})

    def read(self, units: Sequence[str]) -> list[Result]:
        """The numbers of these groups."""
        with reading(self.database) as connection:
            connection.register("units_to_read", pa.table({"unit": pa.array(units, pa.string())}))
            return [Result(*row) for row in execute(connection, "ledger_read").fetchall()]

    def _names(self) -> dict[str, str]:
        conditions = json.dumps(self.conditions, sort_keys=True, default=str)
        named = {"evaluation": self.evaluation, "dataset": self.dataset, "model": self.model, "run_id": self.run_id}
        return named | {"conditions": conditions}


SCHEMA = pa.schema([
    ("setting", pa.string()), ("method", pa.string()), ("seed", pa.int32()), ("metric", pa.string()),
    ("value", pa.float64()),
])  # fmt: skip


def content_hashes(run: Run) -> list[str]:
    """What the dataset and the reference hold now, as conditions show it. Raises ValueError if one is not there."""
    with reading(run.config.database) as connection:
        scope = run.scope(connection)
    return [scope.dataset_hash[:HASH], scope.reference_hash[:HASH]]
