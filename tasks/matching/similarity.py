"""How near rows are to trusted rows: the mean of two cosines.

    index cosine  of index vectors: do the rows teach the same?
    text cosine   of text states, less the mean of all rows: are they about the same?

Cosines do not grow with the length or the error of a row. Vectors are 8-bit integers, and products of integers are
exact, so that neither blocks nor threads change a similarity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
BLOCK = 4096
"""Rows that are compared with all trusted rows at a time."""


@dataclass(frozen=True)
class Vectors:
    """The stored vectors of N rows."""

    index_NM: NDArray[np.int8]
    """Index vectors; a cosine needs no unit."""
    text_NS: NDArray[np.int8]
    """Text states, in steps of text_unit_N."""
    text_unit_N: Floats

    def text_mean(self, order_N: Ints) -> NDArray[np.float64]:
        """The mean text state [S], added up in this order of the rows: another order may differ in the last digit."""
        total_S = np.zeros(self.text_NS.shape[1])
        for start in range(0, len(order_N), BLOCK):
            block = order_N[start : start + BLOCK]
            total_S += self.text_unit_N[block].astype(np.float64) @ self.text_NS[block].astype(np.float64)
        return total_S / max(len(self.text_NS), 1)


@dataclass(frozen=True)
class Centred:
    """Text states less a mean, in steps of their own, of the rows that are asked for."""

    vectors: Vectors
    mean_S: Floats

    def __len__(self) -> int:
        return len(self.vectors.text_NS)

    def __getitem__(self, rows: Ints) -> NDArray[np.int8]:
        x_BS = self.vectors.text_NS[rows] * self.vectors.text_unit_N[rows, None] - self.mean_S
        step_B1 = np.maximum(np.abs(x_BS).max(1, keepdims=True), np.float32(1e-30)) / np.float32(127)
        steps_BS: NDArray[np.int8] = np.rint(x_BS / step_B1).astype(np.int8)
        return steps_BS


class Similarity(Protocol):
    """How near N rows are to R trusted rows."""

    @property
    def shape(self) -> tuple[int, int]:
        """R and N."""

    def of(self, rows: Ints) -> Floats:
        """The similarities of these rows [R, rows]."""


@dataclass(frozen=True)
class Cosines:
    """The mean of cosines, as a rule of those of index vectors and of text states."""

    parts: Sequence[tuple[Floats, NDArray[np.int8] | Centred]]
    """Vectors of the trusted rows and of the rows, which are whole numbers below 128. Each part has its cosine."""

    @staticmethod
    def between(
        rows: Vectors, trusted: Vectors, parts: Sequence[str] = ("index", "text"), order_N: Ints | None = None
    ) -> "Cosines":
        """The similarity of rows and trusted rows.

        parts: which cosines the mean is over. order_N: the order of the rows in which their mean is computed.
        """
        mean_S = rows.text_mean(np.arange(len(rows.text_NS)) if order_N is None else order_N).astype(np.float32)
        made: dict[str, tuple[Floats, NDArray[np.int8] | Centred]] = {
            "index": (trusted.index_NM.astype(np.float32), rows.index_NM),
            "text": (
                Centred(trusted, mean_S)[np.arange(len(trusted.text_NS))].astype(np.float32),
                Centred(rows, mean_S),
            ),
        }
        return Cosines([made[part] for part in parts])

    @property
    def shape(self) -> tuple[int, int]:
        """R and N."""
        trusted_RD, rows_ND = self.parts[0]
        return len(trusted_RD), len(rows_ND)

    def of(self, rows: Ints) -> Floats:
        """The similarities of these rows [R, rows]."""
        total_RB = np.zeros((self.shape[0], len(rows)), dtype=np.float32)
        for trusted_RD, rows_ND in self.parts:
            x_BD = rows_ND[rows].astype(np.float32)
            scale_R, scale_B = inverse_norms(trusted_RD), inverse_norms(x_BD)
            # Sums of at most 256 products of 8-bit integers are below 2^24: float32 holds them exactly, in any order.
            total_RB += (trusted_RD @ x_BD.T) * scale_R[:, None] * scale_B
        return total_RB / np.float32(len(self.parts))

    def twins(self) -> tuple[Ints, Floats]:
        """For each trusted row the most similar other one, and their similarity; -1 for a lone row."""
        trusted = self.shape[0]
        twin_R, near_R = np.full(trusted, -1), np.full(trusted, -np.inf, dtype=np.float32)
        if trusted > 1:
            alike = Cosines([(trusted_RD, trusted_RD.astype(np.int8)) for trusted_RD, _ in self.parts])
            for start in range(0, trusted, BLOCK):
                rows = np.arange(start, min(start + BLOCK, trusted))
                x_RB = alike.of(rows)
                x_RB[rows, rows - start] = -np.inf
                twin_R[rows], near_R[rows] = x_RB.argmax(0), x_RB.max(0)
        return twin_R, near_R


@dataclass(frozen=True)
class Some:
    """The similarities of some of the rows."""

    everything: Similarity
    rows_N: Ints

    @property
    def shape(self) -> tuple[int, int]:
        """R and N."""
        return self.everything.shape[0], len(self.rows_N)

    def of(self, rows: Ints) -> Floats:
        """The similarities of these rows [R, rows]."""
        return self.everything.of(self.rows_N[rows])


def inverse_norms(x_ND: Floats) -> Floats:
    """1 / |x| of each row, 0 for a row of zeros."""
    square_N = np.einsum("nd,nd->n", x_ND, x_ND)
    inverse_N: Floats = np.divide(1, np.sqrt(square_N), out=np.zeros_like(square_N), where=square_N > 0)
    return inverse_N


@dataclass(frozen=True)
class Matrix:
    """Similarities that are there already."""

    similarity_RN: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """R and N."""
        return self.similarity_RN.shape[0], self.similarity_RN.shape[1]

    def of(self, rows: Ints) -> Floats:
        """The similarities of these rows [R, rows]."""
        return self.similarity_RN[:, rows]
