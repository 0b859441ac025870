"""Answers that are shorter, or longer, than (almost) all trusted answers. Trusted rows say nothing about such answers.

A cut answer is short, so where the trusted rows have no short answers, each right one looks cut to the detector. Let a
share x of the dataset be shorter than all R trusted answers but m. If the trusted rows were drawn as the dataset is,
at most m of them would be as short with probability P(Binomial(R, x) <= m). Where this is below SIGNIFICANT for an m of
at most FEW, the shorter answers are beyond the trusted ones; the same for longer ones.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

Numbers = NDArray[Any]
FEW = 2
SIGNIFICANT = 0.025
MOST_BINS = 5
ROWS_A_BIN = 10
"""Trusted rows for each bin of lengths, in the mean; more bins would fit weights to chance."""


def beyond(length_N: Numbers, length_R: Numbers) -> NDArray[np.int8]:
    """-1 for answers that are shorter than the trusted ones, 1 for longer ones, 0 for all others [N].

    Args:
        length_N: Tokens of the answers, of rows of the dataset.
        length_R: The same of the trusted rows.
    """
    sides = np.zeros(len(length_N), dtype=np.int8)
    for side in (-1, 1) if len(length_N) else ():
        for m, bound in enumerate(np.sort(-side * length_R)[: FEW + 1]):
            is_out = -side * length_N < bound
            if binom.cdf(m, len(length_R), is_out.mean()) < SIGNIFICANT:
                sides[is_out] = side
    return sides


def bins(length_N: Numbers, length_R: Numbers) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bins of length of the rows and of the trusted rows. Each has about as many rows of the dataset."""
    count = max(1, min(MOST_BINS, len(length_R) // ROWS_A_BIN))
    edges = np.unique(np.quantile(length_N, np.arange(1, count) / count)) if len(length_N) else length_N
    return np.searchsorted(edges, length_N), np.searchsorted(edges, length_R)
