"""Chooses the dtype of a model that does not change the ranking of rows and is fastest on the device."""

import time
from statistics import median
from typing import Any

import torch

from oresight.tasks.scoring.parallel import agreed

GAIN = 1.5
"""Half precision is used where it is at least this many times as fast as float32."""


def auto_dtype(config: Any, device: torch.device, parallel: int = 1) -> torch.dtype:
    """bfloat16 for a model that was saved in half precision if the device is faster in it, else float32.

    A model saved in float32 stays in float32: rounding its weights changes the ranking more than computing in bfloat16
    does (docs/log.md). Where several processes share the model, rank 0 measures for all.
    """
    saved = getattr(config, "dtype", None)
    if saved not in (torch.bfloat16, torch.float16):
        return torch.float32
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 1024, dtype=dtype, device=device)
        b = torch.ones(1024, 1024, dtype=dtype, device=device)
        times = []
        for _ in range(7):
            started = time.perf_counter()
            float((a @ b)[0, 0])  # reading a number waits for the device
            times.append(time.perf_counter() - started)
        seconds[dtype] = median(times)
    is_faster = seconds[torch.float32] >= GAIN * seconds[torch.bfloat16]
    if parallel > 1:
        is_faster = bool(agreed(int(is_faster), device))
    return torch.bfloat16 if is_faster else torch.float32
