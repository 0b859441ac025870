"""Rows that are unlike all trusted rows. Unlike is not wrong: trusted rows say nothing about such rows.

A classifier tells trusted rows from rows of the dataset by the state before the answer. This state depends on the
prompt alone, so a wrong answer makes no row unlike. The classifier's log-odds are the score of a test for novelty
(AdaDetect; Marandon, Lei, Mary and Roquain, 2024):

    p(row) = (1 + sum_k |trusted rows i of fold k: odds_k(i) <= odds_k(row)|) / (1 + trusted rows)

Below the lowest odds of a trusted row the p-value falls on, as in estimate.py.
For fold k, the trusted rows of the fold stand among the rows of the dataset when the classifier is fitted, so that it
treats them and a row that asks the same alike. Benjamini-Hochberg then bounds the share of rows that are called unlike
although they ask what trusted rows ask.

Rows are unlike, too, if their answers are shorter or longer than those of the trusted rows (lengths.py).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control
from sklearn.linear_model import LogisticRegression

from oresight.tasks.detection.chunks import chunks, mean_of, spread
from oresight.tasks.detection.estimate import with_normal_tail
from oresight.tasks.detection.inputs import FOLDS, folds
from oresight.tasks.detection.lengths import Features, beyond
from oresight.tasks.detection.mixture import Weights, weights
from oresight.tasks.detection.twins import unit

Floats = NDArray[Any]
UNLIKE = {
    "asks": "ask nothing that a trusted row asks",
    "shorter": "have shorter answers than the trusted rows",
    "longer": "have longer answers than the trusted rows",
}
"""Why rows are unlike all trusted rows."""
RATE = 0.1
"""Stated share, among the rows that are called unlike, of rows that are not."""
INVERSE_L2 = 0.001
"""As scikit-learn's C, on states that are scaled to a mean square of one."""
MOST_ROWS = 5000
"""Most rows of the dataset that a classifier is fitted on."""


@dataclass(frozen=True)
class Likeness:
    """How rows of the dataset relate to the trusted rows."""

    because_N: NDArray[Any]
    """Why a row is unlike all trusted rows, one of UNLIKE; None for all others."""
    nearest_N: NDArray[np.int64]
    """Position of the trusted row with the most similar prompt."""
    cosine_N: Floats
    """Cosine of the two states, less the mean state of the dataset."""
    weights: Weights
    """How much each trusted row and each row counts."""

    @property
    def is_unlike_N(self) -> NDArray[np.bool_]:  # noqa: N802
        """Whether a row is unlike all trusted rows."""
        return pd.notna(self.because_N)


def likeness(rows: Features, trusted: Features) -> Likeness:
    """Compare rows of the dataset, in an order that carries no information, with trusted rows."""
    state_NS, state_RS = rows.state_MS, trusted.state_MS
    mean_S = mean_of(state_NS)
    squares = sum(np.square(state_NS[part] - mean_S).sum(dtype=np.float64) for part in chunks(len(state_NS)))
    scale = np.sqrt(squares / max(state_NS.size, 1)).astype(state_NS.dtype) or 1.0
    trusted_RS = (state_RS - mean_S) / scale
    sample_MS = (state_NS[spread(len(state_NS), MOST_ROWS)] - mean_S) / scale
    fold_R = folds(len(trusted_RS))
    models = [_classifier(trusted_RS, fold_R == k, sample_MS) for k in range(FOLDS)]
    sorted_odds = [np.sort(model.decision_function(trusted_RS[fold_R == k])) for k, model in enumerate(models)]
    lower_N, mean_N, nearest_N = (np.zeros(len(state_NS), dtype=kind) for kind in (float, float, np.int64))
    cosine_N, trusted_unit_RS = np.zeros(len(state_NS)), unit(trusted_RS)
    for chunk in chunks(len(state_NS)):
        rows_CS = (state_NS[chunk] - mean_S) / scale
        for model, odds in zip(models, sorted_odds, strict=True):
            odds_C = model.decision_function(rows_CS)
            lower_N[chunk] += np.searchsorted(odds, odds_C, side="right")
            mean_N[chunk] += odds_C / FOLDS
        cosine_CR = unit(rows_CS) @ trusted_unit_RS.T
        nearest_N[chunk], cosine_N[chunk] = cosine_CR.argmax(1), cosine_CR.max(1)
    p_N = with_normal_tail((1 + lower_N) / (1 + len(trusted_RS)), -mean_N, -np.concatenate(sorted_odds))
    asks_else_N = false_discovery_control(p_N) <= RATE
    side_N = beyond(rows, trusted, ~asks_else_N)
    because_N = np.full(len(state_NS), None, dtype=object)
    because_N[asks_else_N] = "asks"
    because_N[side_N < 0], because_N[side_N > 0] = "shorter", "longer"
    return Likeness(because_N, nearest_N, cosine_N, weights(rows, trusted, ~asks_else_N & (side_N == 0)))


def _classifier(trusted_RS: Floats, is_held_out_R: NDArray[np.bool_], sample_MS: Floats) -> Any:
    """A model of trusted rows against the sample of the dataset, to which the held-out trusted rows are added."""
    others = np.concatenate([sample_MS, trusted_RS[is_held_out_R]])
    ours = trusted_RS[~is_held_out_R]
    model: Any = LogisticRegression(C=INVERSE_L2, max_iter=300, class_weight="balanced")
    return model.fit(np.concatenate([ours, others]), np.repeat([1, 0], [len(ours), len(others)]))
