"""Tells a lack of memory from other errors."""

import torch


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. On a CPU torch raises a plain RuntimeError with a message, without a class of its own."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return "not enough memory" in str(error) or "can't allocate memory" in str(error)
