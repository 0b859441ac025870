"""Seconds that a computation takes on any device, and the most memory that was needed."""

import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

Result = TypeVar("Result")


class Clock:
    """Times computations on one device. An accelerator works on while Python goes ahead, so the clock waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def timed(self, run: Callable[[], Result]) -> tuple[Result, float]:
        """The result, and the seconds that it took."""
        self.wait()
        started = time.perf_counter()
        result = run()
        self.wait()
        return result, time.perf_counter() - started

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def peak(self) -> int:
        """The most bytes where the model runs: of the CUDA device, else of this process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return peak_memory()


def peak_memory() -> int:
    """The most bytes of memory that this process has had.

    On Linux getrusage counts the memory of the parent process too, so /proc is read first. macOS counts in bytes, other
    systems in KiB.
    """
    status = Path("/proc/self/status")
    if own := re.search(r"VmHWM:\s*(\d+) kB", status.read_text() if status.exists() else ""):
        return int(own[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
