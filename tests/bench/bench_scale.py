"""Time and memory at scale: python tests/bench/bench_scale.py [ROWS [smallest]]. A process of its own for each line.

The low-rank form at V = 150,000 and D = 4,096 on made-up states. Then all steps of a run over 10,000 and 100,000 short
rows, and a second run over 1% more, with the smallest real model, which lies beside the project (shared/data): for each
step its seconds, its CPU time in ms per row of the first run, and the peak memory (MB) until its end. They are also
written to the standard error as each step ends. smallest: one layer of width 16 with random weights and that model's
tokenizer, which leaves the cost of everything but the model.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from oresight.tasks.scoring import reference as reference_module
from oresight.tasks.scoring.formula import Head
from oresight.tasks.scoring.forward import Answers
from oresight.tasks.scoring.reference import fit
from oresight.tasks.workload.clock import peak_memory

SHARED = Path(__file__).parents[3] / "shared" / "data"
SMALLEST = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 1,
            "num_key_value_heads": 1, "head_dim": 16}  # fmt: skip


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


def make_smallest(folder: Path) -> Path:
    """A model that costs next to nothing, with the tokenizer of the smallest real one."""
    config = AutoConfig.from_pretrained(SHARED / "stories260k")
    for name, value in SMALLEST.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(SHARED / "stories260k").save_pretrained(folder)
    return folder


def pipeline(rows: int, *, smallest: bool = False) -> dict[str, Any]:
    """All steps over so many short rows, and over 1% more."""
    from oresight.flows.pipeline import Pipeline, Step
    from oresight.tasks.config import Curate
    from oresight.tasks.runs.record import recorded

    with tempfile.TemporaryDirectory() as folder:

        def put(name: str, numbers: range) -> None:
            with Path(folder, f"{name}.jsonl").open("w") as file:
                for i in numbers:
                    file.write(json.dumps({"prompt": f"Count from {i}.", "completion": f"{i}, {i + 1}"}) + "\n")

        model = make_smallest(Path(folder, "smallest")) if smallest else SHARED / "stories260k"
        config = Curate.model_validate({
            "database": f"{folder}/o.duckdb", "model": {"name": str(model)},
            "dataset": {"name": "rows", "path": f"{folder}/rows.jsonl"},
            "reference": {"name": "trusted", "path": f"{folder}/trusted.jsonl"},
            "splitting": {"keep": 0.1}, "publishing": {"folder": f"{folder}/splits"},
        })  # fmt: skip
        put("trusted", range(10**8, 10**8 + 50))
        report: dict[str, Any] = {}
        for what, count in (("all", rows), ("1% more", rows + rows // 100)):
            put("rows", range(count))
            steps: dict[str, list[float]] = {}

            def clocked(name: str, step: Step, steps: dict[str, list[float]] = steps, what: str = what) -> Step:
                def run(*args: Any) -> Any:
                    wall, cpu = time.perf_counter(), time.process_time()
                    result = step(*args)
                    before = steps.get(name, [0.0, 0.0])
                    steps[name] = [
                        round(before[0] + time.perf_counter() - wall, 1),
                        round(before[1] + (time.process_time() - cpu) / rows * 1000, 3),
                        round(peak_memory() / 2**20),
                    ]
                    sys.stderr.write(f"{what}, {name}: {steps[name]}\n")
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
    report = (
        factorisation()
        if sys.argv[1] == "factorisation"
        else pipeline(int(sys.argv[1]), smallest=sys.argv[2:] == ["smallest"])
    )
    peak = peak_memory() / 2**20
    sys.stdout.write(json.dumps(report | {"peak": peak}) + "\n")


if __name__ == "__main__":
    main()
