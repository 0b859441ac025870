"""Signals of rows, trusted rows and canaries -> suspicions, p-values, and what this model can detect.

Symbols: N rows of the dataset, R trusted rows, C canaries, S signals, J kinds of canary, K folds.

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
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import QuantileTransformer

from oresight.tasks.detection.calibration import RATES, Calibration, Judge, calibrate, with_flags
from oresight.tasks.detection.detectability import CanaryPairs, Detectability, measured
from oresight.tasks.detection.estimate import local_fdr
from oresight.tasks.detection.mixture import Weights, conformal, weight_above
from oresight.tasks.detection.peers import Peers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FOLDS = 5
MIN_EXAMPLES = 20
"""Fewest trusted rows, and fewest canaries of a kind, that a model is fitted on."""
INVERSE_L2 = 0.05
"""Inverse of the strength of the L2 regularisation, as scikit-learn's C."""
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
    is_unlike_N: NDArray[np.bool_] | None = None
    """Rows that are unlike all trusted rows; None if there are none."""
    weights: Weights | None = None
    """How much each trusted row counts, and each row; None for all the same."""
    peers: Peers | None = None
    """The rows that ask the same; None to judge each row without them."""

    @cached_property
    def fold_R(self) -> Ints:  # noqa: N802
        """Fold of each trusted row."""
        return folds(len(self.trusted_RS))

    @cached_property
    def is_like_N(self) -> NDArray[np.bool_]:  # noqa: N802
        """Rows of which trusted rows can say something."""
        return np.ones(len(self.rows_NS), dtype=bool) if self.is_unlike_N is None else ~self.is_unlike_N

    @property
    def fold_C(self) -> Ints:  # noqa: N802
        """Fold of each canary: its twin's."""
        return self.fold_R[self.twins_C]


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
    names, *quantiles = _rank_quantiles(table)
    x_NS, t_RS, c_CS = table.peers.beside(*quantiles) if table.peers else quantiles
    models = _fit_models(table, kinds, t_RS, c_CS)
    odds_RJ = models.held_out_odds(t_RS, table.fold_R)
    odds_CJ = models.held_out_odds(c_CS, table.fold_C)
    kinds_C = np.array(table.kinds_C)
    pairs = {k: CanaryPairs.of(np.flatnonzero(kinds_C == k), table.fold_C, table.fold_R, seed) for k in kinds}
    weight_J = np.array([_weight(pairs[kind].auc(odds_CJ[:, j], odds_RJ[:, j])) for j, kind in enumerate(kinds)])
    weight_C = (kinds_C[:, None] == kinds) @ weight_J
    if not weight_J.any():
        weight_J[:] = 1
    trusted_R, canaries_C = _suspicion(odds_RJ, weight_J), _suspicion(odds_CJ, weight_J)

    weights = table.weights or Weights.equal(len(trusted_R), len(x_NS))
    judged = _judge_rows(models, weight_J, x_NS, judge := Judge(trusted_R, weights.trusted_R, error), table.fold_R)
    p_N, like = conformal(weights.rows_N, judged.more_N, judge.weight_R), judged.suspicion_N[table.is_like_N]
    local_fdr_N, q_N = np.full((2, len(p_N)), np.nan)
    q_N[table.is_like_N] = judge.q_values(like, p_N[table.is_like_N])
    local_fdr_N[table.is_like_N] = local_fdr(like, trusted_R, canaries_C, weight_C)
    trials = calibrate(judge, canaries_C, table.twins_C, rates=sorted({*RATES, rate}), seed=seed)
    by_kind = [canaries_C[pair.canaries] for pair in pairs.values()]
    trials = [with_flags(trial, q_N, judged.suspicion_N, by_kind) for trial in trials]
    if not next(trial for trial in trials if trial.stated == rate).is_explained:
        q_N[:] = np.nan
    return Detection(
        suspicion_N=judged.suspicion_N,
        p_N=p_N,
        q_N=q_N,
        local_fdr_N=local_fdr_N,
        looks_like_N=[kinds[j] for j in judged.kind_NJ.argmax(1)],
        top_signals_N2=judged.top_signals(names),
        trusted_R=trusted_R,
        canaries_C=canaries_C,
        kinds=[
            measured(
                kind,
                interval=pairs[kind].auc(canaries_C, trusted_R),
                signals={name: (c_CS[pairs[kind].canaries, s], t_RS[:, s]) for s, name in enumerate(names)},
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
    kind_NJ: Floats
    """How much each kind of canary contributes."""
    contribution_NF: Floats
    """How much each input of the models contributes: the signals, and the signals less what is usual."""

    def top_signals(self, names: Sequence[str]) -> list[list[str]]:
        """At most two signals that contribute most to each suspicion."""
        contribution_NS = self.contribution_NF.reshape(len(self.suspicion_N), -1, len(names)).sum(1)
        top_N2 = np.argsort(-contribution_NS, axis=1)[:, :2]
        return [[names[s] for s in top if contribution_NS[i, s] > 0] for i, top in enumerate(top_N2)]


def _judge_rows(models: _FoldModels, weight_J: Floats, x_NS: Floats, judge: Judge, fold_R: Ints) -> _JudgedRows:
    more_N, suspicion_N, kind_NJ = np.zeros(len(x_NS)), np.zeros(len(x_NS)), np.zeros((len(x_NS), len(weight_J)))
    contribution_NF = np.zeros_like(x_NS)
    for k in range(FOLDS):
        odds_NJ = models.odds(k, x_NS)
        fold_suspicion_N = _suspicion(odds_NJ, weight_J)
        here = fold_R == k
        more_N += weight_above(fold_suspicion_N, judge.trusted_R[here], judge.weight_R[here])
        share_NJ = weight_J * np.exp(odds_NJ - fold_suspicion_N[:, None])
        suspicion_N += fold_suspicion_N / FOLDS
        kind_NJ += share_NJ
        contribution_NF += (share_NJ @ models.weight_KJS[k]) * x_NS
    return _JudgedRows(more_N, suspicion_N, kind_NJ, contribution_NF)


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
