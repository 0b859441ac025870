"""Time and memory at scale: python tests/bench/bench_scale.py [ROWS]. Each line comes from a process of its own.

The low-rank form at V = 150,000 and D = 4,096 on made-up states. Then all steps of a run over 10,000 and 100,000 short
rows, and a second run over 1% more, with the smallest real model, which lies beside the project (shared/data): for each
step its seconds, its CPU time in ms per row of the first run, and the peak memory (MB) until its end.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from oresight.tasks.scoring import reference as reference_module
from oresight.tasks.scoring.formula import Head
from oresight.tasks.scoring.forward import Answers
from oresight.tasks.scoring.reference import fit
from oresight.tasks.workload.clock import peak_memory

SHARED = Path(__file__).parents[3] / "shared" / "data"


def factorisation() -> dict[str, Any]:
    """The low-rank form at the size of a large model, V = 150,000, D = 4,096: 2,000 reference tokens, 1,000 probed."""
    torch.manual_seed(0)
    v, d = 150_000, 4096
    head = Head((torch.randn(v, d) / d**0.5).bfloat16())
    mix = torch.randn(200, d) * (0.97 ** torch.arange(200.0))[:, None]
    parts = []
    for n in (2000, 1000):
        labels = (torch.rand(n) ** 4 * 20_000).long()
        h_TD = torch.randn(n, 200) @ mix
        parts.append(Answers(list(range(n // 50)), h_TD, labels, [50] * (n // 50), h_TD[::50]))
    seconds: dict[str, float] = {}

    def clocked(name: str) -> None:
        real = getattr(reference_module, name)

        def run(*args: Any) -> Any:
            started = time.perf_counter()
            result = real(*args)
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
            return result

        setattr(reference_module, name, run)

    for name in ("_svd", "_compress"):
        clocked(name)
    started = time.perf_counter()
    exact, cheap = fit(head, [parts[0]], probe=[parts[1]], tolerance=1e-3)
    total = time.perf_counter() - started
    return {
        "gbar rows": len(exact.along.tokens_A),
        "rank": cheap.rank,
        "tokens": cheap.tokens,
        "deviation": cheap.deviation,
        "seconds of the factorisation": seconds["_svd"],
        "seconds to choose tokens and rank on the probe": seconds["_compress"] - seconds["_svd"],
        "seconds to accumulate the gradient": total - seconds["_compress"],
    }  # fmt: skip


def pipeline(rows: int) -> dict[str, Any]:
    """All steps over so many short rows, and over 1% more."""
    from oresight.flows.pipeline import Pipeline, Step
    from oresight.tasks.config import Curate
    from oresight.tasks.runs.record import recorded

    with tempfile.TemporaryDirectory() as folder:

        def put(name: str, numbers: range) -> None:
            lines = (json.dumps({"prompt": f"Count from {i}.", "completion": f"{i}, {i + 1}"}) for i in numbers)
            Path(folder, f"{name}.jsonl").write_text("\n".join(lines))

        config = Curate.model_validate({
            "database": f"{folder}/o.duckdb", "model": {"name": str(SHARED / "stories260k")},
            "dataset": {"name": "rows", "path": f"{folder}/rows.jsonl"},
            "reference": {"name": "trusted", "path": f"{folder}/trusted.jsonl"},
            "splitting": {"keep": 0.1}, "publishing": {"folder": f"{folder}/splits"},
        })  # fmt: skip
        put("trusted", range(10**8, 10**8 + 50))
        report: dict[str, Any] = {}
        for what, count in (("all", rows), ("1% more", rows + rows // 100)):
            put("rows", range(count))
            steps: dict[str, list[float]] = {}

            def clocked(name: str, step: Step, steps: dict[str, list[float]] = steps) -> Step:
                def run(*args: Any) -> Any:
                    wall, cpu = time.perf_counter(), time.process_time()
                    result = step(*args)
                    before = steps.get(name, [0.0, 0.0])
                    steps[name] = [
                        round(before[0] + time.perf_counter() - wall, 1),
                        round(before[1] + (time.process_time() - cpu) / rows * 1000, 3),
                        round(peak_memory() / 2**20),
                    ]
                    return result

                return run

            with recorded(config, "curate") as recording:
                steps_of_run = Pipeline(recording, clocked)
                for step in ("read", "inspect", "plant", "score", "judge", "split", "report", "publish"):
                    getattr(steps_of_run, step)()
            report[what] = steps
            report["file, MB"] = round(Path(config.database).stat().st_size / 2**20)
        return report


def main() -> None:
    if len(sys.argv) == 1:
        for what in ("factorisation", "10000", "100000"):
            run = subprocess.run([sys.executable, __file__, what], stdout=subprocess.PIPE, text=True, check=True)
            sys.stdout.write(f"{what}: {run.stdout.splitlines()[-1]}\n")
            sys.stdout.flush()
        return
    report = factorisation() if sys.argv[1] == "factorisation" else pipeline(int(sys.argv[1]))
    peak = peak_memory() / 2**20
    sys.stdout.write(json.dumps(report | {"peak": peak}) + "\n")


if __name__ == "__main__":
    main()
