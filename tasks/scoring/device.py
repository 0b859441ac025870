"""The devices that run models, and how a CPU multiplies."""

import os
from functools import cache
from pathlib import Path

import torch

for cached in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    # oneDNN, and torch's layer on it, keep 1,024 compiled products each, one for every shape. Batches have new shapes
    # all the time, so these took 0.5 GB and saved nothing (docs/log.md). They are read at the first product.
    os.environ.setdefault(cached, "64")


def devices(setting: str) -> list[str]:
    """The devices that score in parallel. auto: every CUDA device, else mps, else the CPU."""
    if setting == "auto":
        if torch.cuda.is_available():
            return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        return ["mps" if torch.backends.mps.is_available() else "cpu"]
    return [setting]


@cache
def choose_float32_kernels(device: torch.device) -> None:
    """Compute float32 products with oneDNN on processors of AMD, where MKL, which torch takes, is slow.

    The setting of torch that leads there also lets oneDNN round to bfloat16, which it does on processors with AMX. So
    a product is compared with that in float64, and the setting is taken back where it is less exact than float32.
    """
    if device.type != "cpu" or not _is_amd():
        return
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    usual, setting.fp32_precision = setting.fp32_precision, "bf16"
    if not _is_exact():
        setting.fp32_precision = usual


def _is_exact() -> bool:
    """Whether a product in float32 is as near to that in float64 as float32 can be."""
    a = torch.randn(256, 512, generator=torch.Generator().manual_seed(0))
    exact = a.double() @ a.double().T
    return float((a @ a.T - exact).abs().max() / exact.abs().max()) < 1e-6


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
