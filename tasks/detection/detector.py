"""Signals of rows, trusted rows and canaries -> suspicions, p-values, and what this model can detect.

Symbols: N rows of the dataset, R trusted rows, C canaries, S signals, J kinds of canary, F inputs, K folds.

    x_S      signals of a row: each is ranked among rows and trusted rows, and the rank made a normal quantile; then the
             same signals less what is usual for rows that ask the same (peers.py)
    o_j(x) = w_j . x + b_j    log-odds of a canary of kind j against a trusted row: logistic regression, L2, balanced
    g_j    = 2 AUC_j - 1      Gini coefficient of o_j on held-out rows; 0 for a kind that cannot be detected
    suspicion(x) = log sum_j g_j^2 exp(o_j(x))

A kind is weighted by how well it is detected, because a kind that cannot be detected would add noise. The models are
cross-fitted over FOLDS folds of the trusted rows; a canary is in the fold of its twin. Model k is fitted without
fold k. A row of the dataset is compared with the trusted rows of each fold by that fold's model (cross-conformal
p-value, Vovk 2015):

    p(row) = (1 + sum_k |trusted rows i of fold k: suspicion_k(i) >= suspicion_k(row)|) / (1 + trusted rows)

If the clean rows of the dataset are distributed as the trusted rows, a clean row has p <= u with probability about u,
whatever is wrong with the other rows. Benjamini-Hochberg then keeps the expected share of clean rows among the flagged
rows at the stated rate; this is the guaranteed error. The estimated error needs fewer trusted rows, because it
estimates p-values beyond the most suspicious of them (estimate.py). A row that is unlike all trusted rows (likeness.py)
has no q-value.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from oresight.tasks.detection.calibration import RATES, Calibration, Judge, calibrate, with_flags
from oresight.tasks.detection.chunks import chunks
from oresight.tasks.detection.detectability import CanaryPairs, Detectability, measured
from oresight.tasks.detection.estimate import local_fdr
from oresight.tasks.detection.inputs import FOLDS, Inputs, SignalTable
from oresight.tasks.detection.mixture import Weights, conformal, weight_above

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MIN_EXAMPLES = 20
"""Fewest trusted rows, and fewest canaries of a kind, that a model is fitted on."""
INVERSE_L2 = 0.05
"""Inverse of the strength of the L2 regularisation, as scikit-learn's C."""
TYPICAL_BAD_SHARE = 0.05
"""Share of bad rows for which `reach` recommends a size of the reference."""


@dataclass(frozen=True)
class Detection:
    """Suspicions, p-values and measurements. A suspicion is a natural logarithm of odds, up to a constant."""

    suspicion_N: Floats
    p_N: Floats
    """Conformal p-values. That of a row that is unlike all trusted rows means nothing."""
    q_N: Floats
    """Lowest stated rate at which a row is flagged; NaN for a row that is unlike all trusted rows, and for all rows if
    the trials do not explain the flags."""
    local_fdr_N: Floats
    """Estimated probability that the row is right; NaN for a row that is unlike all trusted rows."""
    looks_like_N: NDArray[np.int8]
    """The kind of canary that a row is most like, as a position in `kinds`."""
    top_signals_N2: NDArray[np.int8]
    """At most two signals that contribute most to the suspicion, as positions in `names`; -1 for none."""
    names: list[str]
    """The signals that the models read."""
    trusted_R: Floats
    """Suspicions of the trusted rows, by models that did not see them."""
    canaries_C: Floats
    kinds: list[Detectability]
    calibration: list[Calibration]


@dataclass(frozen=True)
class _FoldModels:
    """The logistic models of all folds and kinds."""

    weight_KJS: Floats
    bias_KJ: Floats

    def odds(self, k: int, x_NS: Floats) -> Floats:
        """Log-odds of each kind [N, J] by the models of fold k."""
        odds_NJ: Floats = x_NS @ self.weight_KJS[k].T + self.bias_KJ[k]
        return odds_NJ

    def held_out_odds(self, x_NS: Floats, fold_N: Ints) -> Floats:
        """Log-odds of each kind [N, J], each row by the models that did not see it."""
        return np.concatenate([self.odds(k, x_NS[[i]]) for i, k in enumerate(fold_N)]) if len(x_NS) else x_NS


def detect(
    table: SignalTable, rate: float = 0.1, seed: int = 0, error: Literal["estimated", "guaranteed"] = "estimated"
) -> Detection | None:
    """Fit the detector on trusted rows and canaries and judge the rows; None if there are too few to fit it on.

    Source: the product's method; conformal p-values with Benjamini-Hochberg as in Bates et al. (2023), local
    false-discovery rates as in Efron (2008).

    Args:
        table: Signals of rows, trusted rows and canaries.
        rate: A false-discovery rate to measure in the trials, beside RATES.
        seed: Of the bootstrap and the trials.
        error: What the q-values are: an estimate, or a guarantee that many trusted rows are needed for.
    """
    kinds = [kind for kind, n in sorted(Counter(table.kinds_C).items()) if n >= MIN_EXAMPLES]
    if len(table.trusted_RS) < MIN_EXAMPLES or not kinds:
        return None
    inputs = Inputs.of(table)
    t_RF, c_CF = inputs.trusted(), inputs.canaries()
    models = _fit_models(table, kinds, t_RF, c_CF)
    odds_RJ, odds_CJ = models.held_out_odds(t_RF, table.fold_R), models.held_out_odds(c_CF, table.fold_C)
    kinds_C = np.array(table.kinds_C)
    pairs = {k: CanaryPairs.of(np.flatnonzero(kinds_C == k), table.fold_C, table.fold_R, seed) for k in kinds}
    weight_J = np.array([_weight(pairs[kind].auc(odds_CJ[:, j], odds_RJ[:, j])) for j, kind in enumerate(kinds)])
    weight_C = (kinds_C[:, None] == kinds) @ weight_J
    if not weight_J.any():
        weight_J[:] = 1
    trusted_R, canaries_C = _suspicion(odds_RJ, weight_J), _suspicion(odds_CJ, weight_J)

    weights = table.weights or Weights.equal(len(trusted_R), len(table.rows_NS))
    judged = _judge_rows(models, weight_J, inputs, judge := Judge(trusted_R, weights.trusted_R, error))
    p_N, like = conformal(weights.rows_N, judged.more_N, judge.weight_R), judged.suspicion_N[table.is_like_N]
    local_fdr_N, q_N = np.full((2, len(p_N)), np.nan)
    q_N[table.is_like_N] = judge.q_values(like, p_N[table.is_like_N])
    local_fdr_N[table.is_like_N] = local_fdr(like, trusted_R, canaries_C, weight_C)
    trials = calibrate(judge, canaries_C, table.twins_C, rates=sorted({*RATES, rate}), seed=seed)
    of_kinds = [canaries_C[pair.canaries] for pair in pairs.values()]
    trials = [with_flags(trial, q_N, judged.suspicion_N, of_kinds) for trial in trials]
    if not next(trial for trial in trials if trial.stated == rate).is_explained:
        q_N[:] = np.nan
    return Detection(
        suspicion_N=judged.suspicion_N,
        p_N=p_N,
        q_N=q_N,
        local_fdr_N=local_fdr_N,
        looks_like_N=judged.kind_N,
        top_signals_N2=judged.top_signals_N2,
        names=inputs.names,
        trusted_R=trusted_R,
        canaries_C=canaries_C,
        kinds=[
            measured(
                kind,
                interval=pairs[kind].auc(canaries_C, trusted_R),
                signals={name: (c_CF[pairs[kind].canaries, s], t_RF[:, s]) for s, name in enumerate(inputs.names)},
            )
            for kind in kinds
        ],
        calibration=trials,
    )


def _weight(interval: tuple[float, float, float]) -> float:
    """The weight of a kind, from its AUC and the interval: 0 if it cannot be detected."""
    auc, low, _ = interval
    return (2 * auc - 1) ** 2 if low > 0.5 else 0


class _JudgedRows(NamedTuple):
    """Rows of the dataset, each judged by the models of all folds."""

    more_N: Floats
    """Weight of the trusted rows that are at least as suspicious to the models of their folds."""
    suspicion_N: Floats
    kind_N: NDArray[np.int8]
    """The kind of canary that contributes most."""
    top_signals_N2: NDArray[np.int8]
    """At most two signals that contribute most; -1 for none."""


def _judge_rows(models: _FoldModels, weight_J: Floats, inputs: Inputs, judge: Judge) -> _JudgedRows:
    """Judge the rows a chunk at a time: the inputs of ten million rows take 2 GB."""
    n, fold_R = len(inputs.table.rows_NS), inputs.table.fold_R
    judged = _JudgedRows(np.zeros(n), np.zeros(n), np.zeros(n, np.int8), np.full((n, 2), -1, np.int8))
    for chunk in chunks(n):
        x_MF = inputs.rows(chunk)
        kind_MJ, contribution_MF = np.zeros((len(x_MF), len(weight_J))), np.zeros_like(x_MF)
        for k in range(FOLDS):
            odds_MJ = models.odds(k, x_MF)
            suspicion_M = _suspicion(odds_MJ, weight_J)
            here = fold_R == k
            judged.more_N[chunk] += weight_above(suspicion_M, judge.trusted_R[here], judge.weight_R[here])
            share_MJ = weight_J * np.exp(odds_MJ - suspicion_M[:, None])
            judged.suspicion_N[chunk] += suspicion_M / FOLDS
            kind_MJ += share_MJ
            contribution_MF += (share_MJ @ models.weight_KJS[k]) * x_MF
        judged.kind_N[chunk] = kind_MJ.argmax(1)
        contribution_MS = contribution_MF.reshape(len(x_MF), -1, len(inputs.names)).sum(1)
        top_M2 = np.argsort(-contribution_MS, axis=1)[:, :2]
        helps_M2 = np.take_along_axis(contribution_MS, top_M2, 1) > 0
        judged.top_signals_N2[chunk, : top_M2.shape[1]] = np.where(helps_M2, top_M2, -1)
    return judged


def reach(trusted: int, rate: float, error: Literal["estimated", "guaranteed"]) -> str:
    """What the number of trusted rows allows, as a sentence. No guaranteed p-value is below 1 / (1 + trusted)."""
    if error == "estimated":
        return (
            f"at most {rate:.0%} of the flagged rows are expected to be right; this is an estimate from {trusted:,}"
            " trusted rows, as far as right rows are like them"
        )
    least = 1 / ((1 + trusted) * rate)
    needed = math.ceil(1 / (TYPICAL_BAD_SHARE * rate)) - 1
    head = f"with {trusted:,} trusted rows, at a guaranteed {rate:.0%} rate, "
    if least > 1:
        return f"{head}no row can be flagged; {needed:,} trusted rows could flag where {TYPICAL_BAD_SHARE:.0%} are bad"
    more = "" if trusted >= needed else f"; {needed:,} trusted rows would do where {TYPICAL_BAD_SHARE:.0%} are bad"
    return f"{head}flags need at least {least:.1%} bad rows{more}"


def _fit_models(table: SignalTable, kinds: Sequence[str], t_RF: Floats, c_CF: Floats) -> _FoldModels:
    kinds_C = np.array(table.kinds_C)
    weights, biases = [], []
    for k in range(FOLDS):
        clean = t_RF[table.fold_R != k]
        for kind in kinds:
            bad = c_CF[(table.fold_C != k) & (kinds_C == kind)]
            y = np.repeat([0, 1], [len(clean), len(bad)])
            model: Any = LogisticRegression(C=INVERSE_L2, max_iter=500, class_weight="balanced")
            model.fit(np.concatenate([clean, bad]), y)
            weights.append(model.coef_[0])
            biases.append(model.intercept_[0])
    shape = (FOLDS, len(kinds))
    return _FoldModels(np.reshape(weights, (*shape, t_RF.shape[1])), np.reshape(biases, shape))


def _suspicion(odds_NJ: Floats, weight_J: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        suspicion_N: Floats = np.logaddexp.reduce(odds_NJ + np.log(weight_J), axis=1)
    return suspicion_N
