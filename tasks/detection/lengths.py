"""Answers that are shorter, or longer, than (almost) all trusted answers, because of what is asked.

A cut answer is short, so where the trusted rows have no short answers, each right one looks cut to the detector. Let a
share x of the dataset be shorter than all R trusted answers but m. If the trusted rows were drawn as the dataset is,
at most m of them would be as short with probability P(Binomial(R, x) <= m). Where this is below SIGNIFICANT for an m of
at most FEW, the shorter answers are beyond the trusted ones; the same for longer ones.

Such answers are wrong, or the trusted rows lack the questions that are answered so. Cut answers and refusals come
whatever is asked. So a classifier tries to tell the rows of such answers by the state before the answer, which depends
on the prompt alone. Only where its cross-validated AUC is more than a standard error above one half, the trusted rows
say nothing about them. One error is little: a right row that is judged wrongly costs more than a wrong one that is not.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from oresight.tasks.detection.chunks import spread

Numbers = NDArray[Any]
FEW = 2
SIGNIFICANT = 0.025
PARTS = 5
"""Of the cross-validation."""
INVERSE_L2 = 0.01
"""As scikit-learn's C, on states that are scaled to a mean square of one."""
MOST_ROWS = 5000
"""Most rows that the classifier is fitted on."""
MOST_BINS = 5
ROWS_A_BIN = 10
"""Trusted rows for each bin of lengths, in the mean; more bins would fit weights to chance."""


class Features(NamedTuple):
    """What rows ask, and how long their answers are."""

    state_MS: Numbers
    """States before the answer, in an order that carries no information."""
    length_M: Numbers
    """Tokens of the answers."""


def beyond(rows: Features, trusted: Features, is_compared_N: NDArray[np.bool_] | None = None) -> NDArray[np.int8]:
    """-1 for answers that are shorter than the trusted ones because of what is asked, 1 for longer ones, else 0 [N].

    is_compared_N: the rows that are compared, all by default; the others are 0.
    """
    sides = np.zeros(len(rows.length_M), dtype=np.int8)
    compared = np.arange(len(sides)) if is_compared_N is None else np.flatnonzero(is_compared_N)
    sample = compared[spread(len(compared), MOST_ROWS)]
    for side in (-1, 1) if len(compared) else ():
        is_out = np.zeros(len(sides), dtype=bool)
        is_out[compared] = _is_above(side * rows.length_M[compared], side * trusted.length_M)
        if is_out.any() and _is_asked_for(rows.state_MS[sample], is_out[sample]):
            sides[is_out] = side
    return sides


def _is_above(x_N: Numbers, x_R: Numbers) -> NDArray[np.bool_]:
    """Rows above (almost) all trusted rows, if there are so many that trusted rows should be there too."""
    is_out = np.zeros(len(x_N), dtype=bool)
    for m, bound in enumerate(np.sort(x_R)[::-1][: FEW + 1]):
        is_above = x_N > bound
        if binom.cdf(m, len(x_R), is_above.mean()) < SIGNIFICANT:
            is_out = is_above
    return is_out


def _is_asked_for(state_MS: Numbers, is_out_M: NDArray[np.bool_]) -> bool:
    """Whether a classifier can tell these rows of a sample from the others by what they ask."""
    m, k = len(is_out_M), int(is_out_M.sum())
    if min(k, m - k) < PARTS:
        return False
    centred_MS = state_MS - state_MS.mean(0)
    scaled_MS = centred_MS / (np.sqrt(np.square(centred_MS).mean()) or 1.0)
    model: Any = LogisticRegression(C=INVERSE_L2, max_iter=300, class_weight="balanced")
    odds_M = cross_val_predict(model, scaled_MS, is_out_M, cv=PARTS, method="decision_function")
    error = np.sqrt((m + 1) / (12 * k * (m - k)))  # of the AUC where nothing can be told
    return bool(roc_auc_score(is_out_M, odds_M) > 0.5 + error)


def bins(length_N: Numbers, length_R: Numbers) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bins of length of the rows and of the trusted rows. Each has about as many rows of the dataset."""
    count = max(1, min(MOST_BINS, len(length_R) // ROWS_A_BIN))
    edges = np.unique(np.quantile(length_N, np.arange(1, count) / count)) if len(length_N) else length_N
    return np.searchsorted(edges, length_N), np.searchsorted(edges, length_R)
