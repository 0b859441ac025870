"""Measures the seconds of a computation on any device, and the peak of memory."""

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
    """Times computations on one device. An accelerator computes asynchronously, so the clock waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def timed(self, run: Callable[[], Result]) -> tuple[Result, float]:
        """Returns the result and the seconds that it took."""
        self.wait()
        started = time.perf_counter()
        result = run()
        self.wait()
        return result, time.perf_counter() - started

    def wait(self) -> None:
        """Wait until the device has finished all queued work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def peak(self) -> int:
        """Most bytes in use so far where the model runs: on the CUDA device, else in this process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return peak_memory()


def peak_memory() -> int:
    """Most bytes of memory that this process has used so far.

    On Linux getrusage counts the memory of the parent process too, so /proc is read first. getrusage counts in bytes on
    macOS and in KiB on other systems.
    """
    status = Path("/proc/self/status")
    if peak := re.search(r"VmHWM:\s*(\d+) kB", status.read_text() if status.exists() else ""):
        return int(peak[1]) * 1024
    maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maximum if sys.platform == "darwin" else maximum * 1024
