"""Signals compared with what is usual for rows that ask the same.

What is asked moves every signal: the answer to a sum has another loss than a poem, be they right or wrong. So the
detector also reads each signal less its median over the peers of the row. These are the NEAREST rows of the dataset and
trusted rows by the cosine of the states before the answer, without the row itself and, for a canary, without its twin.
These states depend on the prompt alone. Most peers are right, and a few that are not hardly move a median.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oresight.tasks.detection.chunks import chunks, spread
from oresight.tasks.detection.twins import unit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
States = NDArray[Any]
NEAREST = 10
"""Peers of a row."""
MOST = 2000
"""About how many rows of the dataset, and how many trusted rows, can be peers: the pool."""


@dataclass(frozen=True)
class Peers:
    """States of rows, trusted rows and canaries, and the pool. Peers are positions in the pool."""

    state_NS: States
    state_RS: States
    state_CS: States
    twins_C: Ints
    """Positions of the canaries' twins among the trusted rows."""
    rows: Ints
    """Positions of the rows that are in the pool; they come first there."""
    trusted: Ints
    """Positions of the trusted rows that are in the pool."""
    pool_PS: States
    """States of the pool, scaled to length one."""

    @staticmethod
    def of(state_NS: States, state_RS: States, state_CS: States, twins_C: Ints) -> "Peers":
        """The peers by the states of rows, trusted rows and canaries, in an order that carries no information."""
        rows, trusted = spread(len(state_NS), MOST), spread(len(state_RS), MOST)
        return Peers(
            state_NS=state_NS,
            state_RS=state_RS,
            state_CS=state_CS,
            twins_C=twins_C,
            rows=rows,
            trusted=trusted,
            pool_PS=unit(np.vstack([pool for pool in (state_NS[rows], state_RS[trusted]) if len(pool)])),
        )

    def of_rows(self, part: slice) -> Ints:
        """The peers of a part of the rows [M, K]."""
        return self._nearest(self.state_NS[part], np.arange(*part.indices(len(self.state_NS))), self.rows, 0)

    def of_trusted(self) -> Ints:
        """The peers of the trusted rows [R, K]."""
        return self._apart_from(self.state_RS, np.arange(len(self.state_RS)))

    def of_canaries(self) -> Ints:
        """The peers of the canaries [C, K]."""
        return self._apart_from(self.state_CS, self.twins_C)

    def _apart_from(self, state_MS: States, excluded_M: Ints) -> Ints:
        """The peers [M, K], without the trusted row that is excluded for each."""
        first = len(self.rows)
        nearest = [self._nearest(state_MS[p], excluded_M[p], self.trusted, first) for p in chunks(len(state_MS))]
        return np.concatenate(nearest) if nearest else np.empty((0, 1), dtype=np.int64)

    def _nearest(self, state_MS: States, excluded_M: Ints, candidates: Ints, first: int) -> Ints:
        """The nearest of the pool [M, K].

        excluded_M: the position, among the candidates' kind, that a row must not have as its peer: its own, or its
        twin's. candidates: positions of that kind in the pool, rising, from `first` on.
        """
        k = min(NEAREST, len(self.pool_PS) - 1)
        cosine_MP = unit(state_MS) @ self.pool_PS.T
        at_M = np.searchsorted(candidates, excluded_M)
        is_there_M = at_M < len(candidates)
        is_there_M[is_there_M] = candidates[at_M[is_there_M]] == excluded_M[is_there_M]
        cosine_MP[np.flatnonzero(is_there_M), first + at_M[is_there_M]] = -np.inf
        return np.argpartition(-cosine_MP, k - 1, axis=1)[:, :k]


def with_peers(x_MS: Floats, peers_MK: Ints, pool_PS: Floats) -> Floats:
    """Signals, and the same signals less their medians over the peers [M, 2 S]. pool_PS: signals of the pool."""
    usual_MS = np.median(pool_PS[peers_MK], axis=1) if len(x_MS) else x_MS
    return np.concatenate([x_MS, x_MS - usual_MS], axis=1)
