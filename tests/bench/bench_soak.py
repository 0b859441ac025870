"""Nightly runs in a row: python tests/bench/bench_soak.py [NIGHTS]. One process makes them all, as a served flow may.

200 rows of the demo's and 2 more each night, of which one is corrected each night and one is erased every tenth night;
the smallest real model, which lies beside the project (shared/data). Every ten nights a line: the night, rows, CPU time
in s per night, MB of the database, MB of memory in use, open descriptors, threads, and names in the folder. It ends
with an error unless each night scores what is new, once, and erased rows stay away.
"""

import json
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

from oresight.flows.curate import curate
from oresight.flows.server.temporary import start_temporary_server
from oresight.tasks.config import Curate
from oresight.tasks.database import reading
from oresight.tasks.forget import forget

DATA, SHARED = Path(__file__).parents[1] / "data", Path(__file__).parents[3] / "shared" / "data"
FIRST, MORE = 200, 2
"""Rows of the first night, and how many come with each night after it."""


def write_rows(path: Path, night: int) -> None:
    """The raw file of a night: row i is corrected on night i."""
    demo = [json.loads(line) for line in (DATA / "dolly.jsonl").read_text().splitlines()]
    with path.open("w") as file:
        for i in range(FIRST + MORE * night):
            row = demo[i % len(demo)] | {"id": f"row {i}"}
            if 0 < i <= night:
                row["output"] += f" Corrected on night {i}."
            elif i >= len(demo):
                row["output"] += f" It is row {i}."
            file.write(json.dumps(row) + "\n")


def erase_newest(database: str) -> None:
    with reading(database) as connection:
        ((newest,),) = connection.execute(
            "SELECT sample_id FROM rows WHERE dataset = 'rows' ORDER BY source_line DESC LIMIT 1"
        ).fetchall()
    forget(database, newest, "a request", "the soak")


def check_night(database: str, night: int, erased: int, scored: int) -> int:
    """Returns the rows of the night."""
    with reading(database) as connection:
        ((rows, without, back),) = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE value IS NULL), count(*) FILTER (WHERE sample_id IN (SELECT"
            " sample_id FROM forgotten)) FROM rows LEFT JOIN scores USING (sample_id) WHERE rows.dataset = 'rows'"
        ).fetchall()
    expected = FIRST + MORE * night - erased
    if (rows, without, back) != (expected, 0, 0) or (night and scored != MORE + 1):
        raise SystemExit(f"night {night}: {rows} rows of {expected}, {without} unscored, {back} back, {scored} scored")
    return rows


def memory_in_use() -> int:
    """MB of memory of this process now."""
    found = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) // 1024


def main() -> None:
    nights = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    start_temporary_server()
    with tempfile.TemporaryDirectory() as folder:
        config = Curate.model_validate({
            "database": f"{folder}/o.duckdb", "model": {"name": str(SHARED / "stories260k")},
            "dataset": {"name": "rows", "path": f"{folder}/rows.jsonl"},
            "reference": {"name": "trusted", "path": str(DATA / "trusted.jsonl")},
            "publishing": {"folder": f"{folder}/splits"},
        })  # fmt: skip
        erased, cpu = 0, time.process_time()
        for night in range(nights + 1):
            write_rows(Path(folder, "rows.jsonl"), night)
            curated = curate(config)
            rows = check_night(config.database, night, erased, curated.counts["scored"])
            if night % 10 == 0:
                now = {
                    "night": night,
                    "rows": rows,
                    "CPU": round((time.process_time() - cpu) / (10 if night else 1), 2),
                    "file": round(Path(config.database).stat().st_size / 2**20, 1),
                    "memory": memory_in_use(),
                    "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
                    "threads": threading.active_count(),
                    "names": sum(1 for _ in Path(folder).iterdir()),
                }
                sys.stdout.write(json.dumps(now) + "\n")
                sys.stdout.flush()
                erase_newest(config.database)
                erased, cpu = erased + 1, time.process_time()


if __name__ == "__main__":
    main()
