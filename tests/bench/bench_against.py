"""Compare values of a new reference from the index with exact values: python tests/bench/bench_against.py.

On grammars (shared/data), with the embedded model: 900 rows are scored against one half of the test rows, then the
other half becomes the reference, first by `oresight score --index`, then exactly.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datasets import load_from_disk
from scipy.stats import spearmanr

from oresight.tasks.database import reading

GRAMMARS = Path(__file__).parents[3] / "shared" / "data" / "datainf_grammars"
QUESTION = """
SELECT v.value AS quick, s.value AS exact
FROM value_against('second') AS v JOIN scores AS s USING (sample_id, dataset, model)
WHERE s.reference = 'second' AND dataset = 'grammars'"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = list(load_from_disk(str(GRAMMARS / "test")))
        for part, half in (("first", rows[::2]), ("second", rows[1::2])):
            (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in half))
        database = str(folder / "o.duckdb")

        def oresight(command: str, reference: str, *options: str) -> None:
            tree = {
                "database": database,
                "dataset": {"name": "grammars", "path": str(GRAMMARS / "train")},
                "reference": {"name": reference, "path": str(folder / f"{reference}.jsonl")},
                "flagging": {"canaries": 0},
            }
            (folder / "c.yaml").write_text(json.dumps(tree))
            started = time.perf_counter()
            call = [sys.executable, "-m", "oresight.flows.cli", command, str(folder / "c.yaml"), *options]
            subprocess.run(call, check=True, cwd=Path(__file__).parents[2])
            sys.stdout.write(f"{time.perf_counter() - started:7.1f} s  {command} {reference} {' '.join(options)}\n")
            sys.stdout.flush()

        oresight("ingest", "first")
        oresight("score", "first")
        oresight("ingest", "second")
        oresight("score", "second", "--index")
        with reading(database) as connection:
            started = time.perf_counter()
            (count,) = connection.execute("SELECT count(value) FROM value_against('second')").fetchone() or (0,)
        sys.stdout.write(f"{time.perf_counter() - started:7.2f} s  value_against('second'), {count} rows\n")
        oresight("score", "second")
        with reading(database) as connection:
            values = connection.execute(QUESTION).df()
        pearson, spearman = values.quick.corr(values.exact), spearmanr(values.quick, values.exact).statistic
        sys.stdout.write(f"{len(values)} rows: correlation {pearson:.4f}, Spearman {spearman:.4f}\n")


if __name__ == "__main__":
    main()
