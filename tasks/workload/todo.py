"""Lists the rows that lack a fresh score and cuts them into shards. `score` does this work and `plan` estimates it."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from oresight.tasks.config import Curate
from oresight.tasks.database import Connection, execute
from oresight.tasks.scope import Scope
from oresight.tasks.scoring.engine import opening_size
from oresight.tasks.scoring.index import Basis
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.workload.encode import EncodedRows, Refusals, encode_reference, encode_rows, read_rows

OPENING = 1000
"""Rows of the dataset that are read to open the engine."""
COMMIT_S = 10.0
"""Seconds between commits: what a crash can cost."""


@dataclass(frozen=True)
class Todo:
    """Rows and canaries without a fresh score, and the fits of earlier runs with this model."""

    rows: int
    """Distinct rows of the dataset and the reference, scored or not."""
    missing: pa.Table
    """Columns sample_id, is_canary, has_vector and length (in characters), the longest rows first."""
    trusted: pa.Table
    """Column sample_id: all trusted rows, in the order of their ids."""
    form: tuple[int, int] | None
    """Tokens and rank of the reference's cheap form, where this reference was used before."""
    fitted_dtype: str | None
    """The dtype of the model in the first run that scored with it."""
    basis: bytes | None
    """The directions of the index, if this model has one."""
    fitted: bytes | None
    """The fit of this reference, if it was fitted before and no trusted row lacks a score."""

    @property
    def canaries(self) -> int:
        """Canaries without a fresh score."""
        return int(pc.sum(self.missing["is_canary"]).as_py() or 0)

    @property
    def missing_rows(self) -> int:
        """Rows without a fresh score, canaries excluded."""
        return int(self.missing.num_rows) - self.canaries

    @property
    def length(self) -> int:
        """Characters of the rows and canaries without a fresh score."""
        return int(pc.sum(self.missing["length"]).as_py() or 0)

    @property
    def canary_ids(self) -> frozenset[str]:
        """sample_ids of the canaries without a fresh score."""
        return frozenset(self.missing.filter(self.missing["is_canary"])["sample_id"].to_pylist())

    def dtype(self, configured: str) -> str:
        """The dtype to load the model in. Under `auto`, a model that was used before keeps its dtype."""
        return self.fitted_dtype if self.fitted_dtype and configured == "auto" else configured

    def with_vector(self, sample_ids: pa.Array) -> frozenset[str]:
        """Which of these rows have an index vector, from an earlier run against another reference."""
        known = self.missing.filter(self.missing["has_vector"])["sample_id"].combine_chunks()
        return frozenset(known.filter(pc.is_in(known, value_set=sample_ids)).to_pylist())

    def read_basis(self, model: Loaded) -> Basis | None:
        """The stored directions, on the model's device."""
        return Basis.read(self.basis).to(model.device) if self.basis else None


@dataclass(frozen=True)
class OpeningRows:
    """The rows that an engine is opened with, as token ids."""

    reference: EncodedRows
    dataset: EncodedRows
    refusals: Refusals
    rows_read: int

    def sample_ids(self) -> pa.Array:
        """All rows that are scored or refused by the time the engine is open."""
        encoded = [sample_id for sample_id, _ in (*self.reference, *self.dataset)]
        return pa.array([*encoded, *(sample_id for sample_id, _ in self.refusals)], pa.string())


def read_todo(connection: Connection, scope: Scope) -> Todo:
    """Read from the database what lacks a score in this scope."""
    (rows,) = execute(connection, "score_rows_count", scope.parameters).fetchone() or (0,)
    missing = execute(connection, "score_todo", scope.parameters).to_arrow_table()
    trusted = execute(connection, "score_reference_ids", scope.parameters).to_arrow_table()
    fit = execute(connection, "score_fit", scope.parameters).fetchone()
    dtype = execute(connection, "score_dtype", scope.parameters).fetchone()
    basis = execute(connection, "score_basis", scope.parameters).fetchone()
    fitted = execute(connection, "score_fitted", scope.parameters).fetchone()
    lacks_trusted = pc.any(pc.is_in(missing["sample_id"], value_set=trusted["sample_id"].combine_chunks())).as_py()
    return Todo(
        rows=int(rows),
        missing=missing,
        trusted=trusted,
        form=(fit[0], fit[1]) if fit else None,
        fitted_dtype=dtype[0] if dtype else None,
        basis=basis[0] if basis else None,
        fitted=fitted[0] if fitted and not lacks_trusted else None,
    )


def read_opening(config: Curate, model: Loaded, todo: Todo) -> OpeningRows:
    """Read the reference, and as many other rows as opening an engine needs.

    These are the rows with the lowest sample_ids: a random sample, because sample_ids are hashes. None are needed where
    the reference is fitted.
    """
    if todo.fitted:
        return OpeningRows([], [], [], rows_read=0)
    reference, reference_refusals = encode_reference(config, todo.trusted, model)
    others = without(todo.missing.filter(pc.invert(todo.missing["is_canary"])), todo.trusted["sample_id"])
    lowest = others.take(pc.select_k_unstable(others, k=OPENING, sort_keys=[("sample_id", "ascending")]))
    dataset, refusals = encode_rows(read_rows(config.database, lowest), model, config.scoring.max_tokens)
    dataset = dataset[: opening_size([row for _, row in dataset], fitted=todo.basis is not None)]
    return OpeningRows(
        reference, dataset, [*reference_refusals, *refusals], rows_read=todo.trusted.num_rows + lowest.num_rows
    )


def without(missing: pa.Table, sample_ids: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The rows of the table that are not among the sample_ids."""
    if isinstance(sample_ids, pa.ChunkedArray):
        sample_ids = sample_ids.combine_chunks()
    return missing.filter(pc.invert(pc.is_in(missing["sample_id"], value_set=sample_ids)))
