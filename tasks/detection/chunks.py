"""Rows a chunk at a time, so that what is computed for all of them does not fill the memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 8192
"""Rows that are read, compared or judged at once."""


def chunks(n: int) -> Iterator[slice]:
    """The positions of n rows, CHUNK at a time."""
    return (slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))


def mean_of(state_NS: NDArray[Any], is_counted_N: NDArray[np.bool_] | None = None) -> NDArray[Any]:
    """The mean of the states [S], of those that are counted."""
    total_S, n = np.zeros(state_NS.shape[1]), 0
    for part in chunks(len(state_NS)):
        counted = state_NS[part] if is_counted_N is None else state_NS[part][is_counted_N[part]]
        total_S, n = total_S + counted.sum(0, dtype=np.float64), n + len(counted)
    return (total_S / max(n, 1)).astype(state_NS.dtype)


def spread(n: int, most: int) -> NDArray[np.int64]:
    """Every k-th of n positions, so that they are about so many at most."""
    return np.arange(0, n, max(1, n // most))
