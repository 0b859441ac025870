"""Scores -> the signals and states of rows, trusted rows and canaries, as arrays on the disk."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oresight.tasks.arrays.arrow import matrix, on_disk
from oresight.tasks.arrays.ondisk import Growing
from oresight.tasks.database import Connection, execute
from oresight.tasks.detection.chunks import CHUNK
from oresight.tasks.detection.signals import DETECTED_BY

TEXTS = "sample_id", "answer", "twin", "canary"


@dataclass(frozen=True)
class Part:
    """Rows of one role, in the order of their sample_ids."""

    sample_ids: pa.ChunkedArray
    answers: pa.ChunkedArray
    """Hashes; null for a long answer and an empty one."""
    twins: pa.ChunkedArray
    """Of canaries: the trusted row that it is a copy of."""
    kinds: pa.ChunkedArray
    """Of canaries: its defect."""
    signals_NS: NDArray[np.float64]
    """Columns as in DETECTED_BY; NaN where a row lacks the signal."""
    answer_tokens_N: NDArray[np.int64]
    states_ND: NDArray[np.float32]
    """Projected states before the answer."""

    def __len__(self) -> int:
        return len(self.answer_tokens_N)


def read_part(connection: Connection, role: str, parameters: Mapping[str, Any], folder: Path) -> Part:
    """The scored rows of a role: dataset, reference or canary. folder: where the files without a name are."""
    signals, states = Growing(folder, np.float64, len(DETECTED_BY)), Growing(folder, np.float32)
    reader = execute(connection, "flag_signals", {**parameters, "role": role}).to_arrow_reader(CHUNK)
    names = [*TEXTS, "answer_tokens"]

    def others() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            signals.append(np.column_stack([_numbers(batch[name]) for name in DETECTED_BY]))
            assert batch["state"].null_count == 0, "every scored row has its state"
            states.append(matrix(batch["state"]) * batch["state_unit"].to_numpy()[:, None])
            yield batch.select(names)

    table = on_disk(others(), pa.schema([reader.schema.field(name) for name in names]), folder)
    return Part(
        sample_ids=table["sample_id"],
        answers=table["answer"],
        twins=table["twin"],
        kinds=table["canary"],
        signals_NS=signals.array(),
        answer_tokens_N=table["answer_tokens"].to_numpy(),
        states_ND=states.array(),
    )


def _numbers(column: pa.Array) -> NDArray[np.float64]:
    """A column of numbers; NaN where there is none."""
    numbers: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers
