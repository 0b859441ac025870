"""Kinds of rows, by their text states: what a large number of rows is about, in a few examples."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

KINDS = 5
"""Most kinds that rows are put into."""
SMALLEST = 10
"""Rows per kind, at least, on average."""


class Kind(NamedTuple):
    """Rows that are alike."""

    size: int
    typical: list[int]
    """The rows nearest to the mean of the kind, the nearest first."""


def kinds_of(states_NS: NDArray[Any], examples: int = 3) -> list[Kind]:
    """Rows by kind, the largest kind first: k-means of the normalised states."""
    from sklearn.cluster import KMeans  # takes a second to import

    n = len(states_NS)
    if n == 0:
        return []
    unit_NS = states_NS / np.maximum(np.linalg.norm(states_NS, axis=1, keepdims=True), 1e-12)
    count = min(KINDS, max(n // SMALLEST, 1), len(np.unique(unit_NS, axis=0)))
    fitted = KMeans(count, n_init=4, random_state=0).fit(unit_NS)
    distance_N = np.linalg.norm(unit_NS - fitted.cluster_centers_[fitted.labels_], axis=1)
    kinds = []
    for label in range(count):
        (rows,) = np.nonzero(fitted.labels_ == label)
        kinds.append(Kind(len(rows), rows[np.argsort(distance_N[rows], kind="stable")][:examples].tolist()))
    return sorted(kinds, key=lambda kind: -kind.size)
