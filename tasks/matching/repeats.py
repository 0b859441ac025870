"""Rows that nearly repeat a better row, by the cosine of their index vectors."""

import numpy as np
import pyarrow as pa

BATCH = 1024
"""Rows whose neighbours are looked up at once: a batch against 100,000 rows is 0.4 GB of cosines."""
NO_REPEATS = pa.table(
    {"sample_id": pa.array([], pa.string()), "better": pa.array([], pa.string()), "cosine": pa.array([], pa.float64())}
)


def near_repeats(candidates: pa.Table, least: float) -> pa.Table:
    """Candidates that nearly repeat a better one: columns sample_id, better (the row that is kept instead), cosine.

    Greedy, as in the non-maximum suppression of object detection: the best row is kept, and rows with a cosine of
    `least` or more to it are removed; then the best of the remaining rows, and so on. A row is never removed because of
    a row that is itself removed.

    Args:
        candidates: Columns sample_id and vector (all of one length), best first.
        least: Cosine from which on two rows count as nearly the same, above 0.
    """
    from sklearn.neighbors import NearestNeighbors  # takes a second to import, and few runs need it

    if candidates.num_rows < 2:
        return NO_REPEATS
    sample_ids = candidates["sample_id"].to_pylist()
    vectors = np.stack(candidates["vector"].to_numpy()).astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit_ND = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    # For unit vectors |a - b|^2 = 2 - 2 cos. A row of zeros is at distance 1 from all others and repeats none.
    neighbors = NearestNeighbors(radius=float(np.sqrt(max(0.0, 2 - 2 * least))) + 1e-4, algorithm="brute").fit(unit_ND)
    better = np.full(len(sample_ids), -1)
    for start in range(0, len(sample_ids), BATCH):
        batch = unit_ND[start : start + BATCH]
        for row, others in enumerate(neighbors.radius_neighbors(batch, return_distance=False), start):
            if better[row] < 0:
                later = others[(others > row) & (better[others] < 0)]
                better[later[unit_ND[later] @ unit_ND[row] >= least - 1e-6]] = row
    (removed,) = np.nonzero(better >= 0)
    cosines = np.einsum("nd,nd->n", unit_ND[removed], unit_ND[better[removed]])
    return pa.table(
        {
            "sample_id": [sample_ids[row] for row in removed],
            "better": [sample_ids[row] for row in better[removed]],
            "cosine": cosines.astype(float),
        },
        schema=NO_REPEATS.schema,
    )
