"""What a dataset has for each trusted row: the nearest row that could be kept, and the most similar trusted row."""

import numpy as np
import pyarrow as pa

from oresight.tasks.matching.round_robin import Matches
from oresight.tasks.matching.similarity import Cosines

COVERAGE = pa.schema([
    ("sample_id", pa.string()), ("nearest", pa.string()), ("similarity", pa.float32()), ("twin", pa.string()),
    ("twin_similarity", pa.float32()), ("floor", pa.float32()),
])  # fmt: skip


class Coverage:
    """The nearest row of each of R trusted rows, over the parts of a dataset that were added."""

    def __init__(self, trusted: int) -> None:
        self.nearest_R = np.full(trusted, -1)
        self.similarity_R = np.full(trusted, -np.inf, dtype=np.float32)

    def add(self, rows_N: np.ndarray[tuple[int], np.dtype[np.int64]], matches: Matches) -> None:
        """Add the rows of a part, and how they were matched. rows_N: their numbers in the dataset."""
        is_nearer_R = matches.closest_similarity_R > self.similarity_R
        self.nearest_R[is_nearer_R] = rows_N[matches.closest_R][is_nearer_R]
        self.similarity_R[is_nearer_R] = matches.closest_similarity_R[is_nearer_R]

    def table(self, trusted_ids: pa.Array, sample_ids: pa.ChunkedArray, similarity: Cosines, floor: float) -> pa.Table:
        """A table of COVERAGE. floor: the similarity from which on trusted rows take rows."""
        twin_R, twin_similarity_R = similarity.twins()
        columns = [
            trusted_ids, sample_ids.take(pa.array(self.nearest_R)), pa.array(self.similarity_R),
            trusted_ids.take(pa.array(twin_R, mask=twin_R < 0)), pa.array(twin_similarity_R, mask=twin_R < 0),
            pa.array(np.full(len(trusted_ids), floor, dtype=np.float32)),
        ]  # fmt: skip
        return pa.table(columns, schema=COVERAGE)
