"""How much each trusted row counts where the dataset has the kinds of rows in other proportions than the trusted rows.

Rows and trusted rows are clustered by the state before the answer, which depends on the prompt alone. A trusted row of
cluster c then stands for as many rows as it has in the dataset:

    w_c = (share of the rows in c) / (share of the trusted rows in c)        with half a row more in each cluster

The weights are then multiplied by such a ratio for each bin of the answer's length, where trusted rows count as they do
by cluster (one step of raking; Deming and Stephan, 1940).

These are the weights of conformal p-values under covariate shift (Tibshirani et al., 2019):

    p(row) = (w(row) + sum of w_i over trusted rows i that are at least as suspicious) / (w(row) + sum of w_i)

Weighted trusted rows tell as much as (sum w)^2 / sum w^2 rows would that came in the dataset's proportions.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency
from sklearn.cluster import KMeans

from oresight.tasks.detection.chunks import chunks, mean_of, spread
from oresight.tasks.detection.lengths import Features, bins
from oresight.tasks.detection.twins import unit

Floats = NDArray[Any]
Ints = NDArray[np.int64]
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


def weights(rows: Features, trusted: Features, is_like_N: NDArray[np.bool_]) -> Weights:
    """The weights, which are 1 unless a chi-squared test finds other proportions, because weights cost power.

    Args:
        rows: Rows of the dataset.
        trusted: Trusted rows.
        is_like_N: Rows of which trusted rows can say something.
    """
    equal = Weights.equal(len(trusted.state_MS), len(rows.state_MS))
    by_prompt = _reweighted(equal, *_clusters(rows.state_MS, trusted.state_MS, is_like_N), is_like_N)
    return _reweighted(by_prompt, *bins(rows.length_M, trusted.length_M), is_like_N)


def _clusters(state_NS: Floats, state_RS: Floats, is_like_N: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Clusters of the rows and of the trusted rows; one cluster if there are few of either."""
    clusters, like = min(MOST_CLUSTERS, len(state_RS) // ROWS_A_CLUSTER), np.flatnonzero(is_like_N)
    if clusters < 2 or len(like) < clusters:
        return np.zeros(len(state_NS), dtype=np.int64), np.zeros(len(state_RS), dtype=np.int64)
    mean_S = mean_of(state_NS, is_like_N)
    sample, trusted_RS = unit(state_NS[like[spread(len(like), MOST_ROWS)]] - mean_S), unit(state_RS - mean_S)
    model = KMeans(clusters, n_init=5, random_state=0).fit(np.concatenate([sample, trusted_RS]))
    cluster_N = np.empty(len(state_NS), dtype=np.int64)
    for part in chunks(len(state_NS)):
        cluster_N[part] = model.predict(unit(state_NS[part] - mean_S))
    return cluster_N, model.predict(trusted_RS)


def _reweighted(before: Weights, kind_N: Ints, kind_R: Ints, is_like_N: NDArray[np.bool_]) -> Weights:
    """These weights times those of kinds of rows, if the kinds come in other proportions in the dataset."""
    kinds = 1 + max(kind_N.max(initial=0), kind_R.max(initial=0))
    rows_c, trusted_c = (np.bincount(of, minlength=kinds) for of in (kind_N[is_like_N], kind_R))
    is_there_c = (rows_c + trusted_c) > 0
    counts_2c = np.array([rows_c, trusted_c])[:, is_there_c]
    if rows_c.sum() == 0 or is_there_c.sum() < 2 or chi2_contingency(counts_2c).pvalue > SIGNIFICANT:
        return before
    counted_c = np.bincount(kind_R, before.trusted_R, kinds) + 0.5 * before.trusted_R.mean()
    ratio_c = rows_c / rows_c.sum() / (counted_c / counted_c.sum())
    if not ratio_c[kind_R].any():  # no row is of a trusted row's kind
        return before
    return Weights(before.trusted_R * ratio_c[kind_R], before.rows_N * ratio_c[kind_N])


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
