"""What was found out about the method, kept as rows: a group of numbers at a time, whole or not at all.

A group's `unit` is the hash of all that it hangs on. What is known is not computed again, so that a killed evaluation
goes on where it was, and one that is scheduled costs nothing as long as nothing has changed.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tasks.database import query, reading, transaction, writing
from tasks.measure import ALPHA, Comparison, compare, spread
from tasks.progress import log

VERSION = 1
"""Raise it when the same data would get other numbers."""
HASH = 12
"""Letters of a hash that conditions tell."""


class Finding(NamedTuple):
    """A number."""

    setting: str
    """What was varied beside the method."""
    method: str
    seed: int | None
    """None: of everything at once."""
    metric: str
    value: float


@dataclass(frozen=True)
class Place:
    """Where findings are kept, and what they are of."""

    database: str
    run_id: str
    evaluation: str
    dataset: str
    model: str
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """What all of its numbers hang on beside that. Numbers under other conditions are no more seeds of the same."""

    def under(self, **conditions: Any) -> "Place":
        """The same under more conditions."""
        return replace(self, conditions={**self.conditions, **conditions})

    def unit(self, **hangs_on: Any) -> str:
        """The name of a group of numbers that hang on all of this."""
        whole = {**self.conditions, **hangs_on, "evaluation": self.evaluation, "model": self.model, "version": VERSION}
        return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def knows(self, unit: str) -> bool:
        """Whether a group's numbers are there."""
        with reading(self.database) as connection:
            (known,) = connection.execute(query("findings_known"), {"unit": unit}).fetchone() or (False,)
        return bool(known)

    def once(self, unit: str, find: Callable[[], Iterable[Finding]], what: str) -> str:
        """Have a group of numbers: found now, unless it is known."""
        if self.knows(unit):
            log().info("%s: %s is known", self.evaluation, what)
            return unit
        log().info("%s: %s", self.evaluation, what)
        made = [one._asdict() for one in find() if np.isfinite(one.value)]
        if made:
            with writing(self.database) as connection, transaction(connection):
                connection.register("found", pa.Table.from_pylist(made, SCHEMA))
                connection.execute(query("findings_insert"), {"unit": unit} | self._names())
        return unit

    def compared(
        self, units: Sequence[str], metric: str, rivals: Sequence[str], test: str, methods: Sequence[str] = ()
    ) -> list[tuple[str, str, Comparison]]:
        """Setting, method and how it compares with each rival that was measured on the same seeds; kept too.

        methods: those that are compared; by default all that are no rivals.
        """
        by: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        for one in self.of(units):
            if one.metric == metric and one.seed is not None:
                by[one.setting][one.method][one.seed] = one.value
        made: list[tuple[str, str, Comparison]] = []
        for setting, all_methods in by.items():
            for method, mine in all_methods.items():
                if method in rivals if not methods else method not in methods:
                    continue
                others = {name: all_methods[name] for name in rivals if name in all_methods and name != method}
                seeds = sorted(set(mine).intersection(*others.values())) if others else []
                ours = np.array([mine[seed] for seed in seeds])
                theirs = {name: np.array([one[seed] for seed in seeds]) for name, one in others.items()}
                made += [(setting, method, found) for found in compare(ours, theirs, test)]
        unit = self.unit(compared=metric, test=test, of=sorted(set(units)), rivals=sorted(rivals))
        told = [
            {"setting": setting, "method": method, "metric": metric, **asdict(found)} for setting, method, found in made
        ]
        with writing(self.database) as connection, transaction(connection):
            connection.execute(query("findings_clear"), {"unit": unit})
            if told:
                connection.register("compared", pa.Table.from_pylist(told))
                connection.execute(query("findings_compare"), {"unit": unit} | self._names())
        return made

    def of(self, units: Sequence[str]) -> list[Finding]:
        """The numbers of these groups."""
        with reading(self.database) as connection:
            connection.register("wanted", pa.table({"unit": pa.array(units, pa.string())}))
            return [Finding(*row) for row in connection.execute(query("findings_of")).fetchall()]

    def _names(self) -> dict[str, str]:
        conditions = json.dumps(self.conditions, sort_keys=True, default=str)
        named = {"evaluation": self.evaluation, "dataset": self.dataset, "model": self.model, "run_id": self.run_id}
        return named | {"conditions": conditions}


SCHEMA = pa.schema([
    ("setting", pa.string()), ("method", pa.string()), ("seed", pa.int32()), ("metric", pa.string()),
    ("value", pa.float64()),
])  # fmt: skip


def pointer(column: str) -> str:
    """A column of the rows' metadata as a JSON pointer."""
    return "/" + column.replace("~", "~0").replace("/", "~1")


def table(found: Sequence[Finding], metrics: Sequence[str], first: str = "setting") -> list[str]:
    """Findings as a markdown table: a line a setting and method, mean ± deviation over seeds for each metric."""
    by: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        by[one.setting, one.method][one.metric].append(one.value)
    there = [metric for metric in metrics if any(metric in values for values in by.values())]
    lines = [f"| {first} | method | {' | '.join(there)} |", f"|---|---|{'---|' * len(there)}"]
    for (setting, method), values in by.items():
        cells = [said(values[metric]) if metric in values else "" for metric in there]
        lines.append(f"| {setting} | {method} | {' | '.join(cells)} |")
    return lines


def said(values: Sequence[float]) -> str:
    """Mean ± standard deviation, or the only number."""
    mean, deviation = spread(values)
    digits = 4 if abs(mean) < 10 else 1
    return f"{mean:.{digits}f}" + ("" if np.isnan(deviation) else f" ± {deviation:.{digits}f}")


def matrix(found: Sequence[Finding], metric: str) -> list[str]:
    """One metric as a markdown table: a line a method, a column a setting, mean ± deviation over seeds."""
    by: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        if one.metric == metric:
            by[one.method][one.setting].append(one.value)
    settings = sorted({setting for each in by.values() for setting in each})
    lines = [f"| {metric} | {' | '.join(settings)} |", f"|---|{'---|' * len(settings)}"]
    for method, values in by.items():
        cells = [said(values[setting]) if setting in values else "" for setting in settings]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def verdicts(made: Sequence[tuple[str, str, Comparison]], metric: str) -> list[str]:
    """Comparisons as markdown tables, one a setting: a line a method, a column each that it is compared with."""
    lines: list[str] = []
    for setting in dict.fromkeys(setting for setting, _, _ in made):
        here = [(method, one) for at, method, one in made if at == setting]
        rivals = list(dict.fromkeys(one.against for _, one in here))
        pairs = sorted({one.pairs for _, one in here})
        what = f"{setting}: {metric} minus that of the other (p, paired {here[0][1].test} over {pairs[-1]}, Holm)"
        lines += ["", what, "", f"| method | {' | '.join(rivals)} |", f"|---|{'---|' * len(rivals)}"]
        for method in dict.fromkeys(method for method, _ in here):
            cells = {one.against: f"{one.difference:+.4f} ({one.p_holm:.2g})" for name, one in here if name == method}
            lines.append(f"| {method} | {' | '.join(cells.get(rival, '') for rival in rivals)} |")
    return lines


def verdict(one: Comparison | None) -> str:
    """What the finetunes say of kept rows against random ones, in a sentence."""
    if one is None:
        return "Verdict: fewer than two seeds, so kept rows cannot be compared with random ones."
    numbers = f"a test loss {one.difference:+.4f} nats apart ({one.low:+.4f} to {one.high:+.4f}), paired p {one.p:.2g}"
    if one.p < ALPHA:
        word = "better than" if one.difference < 0 else "WORSE than"
        return f"Verdict: kept rows are {word} as many tokens of random rows: {numbers}, {one.pairs} seeds."
    return f"Verdict: no difference is shown between kept rows and as many tokens of random ones: {numbers}."
