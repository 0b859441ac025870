"""Flags and a budget -> keep or drop for every row, with its reason. A version is made only if something changed."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tasks.config import Splitting
from tasks.database import Connection, query, transaction, writing
from tasks.distinct import NONE, repeated
from tasks.progress import log
from tasks.run import stored


@dataclass(frozen=True)
class Split:
    """A version of a split, and whether this run made it.

    moved: by how much its share of flagged rows differs from that of the version before, where there is one.
    """

    name: str
    version: int
    new: bool
    rows_kept: int
    rows_dropped: int
    tokens_kept: int
    moved: float | None = None


def split(database: str, splitting: Splitting, dataset: str, reference: str, model_key: str, run_id: str) -> Split:
    """Decide about every current row of the dataset.

    Raises ValueError if the dataset or the reference is not there, nothing would be kept, or no row has the column
    `splitting.per`.
    """
    with writing(database) as connection:
        known = {name: one.content_hash for name, one in stored(connection, database, dataset, reference).items()}
        if splitting.per is not None:
            columns = [name for (name,) in connection.execute(query("split_columns"), {"dataset": dataset}).fetchall()]
            if splitting.per not in columns:
                there = ", ".join(columns) or "none"
                raise ValueError(
                    f"splitting.per: no row of {dataset!r} has a column {splitting.per!r}; there are: {there}"
                )
        names = {"dataset": dataset, "reference": reference, "reference_hash": known[reference], "model_key": model_key}
        settings = splitting.model_dump(exclude={"name", "distinct", "seed"})
        pointer = None if splitting.per is None else "/" + splitting.per.replace("~", "~0").replace("/", "~1")
        values = names | settings | {"seed": str(splitting.seed), "pointer": pointer}
        _decide(connection, values, NONE)
        if splitting.distinct:
            candidates = connection.execute(query("split_candidates"), {"model_key": model_key}).to_arrow_table()
            _decide(connection, values, repeated(candidates, splitting.distinct))
        kept, dropped, tokens, decisions = connection.execute(query("split_totals")).fetchone() or (0, 0, 0, "")
        if kept == 0:
            raise ValueError(
                f"splitting: none of the {dropped} rows of {dataset!r} would be kept;"
                " score them (`oresight score CONFIG.yaml`),"
                " raise splitting.keep, or set splitting.drop to nothing"
            )
        basis = [decisions, splitting.model_dump_json(), known[dataset], known[reference], model_key]
        decision_hash = hashlib.sha256(json.dumps(basis).encode()).hexdigest()
        newest = connection.execute(query("split_newest"), {"split": splitting.name}).fetchone()
        if newest and newest[1] == decision_hash:
            log().info("split: %s/v%d stands, nothing changed", splitting.name, newest[0])
            return Split(splitting.name, newest[0], False, kept, dropped, tokens)
        version = newest[0] + 1 if newest else 1
        figures = {"rows_kept": kept, "rows_dropped": dropped, "tokens_kept": tokens, "decision_hash": decision_hash}
        place = {"split": splitting.name, "version": version}
        with transaction(connection):
            row = names | figures | place | {"dataset_hash": known[dataset], "run_id": run_id}
            connection.execute(query("split_insert_version"), row)
            connection.execute(query("split_insert_rows"), place)
        previous, flagged, moved = connection.execute(query("split_drift"), place).fetchone() or (None, None, None)
    log().info("split: %s/v%d keeps %d rows, drops %d", splitting.name, version, kept, dropped)
    if moved is not None:
        log().info("split: %.1f%% of the rows are flagged, %+.1f points from v%d", 100 * flagged, 100 * moved, previous)
    return Split(splitting.name, version, True, kept, dropped, tokens, moved)


def _decide(connection: Connection, values: dict[str, Any], found: pa.Table) -> None:
    """Fill the table `decided`; found: rows that nearly repeat a better one."""
    connection.register("found", found)
    connection.execute(query("split_near"))
    connection.execute(query("split_decide"), values)
