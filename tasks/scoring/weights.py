"""Refuses weights that hold nothing: with zeros, as an interrupted download leaves them, every row has the value 0."""

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from oresight.tasks.scoring.source import Source, UnusableModel
from oresight.tasks.scoring.spread import named_weights

LOG = logging.getLogger("oresight")
FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def require_weights(model: Any, keys: Mapping[str, Collection[str]], source: Source, folder: Path) -> None:
    """Refuse a model that lacks weights, or whose weights hold nothing. A vector may hold one number throughout.

    keys: what transformers says of the weights that it read; it draws those that are missing at random. folder: where
    they were read. Raises UnusableModel, naming the file.
    """
    if missing := sorted(keys["missing_keys"]):
        raise UnusableModel(
            f"model.name: {_file_of('', source, folder)} lacks {_listed(missing)}, which would be drawn at random;"
            " download it again, or name another model"
        )
    if unused := sorted(keys["unexpected_keys"]):
        LOG.warning("%s: %s are not used: its config.json has no place for them", source.name, _listed(unused))
    for name, weight in named_weights(model):
        local = weight.to_local() if hasattr(weight, "to_local") else weight  # this process's part of a split model
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


def require_varied(logits_LV: Tensor, name: str) -> Tensor:
    """The logits, unless they say nothing: then every row would get the value 0. Raises UnusableModel."""
    low, high = (float(end) for end in torch.aminmax(logits_LV.float()))
    if math.isfinite(low) and math.isfinite(high) and low < high:
        return logits_LV
    what = f"gives every token the same logit ({low:g})" if low == high else "gives logits that are not finite"
    raise UnusableModel(
        f"model.name: {name} {what}, so that rows would get no value; its weights are damaged or too large for its"
        " dtype: set model.dtype to float32, download it again, or name another model"
    )


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more weights' if len(names) > 3 else ''}"


def _is_matrix(weight: Tensor) -> bool:
    return sum(size > 1 for size in weight.shape) > 1


def _file_of(name: str, source: Source, folder: Path) -> Path:
    """The file that a weight was read from, or the folder of the files if none names it so."""
    files = [] if source.gguf else sorted(folder.glob("*.safetensors"))
    for file in files:
        with safe_open(file, framework="pt") as content:
            if len(files) == 1 or name in content.keys():  # noqa: SIM118  it is no dict
                return file
    return source.folder / source.gguf if source.gguf else folder
