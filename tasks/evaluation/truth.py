"""Signals against a known truth: a column of the rows' metadata that says which rows are wrong. Reads, writes nothing.

Which way a signal is suspicious is stated here and not chosen by the truth, so that an AUC below 0.5 is a finding.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import binomtest

from oresight.tasks.database import execute, reading
from oresight.tasks.detection.detector import DRAWS, Floats
from oresight.tasks.detection.signals import MEASURED, SIGNALS
from oresight.tasks.evaluation.ledger import Result
from oresight.tasks.evaluation.measure import FEWEST, Measured, measure
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import json_pointer

SAID = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


@dataclass(frozen=True)
class Flags:
    """What looks_mislabeled would flag at a stated rate, against the truth; intervals are Wilson's, 95%."""

    rate: float
    flagged: int
    false: int
    found: int
    wrong: int

    def __str__(self) -> str:
        text = f"looks_mislabeled at a stated rate of {self.rate:.0%}: {self.flagged} flagged"
        if self.flagged:
            proportion = _share(self.false, self.flagged)
            text += f", {self.false} of them false flags: false-discovery proportion {proportion}"
        return f"{text}, recall {_share(self.found, self.wrong)}"


@dataclass(frozen=True)
class Evaluation:
    """What a dataset's truth says of each signal and of the flags; those are None where no row was judged."""

    dataset: str
    model: str
    truth: str
    rows: int
    wrong: int
    left_out: int
    """Rows without a truth."""
    signals: list[Measured]
    flags: Flags | None

    def table(self) -> list[dict[str, Any]]:
        """A dict a signal."""
        return [asdict(one) for one in self.signals]

    def results(self) -> list[Result]:
        """The numbers, each as a row."""
        named = {"auc": "auc", "auc_low": "auc, low", "auc_high": "auc, high", "recall": "recall@k"}
        results = [
            Result(self.truth, one.signal, None, metric, getattr(one, name))
            for one in self.signals
            for name, metric in named.items()
        ]
        if self.flags and self.flags.flagged:
            rates = {"false-discovery proportion": self.flags.false / self.flags.flagged,
                     "recall": self.flags.found / self.flags.wrong}  # fmt: skip
            results += [Result(self.truth, "looks_mislabeled", None, metric, rate) for metric, rate in rates.items()]
        return results

    def about(self) -> list[str]:
        """What the numbers are of, in words."""
        return [
            f"{self.dataset} with {self.model}: {self.rows} rows, {self.wrong} wrong by {self.truth!r};"
            f" {self.left_out} more have no truth and are left out",
            "AUC: how often a wrong row is further at the suspicious end than a right one; 0.5 is by chance",
            f"recall@k: the wrong rows among the k most suspicious, k = wrong rows; intervals: 95%, {DRAWS} draws",
        ]

    def judgement(self) -> str:
        """The flags in a line."""
        return str(self.flags or "looks_mislabeled: no row was judged; run `oresight flag CONFIG.yaml` first")

    def lines(self) -> list[str]:
        """All of it, to print."""
        head = f"{'signal':<16}  {'suspicious':<10}  {'rows':>7}  {'wrong':>6}  {'AUC':<22}  recall@k"
        body = [
            f"{m.signal:<16}  {m.suspicious:<10}  {m.rows:>7}  {m.wrong:>6}"
            f"  {_interval(m.auc, m.auc_low, m.auc_high)}  {_interval(m.recall, m.recall_low, m.recall_high)}"
            for m in self.signals
        ]
        return [*self.about(), head, *body, self.judgement()]


def measure_against_truth(run: Run, truth: str) -> Evaluation:
    """Measure every signal that the configured model has of the dataset.

    A signal that fewer than two wrong or two right rows have is left out.

    Raises ValueError if dataset or reference is not there, no row has the column or a row's is neither true nor false,
    nothing is scored, or there are not two wrong and two right rows.
    """
    config = run.config
    with reading(config.database) as connection:
        scope = run.scope(connection)
        columns = [name for (name,) in execute(connection, "split_columns", scope.parameters).fetchall()]
        if truth not in columns:
            raise ValueError(
                f"--truth: no row of {scope.dataset!r} has a column {truth!r};"
                f" there are: {', '.join(columns) or 'none'}"
            )
        rows = execute(connection, "evaluate_rows", scope.parameters | {"pointer": json_pointer(truth)})
        signals = rows.to_arrow_table()
    if not any(signals["has_score"].to_pylist()):
        raise ValueError(
            f"{config.database}: {scope.dataset!r} has no scores of {scope.model} against {scope.reference!r};"
            " run `oresight score CONFIG.yaml` first"
        )
    is_known, is_wrong = _truth(signals["truth"].to_pylist(), scope.dataset, truth)
    known = signals.filter(pa.array(is_known))
    wrong, tested = int(is_wrong.sum()), len(is_wrong)
    if min(wrong, tested - wrong) < FEWEST:
        raise ValueError(
            f"--truth: of {tested} rows of {scope.dataset!r} that have {truth!r}, {wrong} are wrong and"
            f" {tested - wrong} right; at least {FEWEST} of each are needed"
        )
    measured = [
        result
        for name in MEASURED
        if (result := measure(name, known[name].to_numpy(), is_wrong, SIGNALS[name].suspicious)) is not None
    ]
    return Evaluation(
        scope.dataset, scope.model, truth, tested, wrong, len(signals) - tested, measured,
        _flags(known["q_value"].to_numpy(), is_wrong, config.flagging.false_discovery_rate),
    )  # fmt: skip


def _truth(said: list[str | None], dataset: str, column: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows have a truth, and of those which are wrong."""
    told = [text for text in said if text]
    if unclear := sorted(set(told) - SAID.keys()):
        raise ValueError(
            f"--truth: {column!r} of {dataset!r} must be true or false, or 1 or 0, and is {unclear[0]!r} in"
            f" {told.count(unclear[0])} rows"
        )
    return np.array([bool(text) for text in said]), np.array([SAID[text] for text in told], dtype=bool)


def _flags(q_N: Floats, wrong_N: NDArray[np.bool_], rate: float) -> Flags | None:
    """The verdict of looks_mislabeled from its q-values, because flags of the dataset may be those of another model."""
    if np.isnan(q_N).all():
        return None
    flagged_N = q_N <= rate
    false, found = int((flagged_N & ~wrong_N).sum()), int((flagged_N & wrong_N).sum())
    return Flags(rate, false + found, false, found, int(wrong_N.sum()))


def _share(some: int, of: int) -> str:
    span = binomtest(some, of).proportion_ci(method="wilson")
    return _interval(some / of, span.low, span.high)


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
