"""Flags and a budget -> keep or drop for every row, with a reason.

A new version is stored only if something changed.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from oresight.tasks.arrays.vectors import read_lists, read_vectors
from oresight.tasks.config import RULE_WITHOUT_TRUSTED, Splitting
from oresight.tasks.database import Connection, execute, reading, records, transaction, writing
from oresight.tasks.detection.chunks import chunks
from oresight.tasks.matching.coverage import COVERAGE, Coverage
from oresight.tasks.matching.policy import choose, random_similarity
from oresight.tasks.matching.repeats import near_repeats
from oresight.tasks.matching.similarity import Cosines, Some
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import Scope, json_pointer

NEAR_REPEATS = pa.schema([("sample_id", pa.string()), ("better", pa.string()), ("cosine", pa.float64())])
MATCHES = pa.schema([
    ("sample_id", pa.string()), ("place", pa.int64()), ("matched_to", pa.dictionary(pa.int32(), pa.string())),
    ("round", pa.int32()), ("similarity", pa.float32()), ("is_suspicious", pa.bool_()),
])  # fmt: skip


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
        totals = _totals(connection, scope, splitting, Path(config.database).absolute().parent)
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
            connection.register("new_coverage", totals.coverage)
            execute(connection, "split_insert_coverage", keys)
        previous, flagged, moved = execute(connection, "split_drift", keys).fetchone() or (None, None, None)
    log().info("split: %s/v%d keeps %d rows, drops %d", splitting.name, version, totals.kept, totals.dropped)
    if moved is not None:
        log().info("split: %.1f%% of the rows are flagged, %+.1f points from v%d", 100 * flagged, 100 * moved, previous)
    return Split(name=splitting.name, version=version, new=True, moved=moved, **totals.figures)


def dropped_rows(database: str, version: Split) -> tuple[dict[str, int], dict[str, int]]:
    """How many rows a version drops, by cause; and how many of them for a flag, by check, the most frequent first.

    A row may have flags of several checks.
    """
    keys = {"split": version.name, "version": version.version}
    with reading(database) as connection:
        causes, checks = (execute(connection, name, keys).fetchall() for name in ("split_dropped", "split_flagged"))
    return dict(causes), dict(checks)


class _Totals(NamedTuple):
    """What was decided, in sum."""

    kept: int
    dropped: int
    tokens: int
    decisions: str
    """Hash of all decisions, ranks and kept records."""
    coverage: pa.Table
    """What the rows have for each trusted row; empty unless rows are matched."""

    @property
    def figures(self) -> dict[str, int]:
        """The counts, as a version stores them."""
        return {"rows_kept": self.kept, "rows_dropped": self.dropped, "tokens_kept": self.tokens}


def _totals(connection: Connection, scope: Scope, splitting: Splitting, folder: Path) -> _Totals:
    """Fill the table `decided`. Raises ValueError if nothing is kept or no row has the column `splitting.per`."""
    if splitting.per is not None:
        columns = [name for (name,) in execute(connection, "split_columns", scope.parameters).fetchall()]
        if splitting.per not in columns:
            raise ValueError(
                f"splitting.per: no row of {scope.dataset!r} has a column {splitting.per!r};"
                f" there are: {', '.join(columns) or 'none'}"
            )
    settings = splitting.model_dump(exclude={"name", "distinct", "seed", "drop"})
    settings |= {"drops_flagged": splitting.drop != "nothing", "suspicious_share": splitting.suspicious_share}
    pointer = None if splitting.per is None else json_pointer(splitting.per)
    settings["without_trusted"] = RULE_WITHOUT_TRUSTED
    if splitting.by == "match" and not scope.has_trusted:
        settings["by"] = RULE_WITHOUT_TRUSTED
    values = scope.parameters | settings | {"seed": str(splitting.seed), "pointer": pointer}
    coverage = _decide(connection, values, NEAR_REPEATS.empty_table(), folder)
    if splitting.distinct:
        ranked, (vector_NM,) = read_lists(connection, "split_candidates", values, ["vector"], folder)
        repeats = near_repeats(vector_NM, np.argsort(ranked["rank"].to_numpy()), splitting.distinct)
        columns = [ranked["sample_id"].take(pa.array(rows)) for rows in (repeats.rows, repeats.better)]
        table = pa.table([*columns, repeats.cosine.astype(float)], schema=NEAR_REPEATS)
        coverage = _decide(connection, values, table, folder)
    kept, dropped, tokens, decisions = execute(connection, "split_totals").fetchone() or (0, 0, 0, "")
    totals = _Totals(kept, dropped, tokens, decisions, coverage)
    if totals.kept == 0:
        dropped = ", ".join(f"{cause} {rows}" for cause, rows in execute(connection, "split_causes").fetchall())
        raise ValueError(
            f"splitting: none of the {totals.dropped} rows of {scope.dataset!r} would be kept (dropped by cause:"
            f" {dropped}); score them (`oresight score CONFIG.yaml`), raise splitting.keep, or set splitting.drop to"
            " nothing"
        )
    return totals


def _decide(connection: Connection, values: dict[str, Any], repeats: pa.Table, folder: Path) -> pa.Table:
    """Fill the table `decided`. repeats: a table of NEAR_REPEATS. Returns what the rows have for trusted rows."""
    connection.register("new_near_repeats", repeats)
    for query in ("split_near", "split_judge", "split_budgets"):
        execute(connection, query, values)
    none = iter(()), COVERAGE.empty_table()
    matches, coverage = _match(connection, values, folder) if values["by"] == "match" else none
    connection.register("new_matches", pa.RecordBatchReader.from_batches(MATCHES, matches))
    execute(connection, "split_matches")
    execute(connection, "split_rank", values)
    return coverage


def _match(connection: Connection, values: dict[str, Any], folder: Path) -> tuple[Iterator[pa.RecordBatch], pa.Table]:
    """Match the rows of each part within its budget. Returns batches of MATCHES and a table of COVERAGE."""
    trusted, rows = (read_vectors(connection, name, values, folder) for name in ("split_trusted", "split_vectors"))
    n, trusted_ids = len(rows.sample_ids), trusted.sample_ids.combine_chunks()
    if len(trusted_ids) == 0 or n == 0:
        return iter(()), COVERAGE.empty_table()
    similarity = Cosines.between(rows.vectors, trusted.vectors, order_N=rows.order_N)
    floor, covered = random_similarity(similarity), Coverage(len(trusted_ids))
    budgets = {budget["part"]: budget for budget in records(connection, "split_parts", values)}
    place_N, (matched_N, round_N) = np.empty(n, dtype=np.int64), np.empty((2, n), dtype=np.int32)
    similarity_N, is_suspicious_N = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.bool_)
    for part, part_N in rows.parts():
        budget = budgets[part]
        choice = choose(
            Some(similarity, part_N),
            rows.candidates.some(part_N),
            trusted.candidates.suspicion_N,
            floor,
            rows=budget["row_budget"],
            tokens=budget["token_budget"],
        )
        matches = choice.matches
        place_N[part_N[choice.order_N]] = np.arange(1, len(part_N) + 1)
        matched_N[part_N], round_N[part_N] = matches.trusted_N, matches.round_N
        similarity_N[part_N], is_suspicious_N[part_N] = matches.similarity_N, choice.is_suspicious_N
        covered.add(part_N, matches)

    def batches() -> Iterator[pa.RecordBatch]:
        for chunk in chunks(n):
            matched_to = pa.DictionaryArray.from_arrays(pa.array(matched_N[chunk]), trusted_ids)
            rounds = pa.array(round_N[chunk], mask=round_N[chunk] == 0)
            others = similarity_N[chunk], is_suspicious_N[chunk]
            columns = [rows.sample_ids[chunk].combine_chunks(), place_N[chunk], matched_to, rounds, *others]
            yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=MATCHES)

    return batches(), covered.table(trusted_ids, rows.sample_ids, similarity, floor)
