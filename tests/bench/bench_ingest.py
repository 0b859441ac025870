"""How long a million rows take: python tests/bench/bench_ingest.py ROWS.jsonl [MILLIONS]

ROWS.jsonl holds real rows, for instance GSM8K; they are repeated with a counter in the question until there are enough.
Prints seconds and the peak of memory of the ingest alone, which runs in a fresh process.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import orjson

from oresight.tasks.config import Curate, Dataset
from oresight.tasks.database import turn
from oresight.tasks.ingest import ingest
from oresight.tasks.runs.record import Run


def make(source: Path, target: Path, count: int) -> None:
    rows = [orjson.loads(line) for line in source.read_bytes().splitlines()]
    with target.open("wb") as stream:
        for number in range(count):
            row = rows[number % len(rows)]
            row = row | {"instruction": f"{row['instruction']} ({number})"}
            stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def measure(file: Path, database: Path) -> None:
    rows, trusted = Dataset(name="rows", path=str(file)), Dataset(name="trusted", path="none.jsonl")
    run = Run(Curate(database=str(database), dataset=rows, reference=trusted), "bench")
    with turn(str(database)):
        for _ in range(2):
            started, cpu = time.monotonic(), time.process_time()
            ingested = ingest(run, "dataset")
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
            seconds, cpu = time.monotonic() - started, time.process_time() - cpu
            print(f"{ingested}\n{seconds:.1f} s, {cpu:.1f} s of processor time, peak {peak:.2f} GB")
    print(f"file {file.stat().st_size / 1e6:.0f} MB, database {database.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        make(Path(sys.argv[1]), file, int(float(sys.argv[2] if len(sys.argv) > 2 else 1) * 1_000_000))
        process = multiprocessing.get_context("spawn").Process(
            target=measure, args=(file, Path(folder) / "bench.duckdb")
        )
        process.start()
        process.join()
