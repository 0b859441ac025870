"""Refuses weights that hold nothing: with zeros, as an interrupted download leaves them, every row has the value 0."""

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from oresight.tasks.scoring.source import Source, UnusableModel

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def require_numbers(model: Any, source: Source, folder: Path) -> None:
    """Raises UnusableModel, naming the file, if a weight is no finite number, or a matrix is one number throughout.

    A vector may be: that of a new norm is all ones. folder: where the weights were read.
    """
    for name, weight in model.named_parameters():
        local = weight.detach()
        local = local.to_local() if hasattr(local, "to_local") else local  # this process's part of a split model
        if local.dtype not in FLOATS or not local.numel():
            continue
        low, high = (float(end) for end in torch.aminmax(local))  # NaN if one of them is
        if not (math.isfinite(low) and math.isfinite(high)):
            what = "numbers that are not finite"
        elif low == high and _is_matrix(local):
            what = f"{low:g} only"
        else:
            continue
        half = ", set model.dtype to bfloat16 if these numbers are too large for float16"
        raise UnusableModel(
            f"model.name: {_file_of(name, source, folder)} is damaged, or was never trained: its {name} holds {what};"
            f" download it again{half if local.dtype == torch.float16 else ''}, or name another model"
        )


def _is_matrix(weight: Tensor) -> bool:
    return sum(size > 1 for size in weight.shape) > 1


def _file_of(name: str, source: Source, folder: Path) -> Path:
    """The file that a weight was read from, or the folder of the files if none names it so."""
    if source.gguf:
        return source.folder / source.gguf
    files = sorted(folder.glob("*.safetensors"))
    for file in files:
        with safe_open(file, framework="pt") as content:
            if len(files) == 1 or name in content.keys():  # noqa: SIM118  it is no dict
                return file
    return folder
