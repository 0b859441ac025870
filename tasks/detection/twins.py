"""A canary is a copy of a trusted row, its twin; what the twin says of it must not help to judge it.

So its value is taken against the other trusted rows, as the twin's own is (leave one out), from the index:
    value(c; R without its twin t) = (n value(c; R) - <vector_c, vector_t>) / (n - 1)       n trusted rows
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEAREST = 20
"""Trusted rows that a local value is the mean over, as in scoring/signals.py."""


def without_twin(
    value_C: Floats,
    vector_CM: Floats,
    state_CS: Floats,
    twins_C: NDArray[np.int64],
    vector_RM: Floats,
    state_RS: Floats,
) -> tuple[Floats, Floats]:
    """Value and local value of canaries against the trusted rows but their twins, from that against all of them."""
    n, each = len(vector_RM), np.arange(len(twins_C))
    products_CR = vector_CM @ vector_RM.T
    value = (n * value_C - products_CR[each, twins_C]) / (n - 1)
    near_CR = unit(state_CS) @ unit(state_RS).T
    near_CR[each, twins_C] = -np.inf
    nearest = np.argsort(-near_CR, axis=1, kind="stable")[:, : min(NEAREST, n - 1)]
    local: Floats = np.take_along_axis(products_CR, nearest, 1).mean(1)
    return value, local


def unit(x_ND: Floats) -> Floats:
    """Rows of length one; a row of zeros stays."""
    size_N1 = np.linalg.norm(x_ND, axis=1, keepdims=True)
    found: Floats = x_ND / np.where(size_N1 > 0, size_N1, 1)
    return found
