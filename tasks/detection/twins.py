"""Values of canaries without their twins.

A canary is a copy of a trusted row, its twin. The twin must not help to judge its copy.

A canary is valued against the other trusted rows, as its twin is (leave one out), from the index:
    value(c; R without its twin t) = (n value(c; R) - <vector_c, vector_t>) / (n - 1)       n trusted rows
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEAREST = 20
"""Trusted rows over which a local value is the mean, as in scoring/signals.py."""


def without_twin(
    *,
    value_C: Floats,
    vector_CM: Floats,
    state_CS: Floats,
    twins_C: NDArray[np.int64],
    vector_RM: Floats,
    state_RS: Floats,
) -> tuple[Floats, Floats]:
    """Value and local value of canaries against all trusted rows but their own twins.

    Args:
        value_C: Values of the canaries against all trusted rows.
        vector_CM: Index vectors of the canaries.
        state_CS: Projected first answer states of the canaries.
        twins_C: Positions of the canaries' twins among the trusted rows.
        vector_RM: Index vectors of the trusted rows.
        state_RS: Projected first answer states of the trusted rows.
    """
    n, positions = len(vector_RM), np.arange(len(twins_C))
    products_CR = vector_CM @ vector_RM.T
    value = (n * value_C - products_CR[positions, twins_C]) / (n - 1)
    cosine_CR = unit(state_CS) @ unit(state_RS).T
    cosine_CR[positions, twins_C] = -np.inf
    nearest = np.argsort(-cosine_CR, axis=1, kind="stable")[:, : min(NEAREST, n - 1)]
    local: Floats = np.take_along_axis(products_CR, nearest, 1).mean(1)
    return value, local


def unit(x_ND: Floats) -> Floats:
    """Rows scaled to length one; a row of zeros stays as it is."""
    length_N1 = np.linalg.norm(x_ND, axis=1, keepdims=True)
    scaled_ND: Floats = x_ND / np.where(length_N1 > 0, length_N1, 1)
    return scaled_ND
