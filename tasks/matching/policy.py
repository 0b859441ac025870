"""The rule of `splitting.by: match`: a round robin in which rows that look wrong come last.

A row is suspicious if it looks as wrong as the most suspicious tenth of the trusted rows, and more wrong than the
trusted row that it is most similar to. So at most about one good row in ten, of the trusted rows' kinds, is put last,
and a kind that the model finds hard is not put last as a whole, because its trusted rows look wrong too. The wrong rows
that the signals can tell are put last, however many there are.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oresight.tasks.matching.round_robin import Matches, round_robin
from oresight.tasks.matching.similarity import BLOCK, Floats, Ints, Similarity

SUSPICIOUS = 0.1
"""p-value up to which a row is suspicious."""


class Candidates(NamedTuple):
    """What the rule knows about N rows, besides their similarity to the trusted rows. NaN where there is no number."""

    tokens_N: Ints
    suspicion_N: NDArray[np.float64]
    p_N: NDArray[np.float64]

    def some(self, rows: Ints) -> "Candidates":
        """The same about some of the rows."""
        return Candidates(self.tokens_N[rows], self.suspicion_N[rows], self.p_N[rows])


class Choice(NamedTuple):
    """The rows in the order in which they are chosen, and why."""

    order_N: Ints
    matches: Matches
    is_suspicious_N: NDArray[np.bool_]


def choose(
    similarity: Similarity,
    candidates: Candidates,
    trusted_R: NDArray[np.float64],
    floor: float,
    *,
    rows: int | None = None,
    tokens: int | None = None,
) -> Choice:
    """Order rows: those that trusted rows take within the budget, other rows by their similarity, then suspicious rows.

    Suspicious rows are in the order of their suspicion, the least suspicious first. trusted_R: suspicions of the
    trusted rows. floor: the similarity below which a trusted row takes no row (`random_similarity`).
    """
    is_suspicious_N = suspicious(similarity, candidates, trusted_R)
    matches = round_robin(
        similarity, candidates.tokens_N, rows=rows, tokens=tokens, floor=floor, is_free_N=~is_suspicious_N
    )
    last = np.flatnonzero(is_suspicious_N)
    last = last[np.argsort(candidates.suspicion_N[last], kind="stable")]
    order_N = np.concatenate([matches.order_N[~is_suspicious_N[matches.order_N]], last])
    return Choice(order_N, matches, is_suspicious_N)


def suspicious(similarity: Similarity, candidates: Candidates, trusted_R: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows look as wrong as the worst tenth of the trusted rows, and more wrong than the nearest trusted row.

    Of fewer than ten trusted rows, the worst one stands for the tenth. trusted_R: suspicions of the trusted rows.
    """
    is_suspicious_N = candidates.p_N <= max(SUSPICIOUS, 1 / (1 + len(trusted_R))) + 1e-9
    looks_wrong = np.flatnonzero(is_suspicious_N)
    for start in range(0, len(looks_wrong), BLOCK):
        rows = looks_wrong[start : start + BLOCK]
        nearest = similarity.of(rows).argmax(0)
        is_suspicious_N[rows] = ~(candidates.suspicion_N[rows] <= trusted_R[nearest])
    return is_suspicious_N


def random_similarity(similarity: Similarity) -> float:
    """The similarity that random pairs rarely reach: their mean, plus one standard deviation."""
    n = similarity.shape[1]
    if n == 0:
        return 0.0
    x_RB: Floats = similarity.of(np.unique(np.linspace(0, n - 1, min(n, BLOCK)).astype(np.int64)))
    return float(x_RB.mean(dtype=np.float64) + x_RB.std(dtype=np.float64))
