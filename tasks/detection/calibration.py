"""The false-discovery rate that is stated against the one that is measured, in trials on held-out rows.

In each trial, a random half of the trusted rows plays the rows to be judged, with some of their canaries among them.
They are judged by the other half. The suspicions are those of models that did not see the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from oresight.tasks.detection.estimate import with_heavy_tail
from oresight.tasks.detection.mixture import as_the_dataset, conformal, effective, weight_above

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
TRIALS = 200
BAD_SHARE = 0.2
"""Share of canaries among the rows of a trial."""
RATES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""False-discovery rates that are tried, beside the configured one."""
UNEXPLAINED = 0.02
"""Share of flagged rows that needs no explanation."""


@dataclass(frozen=True)
class Calibration:
    """Stated against measured error at one rate, as means over the trials."""

    stated: float
    measured: float
    """Share of trusted rows among the flagged rows: the false-discovery rate."""
    high: float
    """In nine of ten trials the share was at most this."""
    error: float
    """Standard error of `measured` over the trials."""
    recall: float
    """Share of the canaries that are flagged."""
    clean: float
    """Share of the trusted rows that are flagged in a trial without canaries."""
    trusted_rows: int
    """How many trusted rows in the dataset's proportions would tell as much as the trusted rows."""
    rows_flagged: int = 0
    """Rows of the dataset that are flagged at this rate."""
    is_explained: bool = True
    """Whether defects like the canaries can explain so many flags. If every row had the defect that is found best, the
    share of flagged rows would be that of the canaries of this kind. More flags come from something else."""


@dataclass(frozen=True)
class Judge:
    """What rows are judged by: suspicions of trusted rows, by models that did not see them."""

    trusted_R: Floats
    weight_R: Floats
    """How much each trusted row counts (mixture.py)."""
    error: Literal["estimated", "guaranteed"]
    """estimated: p-values may be lower than any conformal one (`with_heavy_tail`). guaranteed: conformal p-values."""

    def p_values(self, suspicion_N: Floats, weight_N: Floats) -> Floats:
        """Conformal p-values [N] of rows with these weights."""
        return conformal(weight_N, weight_above(suspicion_N, self.trusted_R, self.weight_R), self.weight_R)

    def q_values(self, suspicion_N: Floats, p_N: Floats) -> Floats:
        """The lowest stated rate at which each row is flagged [N], by Benjamini-Hochberg. p_N: conformal p-values."""
        if len(suspicion_N) == 0:
            return suspicion_N
        if self.error == "estimated":
            p_N = with_heavy_tail(p_N, suspicion_N, as_the_dataset(self.trusted_R, self.weight_R))
        return np.asarray(false_discovery_control(p_N))


def with_flags(trial: Calibration, q_N: Floats, suspicion_N: Floats, canaries: Sequence[Floats]) -> Calibration:
    """The calibration with the number of flags at its rate, and whether defects like the canaries can explain so many.

    canaries: suspicions of the canaries of each kind.
    """
    flagged = q_N <= trial.stated
    if not flagged.any():
        return trial
    found = max((float((of_kind >= suspicion_N[flagged].min()).mean()) for of_kind in canaries), default=0)
    explained = flagged.sum() <= (found + UNEXPLAINED) * np.isfinite(q_N).sum()
    return replace(trial, rows_flagged=int(flagged.sum()), is_explained=bool(explained))


def calibrate(
    judge: Judge, canaries_C: Floats, twins_C: Ints, *, rates: Sequence[float], seed: int
) -> list[Calibration]:
    """Run the trials at each rate.

    Args:
        judge: All trusted rows.
        canaries_C: Suspicions of the canaries, by models that did not see them.
        twins_C: Position of each canary's twin among the trusted rows.
        rates: False-discovery rates to state.
        seed: Of the draws.
    """
    draw = np.random.default_rng(seed)
    results = np.zeros((len(rates), 3, TRIALS))
    for trial in range(TRIALS):
        is_judged_R = draw.permutation(len(judge.trusted_R)) < len(judge.trusted_R) // 2
        half = Judge(judge.trusted_R[~is_judged_R], judge.weight_R[~is_judged_R], judge.error)
        rows = _drawn(draw, np.flatnonzero(is_judged_R), judge.weight_R)
        candidates = _drawn(draw, np.flatnonzero(is_judged_R[twins_C]), judge.weight_R[twins_C])
        candidates = candidates[: round(len(rows) * BAD_SHARE / (1 - BAD_SHARE))]
        clean, bad = judge.trusted_R[rows], canaries_C[candidates]
        weight_clean, weight_bad = judge.weight_R[rows], judge.weight_R[twins_C[candidates]]
        mixed, weight_mixed = np.concatenate([clean, bad]), np.concatenate([weight_clean, weight_bad])
        q_clean = half.q_values(clean, half.p_values(clean, weight_clean))
        q_mixed = half.q_values(mixed, half.p_values(mixed, weight_mixed))
        for r, rate in enumerate(rates):
            false_flags = (q_mixed[: len(clean)] <= rate).sum()
            true_flags = (q_mixed[len(clean) :] <= rate).sum()
            measured = false_flags / max(false_flags + true_flags, 1)
            results[r, :, trial] = measured, true_flags / max(len(bad), 1), (q_clean <= rate).mean()
    means, errors = results.mean(2), results[:, 0].std(1, ddof=1) / np.sqrt(TRIALS)
    highs = np.quantile(results[:, 0], 0.9, axis=1)
    return [
        Calibration(
            stated=rate,
            measured=float(mean[0]),
            high=float(high),
            error=float(error),
            recall=float(mean[1]),
            clean=float(mean[2]),
            trusted_rows=effective(judge.weight_R),
        )
        for rate, mean, high, error in zip(rates, means, highs, errors, strict=True)
    ]


def _drawn(draw: np.random.Generator, positions: Ints, weight_N: Floats) -> Ints:
    """The positions in random order; where weights differ, as many of them drawn with these weights."""
    weight = weight_N[positions]
    if len(positions) == 0 or np.ptp(weight) == 0 or weight.sum() == 0:
        return draw.permutation(positions)
    return draw.choice(positions, len(positions), p=weight / weight.sum())
