"""How well a signal marks wrong rows, and whether one does it better than another: of numbers, not of rows.

    AUC                the share of pairs of a wrong and a right row with the wrong one more suspicious, a tie is half
    recall at a share  the share of the wrong rows among that share of the rows, the most suspicious, a tie as by chance
    recall@k           the same among as many rows as are wrong (R-precision)
    average precision  the mean of the precision at each wrong row, of the most suspicious first

Two methods are compared over seeds, or queries, on which both were measured: by Wilcoxon's signed-rank test or, where
there are few, by Student's paired t; Holm's correction over the methods that one is compared with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, ttest_rel, wilcoxon
from sklearn.metrics import average_precision_score
from statsmodels.stats.multitest import multipletests

from oresight.tasks.detection.detector import DRAWS, Floats, Ints

ALPHA = 0.05
"""Above this p, nothing is called better."""
FEWEST = 2
"""Wrong rows, and right ones, without which nothing can be drawn again."""
SHARE = 0.2
"""Of the rows, the most suspicious, among which a trial looks for the wrong ones."""


@dataclass(frozen=True)
class Measured:
    """How well one end of a signal marks wrong rows, over the rows that have the signal."""

    signal: str
    suspicious: str
    rows: int
    wrong: int
    auc: float
    auc_low: float
    """The middle 95% of bootstrap draws of wrong rows and of right rows, here and below."""
    auc_high: float
    recall: float
    recall_low: float
    recall_high: float


@dataclass(frozen=True)
class Comparison:
    """A method against another, on the same seeds or queries."""

    against: str
    pairs: int
    difference: float
    """The mean of method minus other."""
    low: float
    """Where its 95% interval begins and ends, by Student's t."""
    high: float
    test: str
    p: float
    """Two-sided."""
    p_holm: float
    """Corrected for the other methods that this one is compared with."""


def measure(
    signal: str, values_N: Floats, wrong_N: NDArray[np.bool_], suspicious: str, seed: int = 0
) -> Measured | None:
    """AUC and recall@k of one end, 'low' or 'high', of a signal, over the rows that have it: a missing one is nan.

    None if fewer than FEWEST wrong or right rows have it. Wrong and right rows are drawn apart, as the detector does,
    so that no draw lacks either.
    """
    parts = _levels(values_N * (1 if suspicious == "high" else -1), wrong_N)
    if min(map(len, parts)) < FEWEST:
        return None
    drawn = bootstrap(
        parts, _auc_and_recall, n_resamples=DRAWS, batch=1, vectorized=False, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    (auc, recall), span = _auc_and_recall(*parts), drawn.confidence_interval
    return Measured(
        signal, suspicious, len(parts[0]) + len(parts[1]), len(parts[0]),
        float(auc), float(span.low[0]), float(span.high[0]), float(recall), float(span.low[1]), float(span.high[1]),
    )  # fmt: skip


def marked(suspicion_N: Floats, wrong_N: NDArray[np.bool_]) -> dict[str, float]:
    """AUC, recall at SHARE and average precision of the rows that have a suspicion; nothing if FEWEST are not met."""
    parts = _levels(suspicion_N, wrong_N)
    if min(map(len, parts)) < FEWEST:
        return {}
    auc, _ = _auc_and_recall(*parts)
    recall = _recall(*parts, SHARE * (len(parts[0]) + len(parts[1])))
    precision = average_precision_score(np.repeat([1, 0], [len(part) for part in parts]), np.concatenate(parts))
    return {"auc": float(auc), f"recall at {SHARE:.0%}": recall, "average precision": float(precision)}


def class_auc_and_recall(score_N: Floats, same_N: NDArray[np.bool_]) -> tuple[float, float]:
    """AUC and recall@k of one query: whether the rows of its class have the highest scores."""
    auc, recall = _auc_and_recall(*_levels(score_N, same_N))
    return float(auc), float(recall)


def compare(ours: Floats, others: Mapping[str, Floats], test: str = "wilcoxon") -> list[Comparison]:
    """One method against others, number by number. test: 'wilcoxon' or 't'.

    Where all pairs are equal p is 1; with fewer than two pairs there is no comparison.
    """
    if len(ours) < FEWEST or not others:
        return []
    apart = {name: ours - other for name, other in others.items()}
    ps = [_p(ours, others[name], test) if difference.any() else 1.0 for name, difference in apart.items()]
    corrected = multipletests(ps, method="holm")[1]
    spans = {name: ttest_rel(ours, other).confidence_interval() for name, other in others.items()}
    return [
        Comparison(
            name, len(ours), float(apart[name].mean()), float(spans[name].low), float(spans[name].high),
            test, float(p), float(p_holm),
        )
        for name, p, p_holm in zip(apart, ps, corrected, strict=True)
    ]  # fmt: skip


def _p(a: Floats, b: Floats, test: str) -> float:
    return float((wilcoxon if test == "wilcoxon" else ttest_rel)(a, b).pvalue)


def _levels(suspicion_N: Floats, wrong_N: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """How suspicious wrong rows and right rows are, from 0, equal for a tie; rows without a suspicion (nan) are out."""
    has_N = ~np.isnan(suspicion_N)
    _, level_N = np.unique(suspicion_N[has_N], return_inverse=True)
    return level_N[wrong_N[has_N]], level_N[~wrong_N[has_N]]


def _counts(wrong_M: Ints, right_R: Ints) -> tuple[Ints, Ints]:
    """Wrong rows and right rows at each level U."""
    levels = 1 + max(wrong_M.max(), right_R.max())
    return np.bincount(wrong_M, minlength=levels), np.bincount(right_R, minlength=levels)


def _recall(wrong_M: Ints, right_R: Ints, k: float) -> float:
    """The share of the wrong rows among the k most suspicious."""
    wrong_U, right_U = _counts(wrong_M, right_R)
    all_U = wrong_U + right_U
    taken_U = np.clip((k - (all_U.sum() - all_U.cumsum())) / np.maximum(all_U, 1), 0, 1)
    return float(wrong_U @ taken_U / len(wrong_M))


def _auc_and_recall(wrong_M: Ints, right_R: Ints) -> Floats:
    """Both, of rows by their levels. Linear in rows, not in pairs."""
    wrong_U, right_U = _counts(wrong_M, right_R)
    auc = wrong_U @ (right_U.cumsum() - right_U / 2) / (len(wrong_M) * len(right_R))
    return np.array([auc, _recall(wrong_M, right_R, len(wrong_M))])


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation; that of one number is not a number."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
