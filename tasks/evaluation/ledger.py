"""The ledger of evaluation results: groups of numbers, each stored in one transaction.

A group's `unit` is the hash of all inputs that it depends on. Known results are not computed again: a killed evaluation
continues where it stopped, and a scheduled one costs nothing as long as no input has changed.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from oresight.tasks.database import execute, reading, records, transaction, writing
from oresight.tasks.evaluation.measure import Comparison, compare_methods
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run

VERSION = 1
"""Part of every unit. Raise it when the same inputs would give other numbers."""
HASH = 12
"""Letters of a content hash that conditions show."""


class Result(NamedTuple):
    """One number that an evaluation measured."""

    setting: str
    """What is varied apart from method and seed."""
    method: str
    seed: int | None
    """None for a number over all seeds."""
    metric: str
    value: float


class MethodComparison(NamedTuple):
    """A comparison of one method with another, in one setting."""

    setting: str
    method: str
    comparison: Comparison


@dataclass(frozen=True)
class Ledger:
    """The stored results of one evaluation, under some conditions."""

    database: str
    run_id: str
    evaluation: str
    dataset: str
    model: str
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """Remaining inputs. Results under different conditions are never pooled."""
    units: list[str] = field(default_factory=list)
    """Keys of the groups of numbers and of comparisons that were used."""

    @staticmethod
    def of(run: Run, evaluation: str, **conditions: Any) -> "Ledger":
        """The ledger of an evaluation of the run's dataset by its model."""
        config = run.config
        return Ledger(
            database=config.database,
            run_id=run.run_id,
            evaluation=evaluation,
            dataset=config.dataset.name,
            model=run.model.name,
            conditions=conditions,
            units=run.units,
        )

    def under(self, **conditions: Any) -> "Ledger":
        """The same ledger under further conditions."""
        return replace(self, conditions={**self.conditions, **conditions})

    def unit(self, **inputs: Any) -> str:
        """The key of a group of numbers: the hash of the conditions and of these inputs.

        Renaming a condition or an input changes the key, so that stored results are computed again.
        """
        hashed = {
            **self.conditions, **inputs, "evaluation": self.evaluation, "model": self.model, "version": VERSION
        }  # fmt: skip
        return hashlib.sha256(json.dumps(hashed, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def has(self, unit: str) -> bool:
        """Whether the numbers of a group are stored."""
        with reading(self.database) as connection:
            (stored,) = execute(connection, "ledger_has", {"unit": unit}).fetchone() or (False,)
        return bool(stored)

    def compute_once(self, unit: str, compute: Callable[[], Iterable[Result]], title: str) -> str:
        """Compute a group of numbers and store it, unless it is stored already. Returns its unit.

        Results that are not finite are not stored. title: what the log calls the group.
        """
        self.units.append(unit)
        if self.has(unit):
            log().info("%s: %s: stored, not computed again", self.evaluation, title)
            return unit
        log().info("%s: %s", self.evaluation, title)
        rows = [result._asdict() for result in compute() if np.isfinite(result.value)]
        if rows:
            with writing(self.database) as connection, transaction(connection):
                connection.register("new_evaluations", pa.Table.from_pylist(rows, SCHEMA))
                execute(connection, "ledger_insert", self._parameters() | {"unit": unit})
        return unit

    def compare(
        self, units: Sequence[str], metric: str, rivals: Sequence[str], test: str, methods: Sequence[str] = ()
    ) -> list[MethodComparison]:
        """Compare methods with rivals on the seeds that all of them have, and store the comparisons.

        test: 'wilcoxon' or 't'. methods: what is compared with the rivals; by default all methods but the rivals.
        """
        by_setting: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        for result in self.read(units):
            if result.metric == metric and result.seed is not None:
                by_setting[result.setting][result.method][result.seed] = result.value
        compared: list[MethodComparison] = []
        for setting, by_method in by_setting.items():
            for method, by_seed in by_method.items():
                if method not in methods if methods else method in rivals:
                    continue
                others = {name: by_method[name] for name in rivals if name in by_method and name != method}
                seeds = sorted(set(by_seed).intersection(*others.values())) if others else []
                ours = np.array([by_seed[seed] for seed in seeds])
                theirs = {name: np.array([other[seed] for seed in seeds]) for name, other in others.items()}
                compared += [MethodComparison(setting, method, each) for each in compare_methods(ours, theirs, test)]
        unit = self.unit(compared=metric, test=test, of=sorted(set(units)), rivals=sorted(rivals))
        self._store_comparisons(compared, metric, unit)
        return compared

    def _store_comparisons(self, compared: Sequence[MethodComparison], metric: str, unit: str) -> None:
        """Replace the stored comparisons of a unit."""
        self.units.append(unit)
        rows = [
            {"setting": setting, "method": method, "metric": metric, **asdict(comparison)}
            for setting, method, comparison in compared
        ]
        with writing(self.database) as connection, transaction(connection):
            execute(connection, "ledger_clear", {"unit": unit})
            if rows:
                connection.register("new_comparisons", pa.Table.from_pylist(rows))
                execute(connection, "ledger_compare", self._parameters() | {"unit": unit})

    def read(self, units: Sequence[str]) -> list[Result]:
        """The numbers of some groups, ordered by setting, method, seed and metric."""
        with reading(self.database) as connection:
            connection.register("units_to_read", pa.table({"unit": pa.array(units, pa.string())}))
            return [Result(*row) for row in execute(connection, "ledger_read").fetchall()]

    def _parameters(self) -> dict[str, str]:
        """The values that every row of this ledger shares, as $parameters."""
        conditions = json.dumps(self.conditions, sort_keys=True, default=str)
        shared = {"evaluation": self.evaluation, "dataset": self.dataset, "model": self.model, "run_id": self.run_id}
        return shared | {"conditions": conditions}


SCHEMA = pa.schema([
    ("setting", pa.string()), ("method", pa.string()), ("seed", pa.int32()), ("metric", pa.string()),
    ("value", pa.float64()),
])  # fmt: skip


def read_units(database: str, units: Sequence[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The numbers of some groups over seeds, and their comparisons. Conditions are dicts."""
    with reading(database) as connection:
        connection.register("units_to_read", pa.table({"unit": pa.array(units, pa.string())}))
        numbers, compared = (records(connection, name) for name in ("ledger_summary", "ledger_compared"))
    for row in (*numbers, *compared):
        row["conditions"] = json.loads(row["conditions"])
    return numbers, compared


def content_hashes(run: Run) -> list[str]:
    """The shortened content hashes of dataset and reference. Raises ValueError if one of them is not ingested."""
    with reading(run.config.database) as connection:
        scope = run.scope(connection)
    return [scope.dataset_hash[:HASH], scope.reference_hash[:HASH]]
