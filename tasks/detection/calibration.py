"""The false-discovery rate that is stated against the one that is measured, in trials on held-out rows.

In each trial, a random half of the trusted rows plays the rows to be judged, with some of their canaries among them.
The other half calibrates the p-values. The suspicions are those of models that did not see the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
TRIALS = 200
BAD_SHARE = 0.2
"""Share of canaries among the rows of a trial."""
RATES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""False-discovery rates that are tried, beside the configured one."""


@dataclass(frozen=True)
class Calibration:
    """Stated against measured error at one rate, as means over the trials."""

    stated: float
    measured: float
    """Share of trusted rows among the flagged rows: the false-discovery rate."""
    error: float
    """Standard error of `measured` over the trials."""
    recall: float
    """Share of the canaries that are flagged."""
    clean: float
    """Share of the trusted rows that are flagged in a trial without canaries."""


def calibrate(
    trusted_R: Floats, canaries_C: Floats, twins_C: Ints, *, rates: Sequence[float], seed: int
) -> list[Calibration]:
    """Run the trials at each rate.

    Args:
        trusted_R: Suspicions of the trusted rows.
        canaries_C: Suspicions of the canaries.
        twins_C: Position of each canary's twin among the trusted rows.
        rates: False-discovery rates to state.
        seed: Of the draws.
    """
    draw = np.random.default_rng(seed)
    results = np.zeros((len(rates), 3, TRIALS))
    for trial in range(TRIALS):
        is_judged_R = draw.permutation(len(trusted_R)) < len(trusted_R) // 2
        clean, calibration = trusted_R[is_judged_R], np.sort(trusted_R[~is_judged_R])
        candidates = np.flatnonzero(is_judged_R[twins_C])
        bad = canaries_C[draw.permutation(candidates)[: round(len(clean) * BAD_SHARE / (1 - BAD_SHARE))]]
        q_clean = q_values(clean, calibration)
        q_mixed = q_values(np.concatenate([clean, bad]), calibration)
        for r, rate in enumerate(rates):
            false_flags = (q_mixed[: len(clean)] <= rate).sum()
            true_flags = (q_mixed[len(clean) :] <= rate).sum()
            measured = false_flags / max(false_flags + true_flags, 1)
            results[r, :, trial] = measured, true_flags / max(len(bad), 1), (q_clean <= rate).mean()
    means, errors = results.mean(2), results[:, 0].std(1, ddof=1) / np.sqrt(TRIALS)
    return [
        Calibration(
            stated=rate, measured=float(mean[0]), error=float(error), recall=float(mean[1]), clean=float(mean[2])
        )
        for rate, mean, error in zip(rates, means, errors, strict=True)
    ]


def q_values(suspicion: Floats, calibration: Floats) -> Floats:
    """Benjamini-Hochberg q-values of conformal p-values. calibration: suspicions of trusted rows, in order."""
    more = len(calibration) - np.searchsorted(calibration, suspicion, side="left")
    return np.asarray(false_discovery_control((1 + more) / (1 + len(calibration))))
