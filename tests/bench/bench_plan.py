"""Compare estimates of `oresight plan` with the run: python tests/bench/bench_plan.py [CONFIG.yaml ...].

Both demos by default, each in a folder of its own. Seconds are those that `oresight curate` prints.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEMOS = ["tests/data/demo.yaml", "tests/data/demo-vqa.yaml"]


def run_command(command: str, config: str, folder: Path) -> tuple[dict[str, float], float, int]:
    """Run a command. Returns the numbers that it prints by name, its seconds, and its peak memory in bytes."""
    changes = [f"database={folder}/o.duckdb", f"publishing.folder={folder}/out"]
    sets = [part for change in changes for part in ("--set", change)]
    oresight = [sys.executable, "-m", "oresight.flows.cli", command, config, *sets]
    measured = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print('peak ', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
    )
    started = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-c", measured, *oresight], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    wall = time.perf_counter() - started
    matches = re.findall(r"^(\w[\w ]*?)  +([\d,]+(?:\.\d+)?)\b", run.stdout, re.M)
    numbers = {name: float(number.replace(",", "")) for name, number in matches}
    sys.stdout.write(run.stdout)
    return numbers, wall, int(numbers["peak"])


def main() -> None:
    for config in sys.argv[1:] or DEMOS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            plan, plan_wall, _ = run_command("plan", config, folder)
            assert list(folder.iterdir()) == []
            run, wall, peak = run_command("curate", config, folder)
            files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
            pairs = {
                "seconds": (plan["time"], run["seconds"]),
                "memory, MB": (plan["memory"], peak / 1e6),
                "disk, MB": (plan["disk"], sum(file.stat().st_size for file in files) / 1e6),
            }
            sys.stdout.write(f"{config}: planned in {plan_wall:.0f} s, run in {wall:.0f} s\n")
            assert (plan["to score"], plan["reused"]) == (run["scored"], run["reused"])
            for what, (estimate, measured) in pairs.items():
                factor = max(estimate / measured, measured / estimate)
                sys.stdout.write(f"  {what}: estimate {estimate:.1f}, measured {measured:.1f}, factor {factor:.2f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
