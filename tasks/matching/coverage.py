"""What a dataset has for each trusted row: the nearest row that could be kept, and the most similar trusted row."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oresight.tasks.matching.policy import Choice
from oresight.tasks.matching.similarity import Cosines, Floats, Ints

COVERAGE = pa.schema([
    ("sample_id", pa.string()), ("nearest", pa.string()), ("similarity", pa.float32()), ("twin", pa.string()),
    ("twin_similarity", pa.float32()), ("floor", pa.float32()),
])  # fmt: skip


@dataclass
class Coverage:
    """The coverage of R trusted rows, over the parts of a dataset that were added."""

    nearest_R: NDArray[np.object_]
    similarity_R: Floats
    floor_R: Floats
    twin_R: Ints
    twin_similarity_R: Floats

    @staticmethod
    def of(trusted: int) -> "Coverage":
        """The coverage by no rows."""
        none_R = np.full(trusted, np.nan, dtype=np.float32)
        return Coverage(np.full(trusted, None), none_R, none_R.copy(), np.full(trusted, -1), none_R.copy())

    def add(self, sample_ids: pa.Array, similarity: Cosines, choice: Choice) -> None:
        """Add the rows of a part, and how they were matched."""
        closest_R, near_R = choice.matches.closest_R, choice.matches.closest_similarity_R
        is_nearer_R = ~(near_R <= self.similarity_R)
        self.nearest_R[is_nearer_R] = np.array(sample_ids.take(pa.array(closest_R)).to_pylist(), dtype=object)[
            is_nearer_R
        ]
        self.similarity_R[is_nearer_R], self.floor_R[is_nearer_R] = near_R[is_nearer_R], choice.floor
        self.twin_R, self.twin_similarity_R = similarity.twins()

    def table(self, trusted_ids: pa.Array) -> pa.Table:
        """A table of COVERAGE. Empty if no part was added."""
        is_known_R = np.array([nearest is not None for nearest in self.nearest_R], dtype=bool)
        twins = trusted_ids.take(pa.array(self.twin_R, mask=self.twin_R < 0))
        columns = [
            trusted_ids, pa.array(self.nearest_R, pa.string()), pa.array(self.similarity_R), twins,
            pa.array(self.twin_similarity_R, mask=self.twin_R < 0), pa.array(self.floor_R),
        ]  # fmt: skip
        return pa.table(columns, schema=COVERAGE).filter(pa.array(is_known_R))
