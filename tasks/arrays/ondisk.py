"""Arrays on the disk, for what would fill the memory: signals and states of ten million rows take 4 GB.

They are in files without a name, which are gone with the process, and whose pages the system can take out of memory.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oresight.tasks.detection.chunks import chunks


class Growing:
    """A matrix that is written to the disk block by block."""

    def __init__(self, folder: Path, dtype: type, width: int = 0) -> None:
        """width: numbers a row, which matters only where no row is written."""
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  `array` closes it
        self.dtype, self.shape = np.dtype(dtype), (0, width)

    def append(self, block_MS: NDArray[Any]) -> None:
        """Write more rows. Raises OSError if the disk is full."""
        self.file.write(np.ascontiguousarray(block_MS, self.dtype).data)
        self.shape = (self.shape[0] + len(block_MS), block_MS.shape[1])

    def array(self) -> NDArray[Any]:
        """All rows. What is changed in the array is not written."""
        self.file.flush()
        with self.file:
            if all(self.shape):
                return np.memmap(self.file, self.dtype, "c", shape=self.shape)
            return np.empty(self.shape, self.dtype)


def stacked(arrays: Sequence[NDArray[Any]], folder: Path) -> NDArray[Any]:
    """Arrays of one width, one after the other, as one on the disk."""
    whole = Growing(folder, np.float32)
    for array_MS in arrays:
        for block in chunks(len(array_MS)):
            whole.append(array_MS[block])
    return whole.array()


def side_by_side(left_NS: NDArray[np.float64], right_NS: NDArray[np.float64], folder: Path) -> NDArray[np.float64]:
    """Two arrays of as many rows, side by side, as one on the disk."""
    whole = Growing(folder, np.float64, left_NS.shape[1] + right_NS.shape[1])
    for block in chunks(len(left_NS)):
        whole.append(np.concatenate([left_NS[block], right_NS[block]], axis=1))
    return whole.array()
