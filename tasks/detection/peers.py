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

from oresight.tasks.detection.twins import unit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
States = NDArray[Any]
NEAREST = 10
"""Peers of a row."""
MOST = 2000
"""About how many rows of the dataset, and how many trusted rows, can be peers."""
CHUNK = 4096
"""Rows that are compared at once."""


@dataclass(frozen=True)
class Peers:
    """The peers of all rows, as positions [K] in one table: rows of the dataset, then trusted rows."""

    rows_NK: Ints
    trusted_RK: Ints
    canaries_CK: Ints

    @staticmethod
    def of(state_NS: States, state_RS: States, state_CS: States, twins_C: Ints) -> "Peers":
        """The peers by the states of rows, trusted rows and canaries, in an order that carries no information.

        twins_C: positions of the canaries' twins among the trusted rows.
        """
        n = len(state_NS)
        rows, trusted = spread(n, MOST), spread(len(state_RS), MOST)
        pool_P = np.concatenate([rows, n + trusted])
        pool_PS = unit(np.concatenate([state_NS[rows], state_RS[trusted]]))
        trusted_R = n + np.arange(len(state_RS))
        return Peers(
            rows_NK=_nearest(state_NS, np.arange(n), pool_PS, pool_P),
            trusted_RK=_nearest(state_RS, trusted_R, pool_PS, pool_P),
            canaries_CK=_nearest(state_CS, trusted_R[twins_C], pool_PS, pool_P),
        )

    def beside(self, x_NS: Floats, t_RS: Floats, c_CS: Floats) -> tuple[Floats, Floats, Floats]:
        """Signals of rows, trusted rows and canaries, with the same signals less their medians over the peers."""
        table = np.concatenate([x_NS, t_RS])
        peers = (self.rows_NK, self.trusted_RK, self.canaries_CK)
        x, t, c = (
            np.concatenate([x_MS, x_MS - _medians(table, peers_MK)], axis=1)
            for x_MS, peers_MK in zip((x_NS, t_RS, c_CS), peers, strict=True)
        )
        return x, t, c


def spread(n: int, most: int) -> Ints:
    """Every k-th of n positions, so that they are about so many at most."""
    return np.arange(0, n, max(1, n // most))


def _nearest(state_MS: States, excluded_M: Ints, pool_PS: States, pool_P: Ints) -> Ints:
    """Positions in the table of the rows of the pool with the nearest states [M, K].

    excluded_M: the position that each row must not have among its peers: its own, or its twin's. pool_P: the positions
    of the pool, rising.
    """
    k = min(NEAREST, len(pool_P) - 1)
    nearest_MK = np.empty((len(state_MS), k), dtype=np.int64)
    for start in range(0, len(state_MS), CHUNK):
        chunk = slice(start, start + CHUNK)
        cosine_MP = unit(state_MS[chunk]) @ pool_PS.T
        cosine_MP[excluded_M[chunk, None] == pool_P] = -np.inf
        nearest_MK[chunk] = pool_P[np.argpartition(-cosine_MP, k - 1, axis=1)[:, :k]]
    return nearest_MK


def _medians(table_TS: Floats, peers_MK: Ints) -> Floats:
    """Median of each signal over the peers of each row [M, S]."""
    medians_MS = np.empty((len(peers_MK), table_TS.shape[1]))
    for start in range(0, len(peers_MK), CHUNK):
        chunk = slice(start, start + CHUNK)
        medians_MS[chunk] = np.median(table_TS[peers_MK[chunk]], axis=1)
    return medians_MS
