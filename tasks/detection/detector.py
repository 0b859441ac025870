"""Signals of rows, trusted rows and canaries -> suspicions, p-values, and what this model can detect.

Symbols: N rows of the dataset, R trusted rows, C canaries, S signals, J kinds of canary, K folds.

    x_S      signals of a row: each is ranked among rows and trusted rows, and the rank made a normal quantile
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
rows at the stated rate.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import QuantileTransformer

from oresight.tasks.detection.calibration import RATES, Calibration, calibrate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FOLDS = 5
MIN_EXAMPLES = 20
"""Fewest trusted rows, and fewest canaries of a kind, that a model is fitted on."""
INVERSE_L2 = 0.1
"""Inverse of the strength of the L2 regularisation, as scikit-learn's C."""
DRAWS = 1000
"""Bootstrap draws behind an interval."""
TYPICAL_BAD_SHARE = 0.05
"""Share of bad rows for which `reach` recommends a size of the reference."""


@dataclass(frozen=True)
class SignalTable:
    """Signals of rows, trusted rows and canaries, one column per signal. A missing signal is NaN."""

    names: Sequence[str]
    rows_NS: Floats
    trusted_RS: Floats
    canaries_CS: Floats
    kinds_C: Sequence[str]
    twins_C: Ints
    """Positions of the canaries' twins among the trusted rows."""

    @cached_property
    def fold_R(self) -> Ints:  # noqa: N802
        """Fold of each trusted row."""
        return folds(len(self.trusted_RS))

    @property
    def fold_C(self) -> Ints:  # noqa: N802
        """Fold of each canary: its twin's."""
        return self.fold_R[self.twins_C]


@dataclass(frozen=True)
class Detectability:
    """How well canaries of one kind are told from trusted rows. An AUC of 0.5 is chance."""

    kind: str
    auc: float
    low: float
    """Lower end of the 95% bootstrap interval; trusted rows and canaries are drawn."""
    high: float
    canaries: int
    signal: str
    """The best single signal."""
    signal_auc: float
    """AUC of that signal, or of its negative where that is higher."""

    @property
    def is_detectable(self) -> bool:
        """Whether the interval is above chance."""
        return self.low > 0.5


@dataclass(frozen=True)
class Detection:
    """Suspicions, p-values and measurements. A suspicion is a natural logarithm of odds, up to a constant."""

    suspicion_N: Floats
    p_N: Floats
    q_N: Floats
    looks_like_N: list[str]
    """The kind of canary that a row is most like."""
    top_signals_N2: list[list[str]]
    """At most two signals that contribute most to the suspicion."""
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


def folds(n: int) -> Ints:
    """Fold of each of n rows. Their order must carry no information; that of sample_ids, which are hashes, does not."""
    return np.arange(n, dtype=np.int64) % FOLDS


def detect(table: SignalTable, rate: float = 0.1, seed: int = 0) -> Detection | None:
    """Fit the detector on trusted rows and canaries and judge the rows; None if there are too few to fit it on.

    Source: the product's method; conformal p-values with Benjamini-Hochberg as in Bates et al. (2023).

    Args:
        table: Signals of rows, trusted rows and canaries.
        rate: A false-discovery rate to measure in the trials, beside RATES.
        seed: Of the bootstrap and the trials.
    """
    counts = {kind: list(table.kinds_C).count(kind) for kind in sorted(set(table.kinds_C))}
    kinds = [kind for kind, n in counts.items() if n >= MIN_EXAMPLES]
    if len(table.trusted_RS) < MIN_EXAMPLES or not kinds:
        return None
    names, x_NS, t_RS, c_CS = _rank_quantiles(table)
    models = _fit_models(table, kinds, t_RS, c_CS)
    odds_RJ = models.held_out_odds(t_RS, table.fold_R)
    odds_CJ = models.held_out_odds(c_CS, table.fold_C)
    pairs = {kind: _CanaryPairs.of(table, kind, seed) for kind in kinds}
    weight_J = np.zeros(len(kinds))
    for j, kind in enumerate(kinds):
        auc, low, _ = pairs[kind].auc(odds_CJ[:, j], odds_RJ[:, j])
        weight_J[j] = (2 * auc - 1) ** 2 if low > 0.5 else 0
    if not weight_J.any():
        weight_J[:] = 1
    trusted_R, canaries_C = _suspicion(odds_RJ, weight_J), _suspicion(odds_CJ, weight_J)

    more_N, suspicion_N, kind_NJ = np.zeros(len(x_NS)), np.zeros(len(x_NS)), np.zeros((len(x_NS), len(kinds)))
    contribution_NS = np.zeros_like(x_NS)
    for k in range(FOLDS):
        odds_NJ = models.odds(k, x_NS)
        fold_suspicion_N = _suspicion(odds_NJ, weight_J)
        sorted_R = np.sort(trusted_R[table.fold_R == k])
        more_N += len(sorted_R) - np.searchsorted(sorted_R, fold_suspicion_N, side="left")
        share_NJ = weight_J * np.exp(odds_NJ - fold_suspicion_N[:, None])
        suspicion_N += fold_suspicion_N / FOLDS
        kind_NJ += share_NJ
        contribution_NS += (share_NJ @ models.weight_KJS[k]) * x_NS
    p_N = (1 + more_N) / (1 + len(trusted_R))
    top_N2 = np.argsort(-contribution_NS, axis=1)[:, :2]
    return Detection(
        suspicion_N=suspicion_N,
        p_N=p_N,
        q_N=np.asarray(false_discovery_control(p_N)) if len(p_N) else p_N,
        looks_like_N=[kinds[j] for j in kind_NJ.argmax(1)],
        top_signals_N2=[[names[s] for s in top if contribution_NS[i, s] > 0] for i, top in enumerate(top_N2)],
        trusted_R=trusted_R,
        canaries_C=canaries_C,
        kinds=[
            _detectability(
                kind,
                interval=pairs[kind].auc(canaries_C, trusted_R),
                signals={name: (c_CS[pairs[kind].canaries, s], t_RS[:, s]) for s, name in enumerate(names)},
            )
            for kind in kinds
        ],
        calibration=calibrate(trusted_R, canaries_C, table.twins_C, rates=sorted({*RATES, rate}), seed=seed),
    )


def reach(trusted: int, rate: float) -> str:
    """What the number of trusted rows allows, as a sentence: no p-value can be below 1 / (1 + trusted)."""
    least = 1 / ((1 + trusted) * rate)
    needed = math.ceil(1 / (TYPICAL_BAD_SHARE * rate)) - 1
    head = f"with {trusted:,} trusted rows, at a {rate:.0%} rate, "
    if least > 1:
        return f"{head}no row can be flagged; {needed:,} trusted rows could flag where {TYPICAL_BAD_SHARE:.0%} are bad"
    more = "" if trusted >= needed else f"; {needed:,} trusted rows would do where {TYPICAL_BAD_SHARE:.0%} are bad"
    return f"{head}flags need at least {least:.1%} bad rows{more}"


def _rank_quantiles(table: SignalTable) -> tuple[list[str], Floats, Floats, Floats]:
    """Turn signals into ranks and ranks into normal quantiles. A missing signal gets the median.

    Signals that most trusted rows lack are left out. Rows and trusted rows are ranked together, so that a clean row and
    a trusted row are treated alike. Returns the names of the signals, x_NS, t_RS and c_CS.
    """
    used = [i for i in range(len(table.names)) if np.isfinite(table.trusted_RS[:, i]).mean() > 0.5]
    parts = [part[:, used] for part in (table.rows_NS, table.trusted_RS, table.canaries_CS)]
    ranked = np.concatenate(parts[:2])
    middle = np.nanmedian(np.where(np.isfinite(ranked), ranked, np.nan), axis=0)
    parts = [np.where(np.isfinite(part), part, middle) for part in parts]
    quantiles = QuantileTransformer(n_quantiles=1000, output_distribution="normal", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer rows than quantiles
        quantiles.fit(np.concatenate(parts[:2]))
    x_NS, t_RS, c_CS = (np.clip(quantiles.transform(part), -4, 4) if len(part) else part for part in parts)
    return [table.names[i] for i in used], x_NS, t_RS, c_CS


def _fit_models(table: SignalTable, kinds: Sequence[str], t_RS: Floats, c_CS: Floats) -> _FoldModels:
    kinds_C = np.array(table.kinds_C)
    weights, biases = [], []
    for k in range(FOLDS):
        clean = t_RS[table.fold_R != k]
        for kind in kinds:
            bad = c_CS[(table.fold_C != k) & (kinds_C == kind)]
            y = np.repeat([0, 1], [len(clean), len(bad)])
            model: Any = LogisticRegression(C=INVERSE_L2, max_iter=500, class_weight="balanced")
            model.fit(np.concatenate([clean, bad]), y)
            weights.append(model.coef_[0])
            biases.append(model.intercept_[0])
    shape = (FOLDS, len(kinds))
    return _FoldModels(np.reshape(weights, (*shape, t_RS.shape[1])), np.reshape(biases, shape))


def _suspicion(odds_NJ: Floats, weight_J: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        suspicion_N: Floats = np.logaddexp.reduce(odds_NJ + np.log(weight_J), axis=1)
    return suspicion_N


@dataclass(frozen=True)
class _CanaryPairs:
    """The M canaries of one kind, paired with the trusted rows of their fold, and bootstrap draws of both.

    Only rows that the same model judges are compared.
    """

    canaries: Ints
    """Positions of the canaries of this kind [M]."""
    is_pair_MR: Floats
    times_DM: Floats
    times_DR: Floats
    """How many times each canary and each trusted row is drawn, in each bootstrap draw."""

    @staticmethod
    def of(table: SignalTable, kind: str, seed: int) -> "_CanaryPairs":
        draw, canaries = np.random.default_rng(seed), np.flatnonzero(np.array(table.kinds_C) == kind)
        is_pair_MR = table.fold_C[canaries][:, None] == table.fold_R
        times = [draw.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float64) for n in is_pair_MR.shape]
        return _CanaryPairs(canaries, is_pair_MR.astype(np.float64), *times)

    def auc(self, canaries_C: Floats, trusted_R: Floats) -> tuple[float, float, float]:
        """AUC: the share of pairs in which the canary has the larger number; and its 95% bootstrap interval."""
        c_M1 = canaries_C[self.canaries][:, None]
        above_MR = self.is_pair_MR * ((c_M1 > trusted_R) + 0.5 * (c_M1 == trusted_R))
        above_D, pairs_D = (((self.times_DM @ x_MR) * self.times_DR).sum(1) for x_MR in (above_MR, self.is_pair_MR))
        low, high = np.quantile(above_D / pairs_D, [0.025, 0.975])
        return float(above_MR.sum() / self.is_pair_MR.sum()), float(low), float(high)


def _detectability(
    kind: str, interval: tuple[float, float, float], signals: dict[str, tuple[Floats, Floats]]
) -> Detectability:
    """interval: AUC of the suspicion, low, high. signals: numbers of the kind's canaries and of the trusted rows."""
    aucs = {name: _auc(bad_M, good_R) for name, (bad_M, good_R) in signals.items()}
    best_aucs = {name: max(auc, 1 - auc) for name, auc in aucs.items()}
    best = max(best_aucs, key=lambda name: best_aucs[name])
    auc, low, high = interval
    canaries = len(signals[best][0])
    return Detectability(
        kind=kind, auc=auc, low=low, high=high, canaries=canaries, signal=best, signal_auc=best_aucs[best]
    )


def _auc(bad_M: Floats, good_R: Floats) -> float:
    return float(((bad_M[:, None] > good_R) + 0.5 * (bad_M[:, None] == good_R)).mean())
