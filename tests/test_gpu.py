"""The benchmark for an accelerator is ready: without one it runs with tiny sizes."""

import os
import subprocess
import sys

from tests.support.processes import ROOT


def test_the_benchmark_runs_without_an_accelerator_and_without_the_project_installed() -> None:
    process = subprocess.run(
        [sys.executable, ROOT / "tests" / "bench" / "bench_gpu.py", "--sizes", "tiny"],
        cwd="/", env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "agreement with float32 on the CPU: Spearman 1.00000" in process.stdout
    labels = {line.split(": ")[1].split("  ")[0] for line in process.stdout.splitlines() if "batch 1024" in line}
    assert labels == {"floor", "value", "and self_value", "and the index", "and conditional gain"}
