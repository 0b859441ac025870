"""Choose rows by match: bench_match.py [rows] [trusted rows], by default 1,000,000 and 1,000.

Prints the time and the peak memory of `split` on a database of synthetic rows, for a tenth and for 80% of the rows.
Before that, a small case against the plain way: all similarities in one matrix, the list of each trusted row sorted;
and rows that nearly repeat a better one (`splitting.distinct`) against scikit-learn's NearestNeighbors.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from oresight.tasks.config import Curate
from oresight.tasks.database import turn, writing
from oresight.tasks.matching.repeats import near_repeats
from oresight.tasks.matching.round_robin import round_robin
from oresight.tasks.matching.similarity import Cosines, Vectors
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.scope import ModelIdentity
from oresight.tasks.split import split

KINDS = 200
BATCH = 50_000


def vectors(n: int, seed: int) -> Vectors:
    """Vectors of rows of KINDS kinds, with noise of the size of the kind."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(KINDS, 384)).astype(np.float32)
    x = centres[draw.integers(KINDS, size=n)] + draw.normal(size=(n, 384)).astype(np.float32)
    packed = np.clip(np.rint(x * 25), -127, 127).astype(np.int8)
    return Vectors(packed[:, :256], packed[:, 256:], np.full(n, 0.01, dtype=np.float32))


def plainly(near_RN: np.ndarray, rows: int) -> list[int]:
    """The same round robin by sorting everything."""
    lists, at = np.argsort(-near_RN, axis=1, kind="stable"), np.zeros(len(near_RN), dtype=int)
    free, order = np.ones(near_RN.shape[1], dtype=bool), list[int]()
    while len(order) < rows:
        for t in range(len(near_RN)):
            while not free[lists[t, at[t]]]:
                at[t] += 1
            free[lists[t, at[t]]] = False
            order.append(int(lists[t, at[t]]))
    return order[:rows]


def against_the_plain_way(n: int = 100_000, trusted: int = 500) -> None:
    similarity, tokens_N = Cosines.between(vectors(n, 1), vectors(trusted, 2)), np.ones(n, dtype=np.int64)
    started = time.monotonic()
    ours = round_robin(similarity, tokens_N, rows=n // 10)
    ours_s, started = time.monotonic() - started, time.monotonic()
    plain = plainly(similarity.of(np.arange(n)), n // 10)
    plain_s = time.monotonic() - started
    assert ours.order_N[: ours.taken].tolist() == plain, "both take the same rows"
    print(f"{n:,} x {trusted}, a tenth taken: round_robin {ours_s:.1f} s, full matrix and numpy sort {plain_s:.1f} s")


def near_repeats_against_sklearn(n: int = 100_000, least: float = 0.6) -> None:
    vector_NM = vectors(n, 1).index_NM
    started = time.monotonic()
    ours = near_repeats(vector_NM, np.arange(n), least)
    ours_s, started = time.monotonic() - started, time.monotonic()
    unit_NM = normalize(vector_NM.astype(np.float32))
    neighbours = NearestNeighbors(radius=float(np.sqrt(2 - 2 * least)), algorithm="brute").fit(unit_NM)
    better_N = np.full(n, -1)
    for start in range(0, n, 1024):
        near = neighbours.radius_neighbors(unit_NM[start : start + 1024], return_distance=False)
        for row, others in enumerate(near, start):
            if better_N[row] < 0:
                later = others[(others > row) & (better_N[others] < 0)]
                better_N[later] = row
    their_s = time.monotonic() - started
    differing = int((np.bincount(ours.rows, minlength=n) != (better_N >= 0)).sum())
    print(
        f"{n:,} rows, {len(ours.rows):,} nearly repeat a better one: near_repeats {ours_s:.1f} s, NearestNeighbors"
        f" {their_s:.1f} s, {differing} rows differ"
    )


def batches(n: int, name: str) -> Iterator[pa.Table]:
    for start in range(0, n, BATCH):
        size = min(BATCH, n - start)
        part = vectors(size, start + len(name))
        lists = [
            pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1]).cast(pa.list_(pa.int8()))
            for x in (np.ascontiguousarray(part.index_NM), np.ascontiguousarray(part.text_NS))
        ]
        ids = pa.array([f"{name}{i:031d}" for i in range(start, start + size)])
        yield pa.table([ids, *lists], names=["sample_id", "vector", "text_state"])


def fill(database: str, rows: int, trusted: int) -> None:
    with turn(database), writing(database) as connection:
        for dataset, role, n in (("raw", "dataset", rows), ("trusted", "reference", trusted)):
            connection.execute(
                "INSERT INTO store.datasets"
                " VALUES (?, ?, 'f', 'table', 'instruction', ?, 0, 0, ?, '[]', 'x', now(), 'r')",
                [dataset, role, n, dataset],
            )
            for batch in batches(n, dataset[0]):
                connection.register("batch", batch)
                connection.execute(
                    "INSERT INTO store.packed BY NAME SELECT sample_id, 'key' AS model_key, vector, 1 AS unit,"
                    " []::TINYINT[] AS state, 1 AS state_unit, text_state, 0.01 AS text_unit FROM batch"
                )
                connection.execute(
                    f"INSERT INTO store.rows BY NAME SELECT '{dataset}' AS dataset, sample_id, 'instruction' AS kind,"
                    " '' AS prompt, '' AS answer, '[]' AS messages, '{}' AS metadata, '{}' AS record,"
                    " 'f' AS source_file, 1 AS source_line FROM batch"
                )
                connection.execute(
                    "INSERT INTO store.scores BY NAME SELECT sample_id, 'key' AS model_key, 'trusted' AS reference,"
                    " 'trusted' AS reference_hash, 1.0 AS value, 1.0 AS value_per_token, 10 AS answer_tokens, 1 AS"
                    " prompt_tokens, false AS truncated, []::VARCHAR[] AS tokens, []::FLOAT[] AS token_values,"
                    " []::FLOAT[] AS token_logprobs, now() AS scored_at, 'r' AS run_id FROM batch"
                )


def main(rows: int = 1_000_000, trusted: int = 1000) -> None:
    against_the_plain_way()
    near_repeats_against_sklearn()
    with TemporaryDirectory() as folder:
        database = str(Path(folder) / "match.duckdb")
        fill(database, rows, trusted)
        for keep in ("0.1", "0.8"):  # in processes of their own, so that the peak memory is that of `split`
            subprocess.run([sys.executable, __file__, "--split", database, keep], check=True)


def split_once(database: str, keep: str) -> None:
    dataset, reference = ({"name": name, "path": "f"} for name in ("raw", "trusted"))
    splitting = {"name": f"keep{keep}", "keep": float(keep)}
    config = Curate.model_validate(
        {"database": database, "dataset": dataset, "reference": reference, "splitting": splitting}
    )
    with recorded(config, "bench") as run:
        started = time.monotonic()
        done = split(Run(config, run.run_id, ModelIdentity("key", "synthetic@key")))
        seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{done.rows_kept:,} of {done.rows_kept + done.rows_dropped:,}: split {seconds:.1f} s, peak {peak:.2f} GB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--split"]:
        split_once(*sys.argv[2:])
    else:
        main(*map(int, sys.argv[1:]))
