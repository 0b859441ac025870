"""Estimates from few trusted rows: p-values below 1 / (1 + trusted rows), and the probability that a row is right.

No conformal p-value is below 1 / (1 + R) for R trusted rows. Two functions let p-values fall on beyond the highest
score m of a trusted row. `with_heavy_tail`, for suspicions, takes the slower of two rates:

    p(s) = min(conformal p, max(kernel, predictive))                        for s > m
    kernel     = 2 / (1 + R) * exp(-(s - m) / h)              a density of exponential kernels, h Silverman's bandwidth
    predictive = k / (1 + R) * (1 + (s - u) / (k e))^-k       the k highest lie e above u, the next one, in the mean

The predictive distribution is that of an exponential tail whose mean excess is known from k rows only. Either rate
alone is too fast somewhere: the kernel's where many right rows look wrong (Dolly), the other where few do (easy-VQA);
tests/bench/bench_flags.py measures the error of both together. `with_normal_tail`, for the sums of many small parts
that likeness.py compares, takes the tail S of a density of Gaussian kernels:

    p(s) = min(conformal p, 2 / (1 + R) * S(s) / S(m))        for s > m;        S(s) = mean_i Phi((t_i - s) / h)

`local_fdr` is an empirical-Bayes local false-discovery rate (Efron, 2008). Trusted rows show how suspicious right rows
are, canaries how suspicious wrong ones are, and the dataset how many there are of each:

    f(s) = (1 - share) f_right(s) + share f_wrong(s)        share by expectation maximisation
    local_fdr(s) = (1 - share) f_right(s) / f(s)
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr
from scipy.stats import gaussian_kde

Floats = NDArray[np.float64]
TOP, FEWEST = 0.2, 5
"""Share of the trusted rows that show how the tail falls, and fewest such rows."""
GRID = 512
"""Points at which densities and tails are computed. Between them they are interpolated."""
STEPS = 500
TOLERANCE = 1e-6
"""Change of the share at which the expectation maximisation ends, and its most steps."""


def with_heavy_tail(p_N: Floats, suspicion_N: Floats, trusted_R: Floats) -> Floats:
    """The p-values [N], lower for rows that are more suspicious than every trusted row.

    Args:
        p_N: Conformal p-values.
        suspicion_N: Suspicions of the rows.
        trusted_R: Suspicions of trusted rows, by models that did not see them.
    """
    most, n = trusted_R.max(), len(trusted_R)
    width = _bandwidth(trusted_R)
    k = min(max(FEWEST, round(TOP * n)), n - 1)
    threshold, *top = np.sort(trusted_R)[-k - 1 :]
    excess = np.mean(top) - threshold
    beyond = suspicion_N > most
    if width == 0 or excess == 0 or not beyond.any():
        return p_N
    s_B = suspicion_N[beyond]
    kernel_B = 2 * np.exp(-(s_B - most) / width)
    predictive_B = k * (1 + (s_B - threshold) / (k * excess)) ** -k
    lower_N = p_N.copy()
    lower_N[beyond] = np.minimum(p_N[beyond], np.maximum(kernel_B, predictive_B) / (1 + n))
    return lower_N


def with_normal_tail(p_N: Floats, score_N: Floats, trusted_R: Floats) -> Floats:
    """The p-values [N], lower for rows whose score is above that of every trusted row. Arguments as above."""
    most, n = trusted_R.max(), len(trusted_R)
    width = _bandwidth(trusted_R)
    beyond = score_N > most
    if width == 0 or not beyond.any():
        return p_N
    points = np.unique(score_N[beyond])
    points = np.append(most, points if len(points) < GRID else np.linspace(points[0], points[-1], GRID))
    log_tail = np.logaddexp.reduce(log_ndtr((trusted_R - points[:, None]) / width), axis=1)
    falls = np.exp(np.interp(score_N[beyond], points, log_tail) - log_tail[0])
    lower_N = p_N.copy()
    lower_N[beyond] = np.minimum(p_N[beyond], 2 / (1 + n) * falls)
    return lower_N


def _bandwidth(trusted_R: Floats) -> float:
    """Silverman's."""
    return float((0.75 * len(trusted_R)) ** -0.2 * trusted_R.std(ddof=1))


def local_fdr(suspicion_N: Floats, trusted_R: Floats, canaries_C: Floats, weight_C: Floats) -> Floats:
    """Estimated probability that each row is right [N], falling in the suspicion; NaN if no canary counts.

    Args:
        suspicion_N: Suspicions of the rows.
        trusted_R: Suspicions of trusted rows, by models that did not see them.
        canaries_C: The same of canaries.
        weight_C: How much each canary counts, for instance 0 for a kind of defect that cannot be detected.
    """
    if len(suspicion_N) == 0 or np.count_nonzero(weight_C) < 2:
        return np.full(len(suspicion_N), np.nan)
    every = np.concatenate([suspicion_N, trusted_R, canaries_C])
    grid = np.linspace(every.min(), every.max(), GRID)
    right = _density(trusted_R, None, grid)
    wrong = _density(canaries_C, weight_C, grid)
    counts, _ = np.histogram(suspicion_N, GRID, (grid[0], grid[-1]))
    at_rows = counts / max(len(suspicion_N), 1)
    share = 0.1
    for _ in range(STEPS):
        before, share = share, float(at_rows @ _probability_wrong(right, wrong, share))
        if abs(share - before) < TOLERANCE:
            break
    falling = np.minimum.accumulate(1 - _probability_wrong(right, wrong, share))
    return np.asarray(np.interp(suspicion_N, grid, falling))


def _density(points: Floats, weights: Floats | None, grid: Floats) -> Floats:
    if np.ptp(points) == 0:
        points = points + np.linspace(-1e-3, 1e-3, len(points))  # a kernel estimate needs some spread
    density: Floats = gaussian_kde(points, "silverman", weights)(grid)
    return np.maximum(density, 1e-300)


def _probability_wrong(right: Floats, wrong: Floats, share: float) -> Floats:
    return np.asarray(share * wrong / (share * wrong + (1 - share) * right))
