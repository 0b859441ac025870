"""How precisely a model computes: the fastest way on the device that does not change the ranking of rows."""

import time
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from typing import Any

import torch
from torch import nn

from oresight.tasks.scoring.parallel import agreed

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
HALF = (torch.bfloat16, torch.float16)
MIXED = "mixed"
"""Products in bfloat16; weights of other layers, sums of layers (the residual stream), head and results in float32."""
GAIN = 1.5
"""Half precision is used where it is at least this many times as fast as float32."""
NARROW = 256
"""Below this width of the states, products are too small a part of the work to pay for less precise ones."""


def auto_dtype(config: Any, device: torch.device, parallel: int = 1, *, can_mix: bool = True) -> str:
    """The dtype of a model by its configuration and a measurement: float32, bfloat16 or mixed.

    On a CPU mixed is chosen where that is faster. On other devices, a model that was saved in half precision runs in
    bfloat16 where that is faster. Where several processes share the model, rank 0 measures for all.
    """
    mixes = device.type == "cpu" and parallel == 1 and can_mix
    width = getattr(config.get_text_config(decoder=True), "hidden_size", None) or 0
    if (width < NARROW) if mixes else (saved_dtype(config) not in HALF):
        return "float32"
    a = torch.ones(512, width or 1024, device=device)
    b = torch.ones(2048, width or 1024, device=device)
    half_b = b.bfloat16()
    is_faster = _seconds(lambda: a @ b.T) >= GAIN * _seconds(lambda: (a.bfloat16() @ half_b.T).float())
    if parallel > 1:
        is_faster = bool(agreed(int(is_faster), device))
    return (MIXED if mixes else "bfloat16") if is_faster else "float32"


def _seconds(product: Any) -> float:
    """The median time of a product on its device."""
    times = []
    for _ in range(7):
        started = time.perf_counter()
        float(product()[0, 0])  # reading a number waits for the device
        times.append(time.perf_counter() - started)
    return median(times)


def saved_dtype(config: Any) -> torch.dtype | None:
    """The dtype in which a model was saved, if its configuration says so."""
    saved = getattr(config, "dtype", None)
    return saved if isinstance(saved, torch.dtype) else None


def loaded_dtype(dtype: str, config: Any) -> torch.dtype:
    """The dtype in which the weights are read."""
    if dtype != MIXED:
        return DTYPES[dtype]
    saved = saved_dtype(config)
    return saved if saved in HALF else torch.float32


def mix(model: Any) -> None:
    """Keep the weights of linear layers in bfloat16, and all others and the head in float32. In place."""
    head = model.get_output_embeddings()
    for module in model.modules():
        own = [x for x in (*module.parameters(recurse=False), *module.buffers(recurse=False)) if x.is_floating_point()]
        is_linear = isinstance(module, nn.Linear) and module is not head
        for x in own:
            x.data = x.data.to(torch.bfloat16 if is_linear else torch.float32)


def mixing(device: torch.device, *, enabled: bool) -> AbstractContextManager[Any]:
    """Inside, products of a mixed model are in bfloat16."""
    return torch.autocast(device.type, torch.bfloat16) if enabled else nullcontext()
