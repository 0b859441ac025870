"""A diverse sample of rows: one row of each cluster, by the index where rows have vectors, else by their texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 64
"""Dimensions that texts are reduced to."""
GRAMS = 20_000
"""Most character trigrams that texts are compared by."""

Floats = NDArray[np.float32]


def text_points(texts: Sequence[str]) -> Floats:
    """Texts as points [N, D]: TF-IDF of character trigrams, which every script has, reduced by a truncated SVD."""
    from sklearn.decomposition import TruncatedSVD  # takes a second to import, and few commands need it
    from sklearn.feature_extraction.text import TfidfVectorizer

    trigrams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), max_features=GRAMS, sublinear_tf=True)
    tfidf_NV = trigrams.fit_transform(texts)
    few = min(tfidf_NV.shape) <= DIMENSIONS
    points_ND = tfidf_NV.toarray() if few else TruncatedSVD(DIMENSIONS, random_state=0).fit_transform(tfidf_NV)
    return np.asarray(points_ND, dtype=np.float32)


def diverse(points_ND: NDArray[Any], n: int, is_taken_N: NDArray[np.bool_]) -> list[int]:
    """The rows that make the taken rows a diverse sample of n rows: one row of each cluster that has no taken row.

    It is the first row of the cluster, not the nearest to the centre: typical rows are more often right than others, so
    they would be a poor measure of the others. If there are fewer than n clusters, the first other rows follow.

    Args:
        points_ND: The rows in random order.
        n: How many rows to have, the taken rows included.
        is_taken_N: Which rows are taken already.
    """
    from sklearn.cluster import KMeans

    more = n - int(is_taken_N.sum())
    if more <= 0:
        return []
    unit_ND = points_ND / np.maximum(np.linalg.norm(points_ND, axis=1, keepdims=True), 1e-12)
    clusters = min(n, len(np.unique(unit_ND, axis=0)))
    label_N = KMeans(clusters, n_init=1, random_state=0).fit_predict(unit_ND)
    is_open_N = ~is_taken_N & ~np.isin(label_N, label_N[is_taken_N])
    (open_rows,) = np.nonzero(is_open_N)
    firsts = open_rows[np.unique(label_N[open_rows], return_index=True)[1]]
    is_other_N = ~is_taken_N
    is_other_N[firsts] = False
    chosen = [*np.sort(firsts).tolist(), *np.flatnonzero(is_other_N).tolist()]
    return sorted(chosen[:more])
