"""How well canaries of a kind are told from trusted rows: AUC with a bootstrap interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DRAWS = 1000
"""Bootstrap draws behind an interval."""


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
class CanaryPairs:
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
    def of(canaries: Ints, fold_C: Ints, fold_R: Ints, seed: int) -> "CanaryPairs":
        """The pairs of the canaries at these positions. fold_C, fold_R: folds of all canaries and trusted rows."""
        draw, is_pair_MR = np.random.default_rng(seed), fold_C[canaries][:, None] == fold_R
        times = [draw.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float64) for n in is_pair_MR.shape]
        return CanaryPairs(canaries, is_pair_MR.astype(np.float64), *times)

    def auc(self, canaries_C: Floats, trusted_R: Floats) -> tuple[float, float, float]:
        """AUC: the share of pairs in which the canary has the larger number; and its 95% bootstrap interval."""
        c_M1 = canaries_C[self.canaries][:, None]
        above_MR = self.is_pair_MR * ((c_M1 > trusted_R) + 0.5 * (c_M1 == trusted_R))
        above_D, pairs_D = (((self.times_DM @ x_MR) * self.times_DR).sum(1) for x_MR in (above_MR, self.is_pair_MR))
        low, high = np.quantile(above_D / pairs_D, [0.025, 0.975])
        return float(above_MR.sum() / self.is_pair_MR.sum()), float(low), float(high)


def measured(
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
