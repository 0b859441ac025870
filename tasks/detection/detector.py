"""Signals of rows, trusted rows and canaries -> how suspicious each row is, with a p-value and what can be detected.

    x_S      a row's signals, each turned into its rank among rows and trusted rows, as a normal quantile
    o_j(x) = w_j . x + b_j    log-odds of canaries of kind j against trusted rows: logistic regression, L2, balanced
    g_j    = 2 AUC_j - 1      Gini coefficient of o_j on held-out rows; 0 for a kind that is not told from trusted rows
    suspicion(x) = log sum_j g_j^2 exp(o_j(x))

What cannot be seen would only add noise, so a kind weighs as it is detected. The model is cross-fitted over FOLDS folds
of the trusted rows, a canary in its twin's: model k has not seen fold k. A row of the dataset is compared with
each fold by that fold's model (cross-conformal p-value, Vovk 2015):

    p(row) = (1 + sum_k |trusted rows i of fold k: suspicion_k(i) >= suspicion_k(row)|) / (1 + trusted rows)

If clean rows of the dataset are like the trusted rows, a clean row has p <= u with probability about u, whatever is
wrong with the others; then Benjamini-Hochberg keeps the expected share of clean rows among the flagged at the rate.
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

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FOLDS = 5
FEWEST = 20
"""Trusted rows, below which nothing is learnt from them; and canaries of a kind, below which none is."""
STRENGTH = 0.1
"""Inverse of the L2 regularisation."""
DRAWS = 1000
TRIALS = 200
BAD = 0.2
"""Share of canaries among the rows of a trial."""
USUAL = 0.05
"""Share of bad rows that a reference should be large enough for."""
RATES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Table:
    """Signals of all that takes part, a column a signal; what a row has not is not a number."""

    names: Sequence[str]
    rows_NS: Floats
    trusted_RS: Floats
    canaries_CS: Floats
    kinds_C: Sequence[str]
    twins_C: Ints
    """Places of the canaries' twins among the trusted rows."""

    @cached_property
    def fold_R(self) -> Ints:  # noqa: N802
        return folds(len(self.trusted_RS))


@dataclass(frozen=True)
class Detectable:
    """How well canaries of a kind are told from trusted rows: 0.5 is by chance."""

    kind: str
    auc: float
    low: float
    """The middle 95% of bootstrap draws of trusted rows and canaries."""
    high: float
    canaries: int
    signal: str
    """The best single signal, and its AUC, either way round."""
    signal_auc: float

    @property
    def is_detectable(self) -> bool:
        return self.low > 0.5


@dataclass(frozen=True)
class Calibration:
    """Stated against measured error on trusted rows and canaries that were held out."""

    stated: float
    measured: float
    """Mean share of trusted rows among the flagged."""
    error: float
    """Its standard error over the trials."""
    recall: float
    """Mean share of canaries that are flagged."""
    clean: float
    """Mean share of the trusted rows that are flagged where there is no canary."""


@dataclass(frozen=True)
class Detection:
    """What was found. Suspicions are natural logarithms of odds, up to a constant."""

    suspicion_N: Floats
    p_N: Floats
    q_N: Floats
    looks_like_N: list[str]
    weigh_N2: list[list[str]]
    """The two signals that weigh most for suspicion."""
    trusted_R: Floats
    canaries_C: Floats
    kinds: list[Detectable]
    calibration: list[Calibration]


@dataclass(frozen=True)
class _Fitted:
    """The models of all folds."""

    weight_KJS: Floats
    bias_KJ: Floats

    def odds(self, k: int, x_NS: Floats) -> Floats:
        """Log-odds of each kind [N, J]."""
        found: Floats = x_NS @ self.weight_KJS[k].T + self.bias_KJ[k]
        return found

    def held_out(self, x_NS: Floats, fold_N: Ints) -> Floats:
        """The same by the models that have not seen the rows."""
        return np.concatenate([self.odds(k, x_NS[[i]]) for i, k in enumerate(fold_N)]) if len(x_NS) else x_NS


def folds(n: int) -> Ints:
    """The fold of each of n rows, whose order says nothing about them."""
    return np.arange(n, dtype=np.int64) % FOLDS


def detect(table: Table, rate: float = 0.1, seed: int = 0) -> Detection | None:
    """Learn from trusted rows and canaries, judge the rows; None if there are too few to learn from.

    rate: a false-discovery rate to try out in the trials, beside RATES.

    Source: the product's method; conformal p-values with Benjamini-Hochberg as in Bates et al. (2023).
    """
    counts = {kind: list(table.kinds_C).count(kind) for kind in sorted(set(table.kinds_C))}
    kinds = [kind for kind, n in counts.items() if n >= FEWEST]
    if len(table.trusted_RS) < FEWEST or not kinds:
        return None
    names, x_NS, t_RS, c_CS = _ranked(table)
    fitted = _fitted(table, kinds, t_RS, c_CS)
    odds_RJ = fitted.held_out(t_RS, table.fold_R)
    odds_CJ = fitted.held_out(c_CS, table.fold_R[table.twins_C])
    pairs = {kind: _Pairs.of(table, kind, seed) for kind in kinds}
    weight_J = np.zeros(len(kinds))
    for j, kind in enumerate(kinds):
        auc, low, _ = pairs[kind].auc(odds_CJ[:, j], odds_RJ[:, j])
        weight_J[j] = (2 * auc - 1) ** 2 if low > 0.5 else 0
    if not weight_J.any():
        weight_J[:] = 1
    trusted_R, canaries_C = _suspicion(odds_RJ, weight_J), _suspicion(odds_CJ, weight_J)
    more_N, suspicion_N, kind_NJ = np.zeros(len(x_NS)), np.zeros(len(x_NS)), np.zeros((len(x_NS), len(kinds)))
    weigh_NS = np.zeros_like(x_NS)
    for k in range(FOLDS):
        odds_NJ = fitted.odds(k, x_NS)
        mine_N = _suspicion(odds_NJ, weight_J)
        sorted_R = np.sort(trusted_R[table.fold_R == k])
        more_N += len(sorted_R) - np.searchsorted(sorted_R, mine_N, side="left")
        share_NJ = weight_J * np.exp(odds_NJ - mine_N[:, None])
        suspicion_N += mine_N / FOLDS
        kind_NJ += share_NJ
        weigh_NS += (share_NJ @ fitted.weight_KJS[k]) * x_NS
    p_N = (1 + more_N) / (1 + len(trusted_R))
    top_N2 = np.argsort(-weigh_NS, axis=1)[:, :2]
    return Detection(
        suspicion_N,
        p_N,
        np.asarray(false_discovery_control(p_N)) if len(p_N) else p_N,
        [kinds[j] for j in kind_NJ.argmax(1)],
        [[names[s] for s in top if weigh_NS[i, s] > 0] for i, top in enumerate(top_N2)],
        trusted_R,
        canaries_C,
        [_detectable(pairs[kind], names, kind, t_RS, c_CS, trusted_R, canaries_C) for kind in kinds],
        _calibration(table, trusted_R, canaries_C, sorted({*RATES, rate}), seed),
    )


def reach(trusted: int, rate: float) -> str:
    """What the number of trusted rows makes impossible, in words: no p-value is below 1 / (1 + trusted)."""
    least = 1 / ((1 + trusted) * rate)
    needed = math.ceil(1 / (USUAL * rate)) - 1
    head = f"with {trusted:,} trusted rows, at a {rate:.0%} rate, "
    if least > 1:
        return f"{head}no row can be flagged; {needed:,} trusted rows could flag where {USUAL:.0%} are bad"
    more = "" if trusted >= needed else f"; {needed:,} trusted rows would do where {USUAL:.0%} are bad"
    return f"{head}flags need at least {least:.1%} bad rows{more}"


def _ranked(table: Table) -> tuple[list[str], Floats, Floats, Floats]:
    """Signals that most trusted rows have, as normal quantiles of their ranks; a missing one is in the middle.

    Ranks are among rows and trusted rows together, so that a clean row and a trusted one are treated alike.
    """
    use = [i for i in range(len(table.names)) if np.isfinite(table.trusted_RS[:, i]).mean() > 0.5]
    parts = [part[:, use] for part in (table.rows_NS, table.trusted_RS, table.canaries_CS)]
    known = np.concatenate(parts[:2])
    middle = np.nanmedian(np.where(np.isfinite(known), known, np.nan), axis=0)
    parts = [np.where(np.isfinite(part), part, middle) for part in parts]
    ranks = QuantileTransformer(n_quantiles=1000, output_distribution="normal", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer rows than quantiles
        ranks.fit(np.concatenate(parts[:2]))
    x_NS, t_RS, c_CS = (np.clip(ranks.transform(part), -4, 4) if len(part) else part for part in parts)
    return [table.names[i] for i in use], x_NS, t_RS, c_CS


def _fitted(table: Table, kinds: Sequence[str], t_RS: Floats, c_CS: Floats) -> _Fitted:
    fold_C, kinds_C = table.fold_R[table.twins_C], np.array(table.kinds_C)
    weights, biases = [], []
    for k in range(FOLDS):
        clean = t_RS[table.fold_R != k]
        for kind in kinds:
            bad = c_CS[(fold_C != k) & (kinds_C == kind)]
            y = np.repeat([0, 1], [len(clean), len(bad)])
            model: Any = LogisticRegression(C=STRENGTH, max_iter=500, class_weight="balanced")
            model.fit(np.concatenate([clean, bad]), y)
            weights.append(model.coef_[0])
            biases.append(model.intercept_[0])
    shape = (FOLDS, len(kinds))
    return _Fitted(np.reshape(weights, (*shape, t_RS.shape[1])), np.reshape(biases, shape))


def _suspicion(odds_NJ: Floats, weight_J: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        found: Floats = np.logaddexp.reduce(odds_NJ + np.log(weight_J), axis=1)
    return found


@dataclass(frozen=True)
class _Pairs:
    """The canaries of a kind, paired with the trusted rows that the same model judges; and bootstrap draws."""

    mine: Ints
    pair_MR: Floats
    often_DM: Floats
    often_DR: Floats
    """How often each canary and each trusted row is drawn, in each draw."""

    @staticmethod
    def of(table: Table, kind: str, seed: int) -> "_Pairs":
        draw, mine = np.random.default_rng(seed), np.flatnonzero(np.array(table.kinds_C) == kind)
        pair_MR = table.fold_R[table.twins_C[mine]][:, None] == table.fold_R
        often = [draw.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float64) for n in pair_MR.shape]
        return _Pairs(mine, pair_MR.astype(np.float64), *often)

    def auc(self, canaries_C: Floats, trusted_R: Floats) -> tuple[float, float, float]:
        """The share of pairs in which the canary has more, and the middle 95% of it over the draws."""
        c_M1 = canaries_C[self.mine][:, None]
        above_MR = self.pair_MR * ((c_M1 > trusted_R) + 0.5 * (c_M1 == trusted_R))
        won_D, of_D = (((self.often_DM @ x_MR) * self.often_DR).sum(1) for x_MR in (above_MR, self.pair_MR))
        low, high = np.quantile(won_D / of_D, [0.025, 0.975])
        return float(above_MR.sum() / self.pair_MR.sum()), float(low), float(high)


def _detectable(
    pairs: _Pairs, names: list[str], kind: str, t_RS: Floats, c_CS: Floats, trusted_R: Floats, canaries_C: Floats
) -> Detectable:
    single_S = [_auc(c_CS[pairs.mine, s], t_RS[:, s]) for s in range(len(names))]
    best = int(np.argmax([max(auc, 1 - auc) for auc in single_S]))
    best_auc = max(single_S[best], 1 - single_S[best])
    return Detectable(kind, *pairs.auc(canaries_C, trusted_R), len(pairs.mine), names[best], best_auc)


def _auc(bad_M: Floats, good_R: Floats) -> float:
    return float(((bad_M[:, None] > good_R) + 0.5 * (bad_M[:, None] == good_R)).mean())


def _calibration(
    table: Table, trusted_R: Floats, canaries_C: Floats, rates: list[float], seed: int
) -> list[Calibration]:
    """Half of the trusted rows, drawn anew each time, play the rows to be judged, with canaries of theirs among them;
    the other half calibrates. Suspicions are those of models that have not seen the row."""
    draw = np.random.default_rng(seed)
    results = np.zeros((len(rates), 3, TRIALS))
    for trial in range(TRIALS):
        judged = draw.permutation(len(trusted_R)) < len(trusted_R) // 2
        clean, calibration = trusted_R[judged], np.sort(trusted_R[~judged])
        here = np.flatnonzero(judged[table.twins_C])
        bad = canaries_C[draw.permutation(here)[: round(len(clean) * BAD / (1 - BAD))]]
        q_clean, q_both = _q(clean, calibration), _q(np.concatenate([clean, bad]), calibration)
        for r, rate in enumerate(rates):
            wrong, right = (q_both[: len(clean)] <= rate).sum(), (q_both[len(clean) :] <= rate).sum()
            results[r, :, trial] = wrong / max(wrong + right, 1), right / max(len(bad), 1), (q_clean <= rate).mean()
    means, errors = results.mean(2), results[:, 0].std(1, ddof=1) / np.sqrt(TRIALS)
    return [
        Calibration(rate, *(float(x) for x in (m[0], e, m[1], m[2])))
        for rate, m, e in zip(rates, means, errors, strict=True)
    ]


def _q(suspicion: Floats, calibration: Floats) -> Floats:
    more = len(calibration) - np.searchsorted(calibration, suspicion, side="left")
    return np.asarray(false_discovery_control((1 + more) / (1 + len(calibration))))
