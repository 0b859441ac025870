"""Ingest of 50,000 VQA rows over 5,000 pictures of 640 x 480.

python tests/bench/bench_pictures.py [ROWS] [PICTURES]
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from oresight.tasks.config import Curate, Dataset
from oresight.tasks.database import turn
from oresight.tasks.ingest import ingest
from oresight.tasks.runs.record import Run


def main() -> None:
    rows, pictures = (int(word) for word in [*sys.argv[1:], "50000", "5000"][:2])
    with tempfile.TemporaryDirectory() as name:
        folder, draw = Path(name), np.random.default_rng(0)
        for i in range(pictures):
            coarse = draw.integers(0, 255, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=90)
        size = sum(file.stat().st_size for file in folder.glob("*.jpg")) / 1e6
        lines = (
            json.dumps({"image": f"{i % pictures}.jpg", "question": f"what is {i}?", "answer": str(i % 13)})
            for i in range(rows)
        )
        (folder / "rows.jsonl").write_text("\n".join(lines))
        dataset = Dataset(name="rows", path=f"{name}/rows.jsonl")
        trusted = Dataset(name="trusted", path="none.jsonl")
        run = Run(Curate(database=f"{name}/o.duckdb", dataset=dataset, reference=trusted), "bench")
        started = time.perf_counter()
        with turn(run.config.database):
            done = ingest(run, "dataset")
            seconds, again = time.perf_counter() - started, time.perf_counter()
            assert ingest(run, "dataset").reused
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.write(
            f"{done.rows:,} rows over {pictures:,} pictures ({size:.0f} MB) in {seconds:.1f} s, unchanged in"
            f" {time.perf_counter() - again:.1f} s, peak {peak:.0f} MB\n"
        )


if __name__ == "__main__":
    main()
