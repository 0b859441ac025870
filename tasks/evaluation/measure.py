"""How well a signal ranks wrong rows above right ones, and whether it does so better than another signal.

    AUC                share of (wrong, right) pairs whose wrong row is the more suspicious one; a tie counts half
    recall at a share  share of the wrong rows that are among the most suspicious rows, a given share of all rows
    recall@k           recall among the k most suspicious rows, where k is the number of wrong rows (R-precision)
    average precision  mean of the precision at each wrong row, with the most suspicious row first

Rows that tie at a cut count by their expected number. Two methods are compared over the seeds, or queries, on which
both were measured: by Wilcoxon's signed-rank test or, for few seeds, by Student's paired t. Holm's correction covers
all methods that one method is compared with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, ttest_rel, wilcoxon
from sklearn.metrics import average_precision_score

from oresight.tasks.detection.detectability import DRAWS, Floats, Ints

ALPHA = 0.05
"""The significance level: at or above this p, no method is called better."""
FEWEST = 2
"""The fewest wrong rows, and the fewest right rows, that a bootstrap can draw from."""
SHARE = 0.2
"""A trial measures recall among this share of the rows, the most suspicious ones."""


@dataclass(frozen=True)
class SignalQuality:
    """How well one end of a signal marks wrong rows. Rows without the signal are not counted."""

    signal: str
    suspicious: str
    """Which end of the signal is suspicious: 'low' or 'high'."""
    rows: int
    wrong: int
    auc: float
    auc_low: float
    """Intervals hold the middle 95% of bootstrap draws, which draw wrong and right rows separately."""
    auc_high: float
    recall: float
    recall_low: float
    recall_high: float


@dataclass(frozen=True)
class Comparison:
    """One method compared with another, on the same seeds or queries."""

    against: str
    pairs: int
    difference: float
    """Mean of this method minus the other."""
    low: float
    """Lower end of the 95% interval of the difference, by Student's t; `high` is the upper end."""
    high: float
    test: str
    p: float
    """Two-sided."""
    p_holm: float
    """Holm-corrected p, over all methods that this one is compared with."""


def measure_signal(
    signal: str, values_N: Floats, wrong_N: NDArray[np.bool_], suspicious: str, seed: int = 0
) -> SignalQuality | None:
    """AUC and recall@k of one end, 'low' or 'high', of a signal. NaN stands for a missing value.

    Returns None if fewer than FEWEST wrong or right rows have the signal. The bootstrap draws wrong and right rows
    separately, as the detector does, so that no draw lacks either.
    """
    parts = _levels(values_N * (1 if suspicious == "high" else -1), wrong_N)
    if min(map(len, parts)) < FEWEST:
        return None
    draws = bootstrap(
        parts, _auc_and_recall, n_resamples=DRAWS, batch=1, vectorized=False, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    (auc, recall), interval = _auc_and_recall(*parts), draws.confidence_interval
    return SignalQuality(
        signal=signal,
        suspicious=suspicious,
        rows=len(parts[0]) + len(parts[1]),
        wrong=len(parts[0]),
        auc=float(auc),
        auc_low=float(interval.low[0]),
        auc_high=float(interval.high[0]),
        recall=float(recall),
        recall_low=float(interval.low[1]),
        recall_high=float(interval.high[1]),
    )


def ranking_metrics(suspicion_N: Floats, wrong_N: NDArray[np.bool_]) -> dict[str, float]:
    """AUC, recall at SHARE and average precision of a suspicion, by name.

    Rows without a suspicion (NaN) are left out. Empty if fewer than FEWEST wrong or right rows have one.
    """
    parts = _levels(suspicion_N, wrong_N)
    if min(map(len, parts)) < FEWEST:
        return {}
    auc, _ = _auc_and_recall(*parts)
    recall = _recall(*parts, SHARE * (len(parts[0]) + len(parts[1])))
    precision = average_precision_score(np.repeat([1, 0], [len(part) for part in parts]), np.concatenate(parts))
    return {"auc": float(auc), f"recall at {SHARE:.0%}": recall, "average precision": float(precision)}


def class_auc_and_recall(score_N: Floats, same_N: NDArray[np.bool_]) -> tuple[float, float]:
    """AUC and recall@k of one query: do the rows of its class (same_N) have the highest scores?"""
    auc, recall = _auc_and_recall(*_levels(score_N, same_N))
    return float(auc), float(recall)


def compare_methods(ours: Floats, others: Mapping[str, Floats], test: str = "wilcoxon") -> list[Comparison]:
    """Compare one method with others, paired by seed or query. test: 'wilcoxon' or 't'.

    p is 1 if all pairs are equal. Fewer than two pairs give no comparison.
    """
    if len(ours) < FEWEST or not others:
        return []
    differences = {name: ours - other for name, other in others.items()}
    ps = [_p(ours, others[name], test) if difference.any() else 1.0 for name, difference in differences.items()]
    corrected = holm(ps)
    intervals = {name: ttest_rel(ours, other).confidence_interval() for name, other in others.items()}
    return [
        Comparison(
            against=name,
            pairs=len(ours),
            difference=float(differences[name].mean()),
            low=float(intervals[name].low),
            high=float(intervals[name].high),
            test=test,
            p=float(p),
            p_holm=float(p_holm),
        )
        for name, p, p_holm in zip(differences, ps, corrected, strict=True)
    ]


def holm(ps: Sequence[float]) -> Floats:
    """Holm's correction of p-values, in their order.

    That of statsmodels collects garbage at every call, which was most of the time of an evaluation.
    """
    p_N, order = np.asarray(ps, dtype=np.float64), np.argsort(ps)
    corrected_N = np.empty_like(p_N)
    corrected_N[order] = np.maximum.accumulate(p_N[order] * np.arange(len(p_N), 0, -1)).clip(max=1)
    return corrected_N


def _p(a: Floats, b: Floats, test: str) -> float:
    return float((wilcoxon if test == "wilcoxon" else ttest_rel)(a, b).pvalue)


def _levels(suspicion_N: Floats, wrong_N: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Ranks from 0 of wrong rows and of right rows, the least suspicious first. Ties share a rank; NaN is left out."""
    has_N = ~np.isnan(suspicion_N)
    _, level_N = np.unique(suspicion_N[has_N], return_inverse=True)
    return level_N[wrong_N[has_N]], level_N[~wrong_N[has_N]]


def _counts(wrong_M: Ints, right_R: Ints) -> tuple[Ints, Ints]:
    """Numbers of wrong rows and of right rows at each level U."""
    levels = 1 + max(wrong_M.max(), right_R.max())
    return np.bincount(wrong_M, minlength=levels), np.bincount(right_R, minlength=levels)


def _recall(wrong_M: Ints, right_R: Ints, k: float) -> float:
    """Share of the wrong rows that are among the k most suspicious rows."""
    wrong_U, right_U = _counts(wrong_M, right_R)
    all_U = wrong_U + right_U
    taken_U = np.clip((k - (all_U.sum() - all_U.cumsum())) / np.maximum(all_U, 1), 0, 1)
    return float(wrong_U @ taken_U / len(wrong_M))


def _auc_and_recall(wrong_M: Ints, right_R: Ints) -> Floats:
    """AUC and recall@k from the rows' levels. The time is linear in rows, not in pairs."""
    wrong_U, right_U = _counts(wrong_M, right_R)
    auc = wrong_U @ (right_U.cumsum() - right_U / 2) / (len(wrong_M) * len(right_R))
    return np.array([auc, _recall(wrong_M, right_R, len(wrong_M))])


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation. The deviation of a single number is NaN."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
