"""Puts the layers of a model on all GPUs one after another, then in main memory, then on the disk (`device_map`).

This process runs them in turn, so one GPU works at a time. What does not fit on the GPUs is brought to one of them for
each batch. The numbers are those of one device. The head is copied to the first device, where values are computed.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import Tensor

ROOM = 0.8
"""Share of the free memory of each device, and of the main memory, that layers may take. Batches need the rest."""


class Spread:
    """Where the layers of a model are."""

    def __init__(self, device: torch.device) -> None:
        """device: the first device; a CPU leaves the GPUs out."""
        from accelerate.utils import get_max_memory

        free = {name: room for name, room in get_max_memory().items() if name == "cpu" or device.type != "cpu"}
        self.memory = {name: int(room * ROOM) for name, room in free.items()}
        self.folder = TemporaryDirectory(prefix="oresight-layers-")
        """Layers that are stored in another form than they compute in, as mixtures of experts are."""

    def options(self) -> dict[str, Any]:
        """How transformers is to load the model. The first GPU gets fewer layers: the head and the values are there."""
        return {"device_map": "balanced_low_0", "max_memory": self.memory, "offload_folder": self.folder.name}

    def places(self, model: Any) -> list[str]:
        """The devices that hold layers, in their order, as cuda:0, cuda:1, cpu, disk; none if one device holds all."""
        devices = getattr(model, "hf_device_map", {}).values()
        return list(dict.fromkeys(f"cuda:{device}" if isinstance(device, int) else str(device) for device in devices))


def named_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """The weights of a model with their names. Those on the disk are read one after the other."""
    for name, weight in model.named_parameters():
        if not weight.is_meta:
            yield name, weight.detach()
            continue
        module_name, _, own_name = name.rpartition(".")
        module = model.get_submodule(module_name)
        with _in_memory(module):
            yield name, getattr(module, own_name).detach()


def brought(module: Any, device: torch.device) -> list[Tensor | None]:
    """Weight and bias of a layer on a device, wherever they are."""
    with _in_memory(module):
        tensors = (getattr(module, name, None) for name in ("weight", "bias"))
        return [tensor.detach().to(device) if isinstance(tensor, Tensor) else None for tensor in tensors]


def _in_memory(module: Any) -> AbstractContextManager[None]:
    """Inside, the module has its weights, wherever they are otherwise."""
    from accelerate.utils import align_module_device

    return cast(AbstractContextManager[None], align_module_device(module))
