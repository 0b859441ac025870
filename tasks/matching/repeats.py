"""Rows that nearly repeat a better row, by the cosine of their index vectors."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oresight.tasks.matching.similarity import BLOCK, Floats, Ints, inverse_norms

ROUNDING = np.float32(1e-6)
"""A row of the same vector has this cosine to 1 at least, in float32."""


class Repeats(NamedTuple):
    """Rows that nearly repeat a better one, the best first."""

    rows: Ints
    better: Ints
    """The row that is kept instead of each."""
    cosine: Floats


def near_repeats(vector_NM: NDArray[np.int8], order_N: Ints, least: float) -> Repeats:
    """The rows that nearly repeat a better one.

    Greedy, as in the non-maximum suppression of object detection: the best row is kept, and rows with a cosine of
    `least` or more to it are removed; then the best of the remaining rows, and so on. A row is never removed because of
    a row that is itself removed. A row of zeros repeats none. Rows are compared with those that are kept before them,
    so the time is quadratic in these.

    Args:
        vector_NM: Index vectors, which may be on the disk.
        order_N: The rows, best first.
        least: Cosine from which on two rows count as nearly the same, above 0.
    """
    nearly = np.float32(least) - ROUNDING
    better_N, cosine_N, kept = np.full(len(order_N), -1), np.zeros(len(order_N), np.float32), np.empty(0, np.int64)
    for start in range(0, len(order_N), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(order_N)))
        x_BM = vector_NM[order_N[block]].astype(np.float32)
        scale_B, left = inverse_norms(x_BM), np.arange(len(block))
        for first in range(0, len(kept), BLOCK):
            others = kept[first : first + BLOCK]
            y_KM = vector_NM[order_N[others]].astype(np.float32)
            dot_LK = x_BM[left] @ y_KM.T  # exact, as in similarity.py
            dot_LK *= inverse_norms(y_KM)
            is_near_L = dot_LK.max(1) * scale_B[left] >= nearly
            if is_near_L.any():
                near = left[is_near_L]
                cosine_MK = dot_LK[is_near_L] * scale_B[near, None]
                best = (cosine_MK >= nearly).argmax(1)
                better_N[block[near]], cosine_N[block[near]] = others[best], cosine_MK[np.arange(len(near)), best]
                left = left[~is_near_L]
        cosine_LL = (x_BM[left] @ x_BM[left].T) * scale_B[left] * scale_B[left, None]
        is_near_LL = np.triu(cosine_LL >= nearly, 1)
        for i in np.flatnonzero(is_near_LL.any(1)):
            if better_N[block[left[i]]] < 0:
                later = np.flatnonzero(is_near_LL[i] & (better_N[block[left]] < 0))
                better_N[block[left[later]]], cosine_N[block[left[later]]] = block[left[i]], cosine_LL[i, later]
        kept = np.concatenate([kept, block[better_N[block] < 0]])
    removed = np.flatnonzero(better_N >= 0)
    return Repeats(order_N[removed], order_N[better_N[removed]], cosine_N[removed])
