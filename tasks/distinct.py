"""Rows that teach nearly the same as a better one: neighbours by the cosine of their index vectors."""

import numpy as np
import pyarrow as pa

BATCH = 1024
"""Rows whose neighbours are looked up at once: a batch against 100,000 rows is 0.4 GB of cosines."""
NONE = pa.table(
    {"sample_id": pa.array([], pa.string()), "better": pa.array([], pa.string()), "cosine": pa.array([], pa.float64())}
)


def repeated(candidates: pa.Table, least: float) -> pa.Table:
    """Columns sample_id, better, cosine: the candidates that are not kept, and the kept one that stands for each.

    Greedy, as in the NMS of object detection: the best row is kept, those within `least` of it go, then the best of the
    rest, and so on. A row goes only for one that stays.

    Args:
        candidates: Columns sample_id and vector (all of one length), best first.
        least: Cosine from which on two rows count as nearly the same, above 0.
    """
    from sklearn.neighbors import NearestNeighbors  # a second, for those who ask for it

    if candidates.num_rows < 2:
        return NONE
    names = candidates["sample_id"].to_pylist()
    vectors = np.stack(candidates["vector"].to_numpy()).astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit_ND = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    # For unit vectors |a - b|^2 = 2 - 2 cos. A row of zeros is at distance 1 from all, and repeats nobody.
    near = NearestNeighbors(radius=float(np.sqrt(max(0.0, 2 - 2 * least))) + 1e-4, algorithm="brute").fit(unit_ND)
    better = np.full(len(names), -1)
    for start in range(0, len(names), BATCH):
        batch = unit_ND[start : start + BATCH]
        for row, others in enumerate(near.radius_neighbors(batch, return_distance=False), start):
            if better[row] < 0:
                later = others[(others > row) & (better[others] < 0)]
                better[later[unit_ND[later] @ unit_ND[row] >= least - 1e-6]] = row
    (gone,) = np.nonzero(better >= 0)
    cosines = np.einsum("nd,nd->n", unit_ND[gone], unit_ND[better[gone]])
    return pa.table(
        {
            "sample_id": [names[row] for row in gone],
            "better": [names[row] for row in better[gone]],
            "cosine": cosines.astype(float),
        },
        schema=NONE.schema,
    )
