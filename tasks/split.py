"""Flags and a budget -> keep or drop for every row, with its reason. A version is made only if something changed."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from oresight.tasks.database import Connection, execute, transaction, writing
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import json_pointer

BATCH = 1024
"""Rows whose neighbours are looked up at once: a batch against 100,000 rows is 0.4 GB of cosines."""
NO_REPEATS = pa.table(
    {"sample_id": pa.array([], pa.string()), "better": pa.array([], pa.string()), "cosine": pa.array([], pa.float64())}
)


@dataclass(frozen=True)
class Split:
    """A version of a split, and whether this run made it."""

    name: str
    version: int
    new: bool
    rows_kept: int
    rows_dropped: int
    tokens_kept: int
    moved: float | None = None
    """By how much its share of flagged rows differs from that of the version before; None for a first version."""


def split(run: Run) -> Split:
    """Decide about every current row of the dataset.

    Raises ValueError if the dataset or the reference is not there, nothing would be kept, or no row has the column
    `splitting.per`.
    """
    config, splitting = run.config, run.config.splitting
    with writing(config.database) as connection:
        scope = run.scope(connection)
        if splitting.per is not None:
            columns = [name for (name,) in execute(connection, "split_columns", scope.parameters).fetchall()]
            if splitting.per not in columns:
                raise ValueError(
                    f"splitting.per: no row of {scope.dataset!r} has a column {splitting.per!r};"
                    f" there are: {', '.join(columns) or 'none'}"
                )
        settings = splitting.model_dump(exclude={"name", "distinct", "seed"})
        pointer = None if splitting.per is None else json_pointer(splitting.per)
        values = scope.parameters | settings | {"seed": str(splitting.seed), "pointer": pointer}
        _decide(connection, values, NO_REPEATS)
        if splitting.distinct:
            candidates = execute(connection, "split_candidates", values).to_arrow_table()
            _decide(connection, values, near_repeats(candidates, splitting.distinct))
        kept, dropped, tokens, decisions = execute(connection, "split_totals").fetchone() or (0, 0, 0, "")
        if kept == 0:
            raise ValueError(
                f"splitting: none of the {dropped} rows of {scope.dataset!r} would be kept;"
                " score them (`oresight score CONFIG.yaml`),"
                " raise splitting.keep, or set splitting.drop to nothing"
            )
        basis = [decisions, splitting.model_dump_json(), scope.dataset_hash, scope.reference_hash, scope.model_key]
        decision_hash = hashlib.sha256(json.dumps(basis).encode()).hexdigest()
        newest = execute(connection, "split_newest", {"split": splitting.name}).fetchone()
        if newest and newest[1] == decision_hash:
            log().info("split: %s/v%d stands, nothing changed", splitting.name, newest[0])
            return Split(splitting.name, newest[0], False, kept, dropped, tokens)
        version = newest[0] + 1 if newest else 1
        figures = {"rows_kept": kept, "rows_dropped": dropped, "tokens_kept": tokens, "decision_hash": decision_hash}
        names = {"split": splitting.name, "version": version, "run_id": run.run_id}
        with transaction(connection):
            row = scope.parameters | figures | names | {"dataset_hash": scope.dataset_hash}
            execute(connection, "split_insert_version", row)
            execute(connection, "split_insert_rows", names)
        previous, flagged, moved = execute(connection, "split_drift", names).fetchone() or (None, None, None)
    log().info("split: %s/v%d keeps %d rows, drops %d", splitting.name, version, kept, dropped)
    if moved is not None:
        log().info("split: %.1f%% of the rows are flagged, %+.1f points from v%d", 100 * flagged, 100 * moved, previous)
    return Split(splitting.name, version, True, kept, dropped, tokens, moved)


def _decide(connection: Connection, values: dict[str, Any], repeats: pa.Table) -> None:
    """Fill the table `decided`. repeats: rows that nearly repeat a better one, as `near_repeats` returns them."""
    connection.register("new_near_repeats", repeats)
    execute(connection, "split_near")
    execute(connection, "split_decide", values)


def near_repeats(candidates: pa.Table, least: float) -> pa.Table:
    """Columns sample_id, better, cosine: the candidates that are not kept, and the kept one that stands for each.

    Greedy, as in the NMS of object detection: the best row is kept, those within `least` of it go, then the best of the
    rest, and so on. A row goes only for one that stays.

    Args:
        candidates: Columns sample_id and vector (all of one length), best first.
        least: Cosine from which on two rows count as nearly the same, above 0.
    """
    from sklearn.neighbors import NearestNeighbors  # a second, for those who ask for it

    if candidates.num_rows < 2:
        return NO_REPEATS
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
        schema=NO_REPEATS.schema,
    )
