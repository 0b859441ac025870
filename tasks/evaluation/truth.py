"""Measure signals against a known truth: a metadata column that says which rows are wrong. Nothing is written.

Which end of a signal is suspicious is fixed in detection/signals.py and never chosen by the truth. An AUC below 0.5 is
therefore a result, not an error.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import binomtest

from oresight.tasks.database import execute, reading
from oresight.tasks.detection.detectability import DRAWS, Floats
from oresight.tasks.detection.signals import MEASURED, SIGNALS
from oresight.tasks.evaluation.ledger import Result
from oresight.tasks.evaluation.measure import FEWEST, SignalQuality, measure_signal
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import json_pointer

TRUTHS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
"""Values of a truth column in lower case, and whether they say that a row is wrong."""


@dataclass(frozen=True)
class FlagQuality:
    """The flags of looks_mislabeled at a stated rate, against the truth. Intervals are Wilson's, 95%."""

    rate: float
    flagged: int
    false: int
    """Flagged rows that are right."""
    true: int
    """Flagged rows that are wrong."""
    wrong: int
    """All wrong rows."""

    def __str__(self) -> str:
        text = f"looks_mislabeled at a stated rate of {self.rate:.0%}: {self.flagged} flagged"
        if self.flagged:
            proportion = _share(self.false, self.flagged)
            text += f", {self.false} false flags: false-discovery proportion {proportion}"
        return f"{text}, recall {_share(self.true, self.wrong)}"


@dataclass(frozen=True)
class Evaluation:
    """How well each signal and the flags of a dataset agree with its truth."""

    dataset: str
    model: str
    truth: str
    rows: int
    wrong: int
    left_out: int
    """Rows without a truth."""
    signals: list[SignalQuality]
    flags: FlagQuality | None
    """None if the detector has judged no row."""

    def table(self) -> list[dict[str, Any]]:
        """One dict per signal."""
        return [asdict(signal) for signal in self.signals]

    def results(self) -> list[Result]:
        """The numbers for the ledger."""
        named = {"auc": "auc", "auc_low": "auc, low", "auc_high": "auc, high", "recall": "recall@k"}
        results = [
            Result(self.truth, quality.signal, None, metric, getattr(quality, name))
            for quality in self.signals
            for name, metric in named.items()
        ]
        if self.flags and self.flags.flagged:
            rates = {"false-discovery proportion": self.flags.false / self.flags.flagged,
                     "recall": self.flags.true / self.flags.wrong}  # fmt: skip
            results += [Result(self.truth, "looks_mislabeled", None, metric, rate) for metric, rate in rates.items()]
        return results

    def about(self) -> list[str]:
        """Three lines that explain the numbers."""
        return [
            f"{self.dataset} with {self.model}: {self.rows} rows, {self.wrong} wrong by {self.truth!r};"
            f" {self.left_out} more rows have no truth and are left out",
            "AUC: how often a wrong row is more suspicious than a right one; 0.5 is chance",
            f"recall@k: share of wrong rows among the k most suspicious, k = wrong rows; 95% intervals, {DRAWS} draws",
        ]

    def judgement(self) -> str:
        """One line about the flags."""
        return str(self.flags or "looks_mislabeled: no row was judged; run `oresight flag CONFIG.yaml` first")

    def lines(self) -> list[str]:
        """The table with its explanation, as lines to print."""
        head = f"{'signal':<16}  {'suspicious':<10}  {'rows':>7}  {'wrong':>6}  {'AUC':<22}  recall@k"
        body = [
            f"{m.signal:<16}  {m.suspicious:<10}  {m.rows:>7}  {m.wrong:>6}"
            f"  {_interval(m.auc, m.auc_low, m.auc_high)}  {_interval(m.recall, m.recall_low, m.recall_high)}"
            for m in self.signals
        ]
        return [*self.about(), head, *body, self.judgement()]


def measure_against_truth(run: Run, truth: str) -> Evaluation:
    """Measure every signal of the dataset by the configured model against a truth column.

    A signal is left out if fewer than two wrong rows, or fewer than two right rows, have it.

    Raises ValueError if dataset or reference is not ingested, no row has the column, a value is neither true nor false,
    nothing is scored, or there are fewer than two wrong or two right rows.
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
    has_truth_N, wrong_N = _parse_truth(signals["truth"].to_pylist(), scope.dataset, truth)
    tested = signals.filter(pa.array(has_truth_N))
    wrong, rows_tested = int(wrong_N.sum()), len(wrong_N)
    if min(wrong, rows_tested - wrong) < FEWEST:
        raise ValueError(
            f"--truth: of {rows_tested} rows of {scope.dataset!r} that have {truth!r}, {wrong} are wrong and"
            f" {rows_tested - wrong} right; at least {FEWEST} of each are needed"
        )
    qualities = [
        quality
        for name in MEASURED
        if (quality := measure_signal(name, tested[name].to_numpy(), wrong_N, SIGNALS[name].suspicious)) is not None
    ]
    return Evaluation(
        dataset=scope.dataset,
        model=scope.model,
        truth=truth,
        rows=rows_tested,
        wrong=wrong,
        left_out=len(signals) - rows_tested,
        signals=qualities,
        flags=_flag_quality(tested["q_value"].to_numpy(), wrong_N, config.flagging.false_discovery_rate),
    )


def _parse_truth(values: list[str | None], dataset: str, column: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows have a truth [N] and, of these rows, which are wrong [M]."""
    texts = [text for text in values if text]
    if unclear := sorted(set(texts) - TRUTHS.keys()):
        raise ValueError(
            f"--truth: {column!r} of {dataset!r} must be true or false, or 1 or 0, and is {unclear[0]!r} in"
            f" {texts.count(unclear[0])} rows"
        )
    return np.array([bool(text) for text in values]), np.array([TRUTHS[text] for text in texts], dtype=bool)


def _flag_quality(q_N: Floats, wrong_N: NDArray[np.bool_], rate: float) -> FlagQuality | None:
    """Recompute the flags of looks_mislabeled from q-values: the stored flags may come from another model."""
    if np.isnan(q_N).all():
        return None
    flagged_N = q_N <= rate
    false, true = int((flagged_N & ~wrong_N).sum()), int((flagged_N & wrong_N).sum())
    return FlagQuality(rate=rate, flagged=false + true, false=false, true=true, wrong=int(wrong_N.sum()))


def _share(part: int, total: int) -> str:
    interval = binomtest(part, total).proportion_ci(method="wilson")
    return _interval(part / total, interval.low, interval.high)


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
