"""Flags and a budget -> keep or drop for every row, with a reason.

A new version is stored only if something changed.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from oresight.tasks.config import Splitting
from oresight.tasks.database import Connection, execute, transaction, writing
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import Scope, json_pointer

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
    """Change in the share of flagged rows since the version before; None for a first version."""


def split(run: Run) -> Split:
    """Decide about every current row of the dataset, and store a new version if the decisions changed.

    Raises ValueError if the dataset or the reference is not in the database, nothing would be kept, or no row has the
    column `splitting.per`.
    """
    config, splitting = run.config, run.config.splitting
    with writing(config.database) as connection:
        scope = run.scope(connection)
        totals = _totals(connection, scope, splitting)
        basis = [
            totals.decisions, splitting.model_dump_json(), scope.dataset_hash, scope.reference_hash, scope.model_key,
        ]  # fmt: skip
        decision_hash = hashlib.sha256(json.dumps(basis).encode()).hexdigest()
        newest = execute(connection, "split_newest", {"split": splitting.name}).fetchone()
        if newest and newest[1] == decision_hash:
            log().info("split: %s/v%d stands, nothing changed", splitting.name, newest[0])
            return Split(name=splitting.name, version=newest[0], new=False, **totals.figures)
        version = newest[0] + 1 if newest else 1
        keys = {"split": splitting.name, "version": version, "run_id": run.run_id}
        hashes = {"dataset_hash": scope.dataset_hash, "decision_hash": decision_hash}
        with transaction(connection):
            execute(connection, "split_insert_version", scope.parameters | totals.figures | keys | hashes)
            execute(connection, "split_insert_rows", keys)
        previous, flagged, moved = execute(connection, "split_drift", keys).fetchone() or (None, None, None)
    log().info("split: %s/v%d keeps %d rows, drops %d", splitting.name, version, totals.kept, totals.dropped)
    if moved is not None:
        log().info("split: %.1f%% of the rows are flagged, %+.1f points from v%d", 100 * flagged, 100 * moved, previous)
    return Split(name=splitting.name, version=version, new=True, moved=moved, **totals.figures)


class _Totals(NamedTuple):
    """What was decided, in sum."""

    kept: int
    dropped: int
    tokens: int
    decisions: str
    """Hash of all decisions, ranks and kept records."""

    @property
    def figures(self) -> dict[str, int]:
        """The counts, as a version stores them."""
        return {"rows_kept": self.kept, "rows_dropped": self.dropped, "tokens_kept": self.tokens}


def _totals(connection: Connection, scope: Scope, splitting: Splitting) -> _Totals:
    """Fill the table `decided`. Raises ValueError if nothing is kept or no row has the column `splitting.per`."""
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
    totals = _Totals(*(execute(connection, "split_totals").fetchone() or (0, 0, 0, "")))
    if totals.kept == 0:
        raise ValueError(
            f"splitting: none of the {totals.dropped} rows of {scope.dataset!r} would be kept;"
            " score them (`oresight score CONFIG.yaml`),"
            " raise splitting.keep, or set splitting.drop to nothing"
        )
    return totals


def _decide(connection: Connection, values: dict[str, Any], repeats: pa.Table) -> None:
    """Fill the table `decided`. repeats: the result of `near_repeats`."""
    connection.register("new_near_repeats", repeats)
    execute(connection, "split_near")
    execute(connection, "split_decide", values)


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
