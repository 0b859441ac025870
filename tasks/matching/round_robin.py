"""Round robin: the trusted rows take in turn their nearest row that is still free and fits the budget.

Every trusted row is served equally, whereas a sum or a mean over the trusted rows follows its loudest kind.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oresight.tasks.matching.similarity import BLOCK, Floats, Ints, Similarity

LISTED = 2**22
"""Nearest rows that are listed at a time, of all trusted rows together: 0.1 GB."""
WINDOW = 256
"""Listed rows that are looked at together for those that are free."""


class Matches(NamedTuple):
    """Which trusted row takes which row."""

    order_N: Ints
    """All rows, the first taken first; then rows that were not taken, the nearest to a trusted row first."""
    taken: int
    """How many rows were taken."""
    trusted_N: Ints
    """The trusted row that took each row; for a row that was not taken, the nearest one."""
    round_N: Ints
    """In which round, from 1; 0 for a row that was not taken."""
    similarity_N: Floats
    """Similarity of each row and its trusted row."""
    closest_R: Ints
    """The row that is nearest to each trusted row, free or not."""
    closest_similarity_R: Floats


def round_robin(
    similarity: Similarity,
    tokens_N: Ints,
    rows: int | None = None,
    tokens: int | None = None,
    floor: float = -np.inf,
    is_free_N: NDArray[np.bool_] | None = None,
    block: int = BLOCK,
) -> Matches:
    """Let trusted rows take rows in turn, in their order, until a budget is spent.

    Where two rows are equally near, the one that comes first is taken.

    Args:
        similarity: Of N rows and R trusted rows, R at least 1.
        tokens_N: Answer tokens of each row.
        rows: The most rows to take.
        tokens: The most answer tokens to take. A row that no longer fits is passed over.
        floor: Trusted rows pass when only rows of a lower similarity are left.
        is_free_N: Rows that may be taken; by default all.
        block: Rows compared at a time; it changes no result.
    """
    most = similarity.shape[1] if rows is None else min(rows, similarity.shape[1])
    free_N = np.ones(similarity.shape[1], dtype=bool) if is_free_N is None else is_free_N.copy()
    turns = _Turns(similarity, tokens_N, floor, free_N, block)
    turns.rows_left, turns.tokens_left = most, np.inf if tokens is None else tokens
    turns.list_nearest()
    while turns.play():
        turns.list_nearest()
    nearest, best = turns.nearest_N, turns.best_N
    left = np.flatnonzero(turns.round_N == 0)
    rest = left[np.argsort(-best[left], kind="stable")]
    trusted_N = np.where(turns.round_N > 0, turns.trusted_N, nearest)
    similarity_N = np.where(turns.round_N > 0, turns.similarity_N, best)
    order_N = np.concatenate([turns.order_N[: turns.taken], rest])
    return Matches(
        order_N=order_N,
        taken=turns.taken,
        trusted_N=trusted_N,
        round_N=turns.round_N,
        similarity_N=similarity_N,
        closest_R=turns.closest_R,
        closest_similarity_R=turns.closest_similarity_R,
    )


class _Turns:
    """The state of a round robin. Each trusted row has a list of its nearest free rows; if it ends, it is made anew."""

    def __init__(
        self, similarity: Similarity, tokens_N: Ints, floor: float, free_N: NDArray[np.bool_], block: int
    ) -> None:
        self.similarity, self.tokens_N, self.floor, self.free_N, self.block = similarity, tokens_N, floor, free_N, block
        trusted, n = similarity.shape
        self.rows_left, self.tokens_left = n, np.inf
        self.length = min(n, max(LISTED // trusted, 1))
        self.order_N, self.taken = np.empty(n, dtype=np.int64), 0
        self.trusted_N, self.round_N = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self.similarity_N = np.zeros(n, dtype=np.float32)
        self.nearest_N, self.best_N = np.zeros(n, dtype=np.int64), np.full(n, -np.inf, dtype=np.float32)
        self.closest_R = np.zeros(trusted, dtype=np.int64)
        self.closest_similarity_R = np.full(trusted, -np.inf, dtype=np.float32)
        self.round, self.turn = 1, list(range(trusted))
        self.at = self.listings = 0

    def list_nearest(self) -> None:
        """List the nearest free rows of every trusted row that still takes turns."""
        lists = {t: _Nearest(self.length, self.floor) for t in self.turn}
        is_usable_N = self.free_N & (self.tokens_N <= self.tokens_left)
        compared = np.flatnonzero(is_usable_N) if self.listings else np.arange(len(is_usable_N))
        for start in range(0, len(compared), self.block):
            rows = compared[start : start + self.block]
            x_RB = self.similarity.of(rows)
            if not self.listings:
                self._note_nearest(rows, x_RB)
            usable_B = is_usable_N[rows]
            for t in self.turn:
                lists[t].add(rows[usable_B], x_RB[t, usable_B])
        self.listings += 1
        self.lists = {t: nearest.sorted() for t, nearest in lists.items()}
        self.complete = {t: nearest.complete for t, nearest in lists.items()}
        self.queues: dict[int, list[tuple[int, float]]] = {t: [] for t in self.turn}
        self.cursor = dict.fromkeys(self.turn, 0)

    def _note_nearest(self, rows: Ints, x_RB: Floats) -> None:
        """Note the nearest trusted row of each row, and the nearest row of each trusted row."""
        self.nearest_N[rows], self.best_N[rows] = x_RB.argmax(0), x_RB.max(0)
        is_nearer_R = x_RB.max(1) > self.closest_similarity_R
        self.closest_R[is_nearer_R] = rows[x_RB.argmax(1)][is_nearer_R]
        self.closest_similarity_R[is_nearer_R] = x_RB.max(1)[is_nearer_R]

    def play(self) -> bool:
        """Take turns. Returns whether new lists are needed to go on."""
        least = int(self.tokens_N.min(initial=0))
        while self.turn and self.rows_left and self.tokens_left >= least:
            if self.at == len(self.turn):
                self.round, self.at = self.round + 1, 0
                continue
            t = self.turn[self.at]
            match = self._next(t)
            if match is None and not self.complete[t]:
                return True
            if match is None:
                del self.turn[self.at]  # it passes from now on
                continue
            row, near = match
            self.free_N[row] = False
            self.order_N[self.taken], self.taken = row, self.taken + 1
            self.trusted_N[row], self.round_N[row], self.similarity_N[row] = t, self.round, near
            self.rows_left, self.tokens_left = self.rows_left - 1, self.tokens_left - int(self.tokens_N[row])
            self.at += 1
        return False

    def _next(self, t: int) -> tuple[int, float] | None:
        """The nearest listed row that is free and fits."""
        while True:
            queue = self.queues[t]
            while queue:
                row, near = queue.pop()
                if self.free_N[row] and self.tokens_N[row] <= self.tokens_left:
                    return row, near
            rows, near_ = self.lists[t]
            window = slice(self.cursor[t], self.cursor[t] + WINDOW)
            if window.start >= len(rows):
                return None
            self.cursor[t] = window.stop
            usable = self.free_N[rows[window]] & (self.tokens_N[rows[window]] <= self.tokens_left)
            self.queues[t] = [*zip(rows[window][usable].tolist(), near_[window][usable].tolist(), strict=True)][::-1]


class _Nearest:
    """The nearest rows of a trusted row, at most `length` of them. Of equally near rows, those that come first."""

    def __init__(self, length: int, floor: float) -> None:
        self.length, self.floor, self.complete = length, floor, True
        self.is_floor_taken = True
        self.rows: list[Ints] = []
        self.near: list[Floats] = []
        self.listed = 0

    def add(self, rows: Ints, near: Floats) -> None:
        """Add rows that come after all rows that were added before."""
        is_near = near >= self.floor if self.is_floor_taken else near > self.floor
        self.rows.append(rows[is_near])
        self.near.append(near[is_near])
        self.listed += len(self.rows[-1])
        if self.listed > 2 * self.length:
            self._cut()

    def _cut(self) -> None:
        """Keep the nearest rows, in the order in which they came."""
        rows, near = np.concatenate(self.rows), np.concatenate(self.near)
        if len(rows) > self.length:
            self.complete, self.is_floor_taken = False, False
            last = np.partition(near, len(near) - self.length)[len(near) - self.length]
            ties = np.flatnonzero(near == last)[: self.length - int((near > last).sum())]
            kept = near > last
            kept[ties] = True
            rows, near, self.floor = rows[kept], near[kept], float(last)
        self.rows, self.near, self.listed = [rows], [near], len(rows)

    def sorted(self) -> tuple[Ints, Floats]:
        """The rows, the nearest first, and their similarities."""
        if not self.rows:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        self._cut()
        order = np.argsort(-self.near[0], kind="stable")
        return self.rows[0][order], self.near[0][order]
