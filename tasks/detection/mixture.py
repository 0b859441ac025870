"""How much each trusted row counts where the dataset has the kinds of rows in other proportions than the trusted rows.

Rows and trusted rows are clustered by the state before the answer, which depends on the prompt alone. A trusted row of
cluster c then stands for as many rows as it has in the dataset:

    w_c = (share of the rows in c) / (share of the trusted rows in c)        with half a row more in each cluster

These are the weights of conformal p-values under covariate shift (Tibshirani et al., 2019):

    p(row) = (w(row) + sum of w_i over trusted rows i that are at least as suspicious) / (w(row) + sum of w_i)

Weighted trusted rows tell as much as (sum w)^2 / sum w^2 rows would that came in the dataset's proportions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency
from sklearn.cluster import KMeans

from oresight.tasks.detection.twins import unit

Floats = NDArray[np.float64]
ROWS_A_CLUSTER = 15
"""Trusted rows for each cluster, in the mean; more clusters would fit weights to chance."""
MOST_CLUSTERS = 8
SIGNIFICANT = 0.01
MOST_ROWS = 5000
"""Most rows of the dataset that clusters are fitted on."""


class Weights(NamedTuple):
    """Weights of the trusted rows and of the rows."""

    trusted_R: Floats
    rows_N: Floats

    @staticmethod
    def equal(trusted: int, rows: int) -> "Weights":
        """The same weight for so many trusted rows and rows."""
        return Weights(np.ones(trusted), np.ones(rows))


def effective(weight_R: Floats) -> int:
    """How many rows of equal weight tell as much as rows of these weights."""
    return round(float(weight_R.sum() ** 2 / max(np.square(weight_R).sum(), 1e-300)))


def weights(state_NS: Floats, state_RS: Floats, is_like_N: NDArray[np.bool_]) -> Weights:
    """The weights, which are 1 unless a chi-squared test finds other proportions, because weights cost power.

    Args:
        state_NS: States before the answer, of rows of the dataset.
        state_RS: The same of the trusted rows.
        is_like_N: Rows of which trusted rows can say something.
    """
    equal = Weights.equal(len(state_RS), len(state_NS))
    clusters, like_NS = min(MOST_CLUSTERS, len(state_RS) // ROWS_A_CLUSTER), state_NS[is_like_N]
    if clusters < 2 or len(like_NS) < clusters:
        return equal
    mean_S = like_NS.mean(0)
    rows_NS, trusted_RS = unit(state_NS - mean_S), unit(state_RS - mean_S)
    sample = rows_NS[is_like_N][:: max(1, len(like_NS) // MOST_ROWS)]
    model = KMeans(clusters, n_init=5, random_state=0).fit(np.concatenate([sample, trusted_RS]))
    cluster_N, cluster_R = model.predict(rows_NS), model.predict(trusted_RS)
    counts_2c = np.array([np.bincount(of, minlength=clusters) for of in (cluster_N[is_like_N], cluster_R)])
    if chi2_contingency(counts_2c[:, counts_2c.any(0)]).pvalue > SIGNIFICANT:
        return equal
    rows_c, trusted_c = counts_2c[0] / len(like_NS), (counts_2c[1] + 0.5) / (len(state_RS) + 0.5 * clusters)
    ratio_c = rows_c / trusted_c
    return Weights(ratio_c[cluster_R], ratio_c[cluster_N])


def as_the_dataset(trusted_R: Floats, weight_R: Floats) -> Floats:
    """Suspicions of as many trusted rows as the weighted ones tell, in the dataset's proportions, and the highest."""
    count = max(effective(weight_R), 2)
    order = np.argsort(trusted_R)
    levels = (np.cumsum(weight_R[order]) - weight_R[order] / 2) / weight_R.sum()
    drawn = np.interp((np.arange(count) + 0.5) / count, levels, trusted_R[order])
    drawn[-1] = trusted_R.max()
    return np.asarray(drawn)


def weight_above(suspicion_N: Floats, trusted_R: Floats, weight_R: Floats) -> Floats:
    """The weight of the trusted rows that are at least as suspicious as each row [N]."""
    order = np.argsort(trusted_R)
    from_here = np.append(np.cumsum(weight_R[order][::-1])[::-1], 0.0)
    return np.asarray(from_here[np.searchsorted(trusted_R[order], suspicion_N, side="left")])


def conformal(weight_N: Floats, above_N: Floats, weight_R: Floats) -> Floats:
    """The p-values [N] of rows with these weights, above which are trusted rows of these weights."""
    return np.asarray(np.minimum((weight_N + above_N) / np.maximum(weight_N + weight_R.sum(), 1e-300), 1.0))
