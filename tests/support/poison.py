"""Makes actors die of a row, as a crash in a library would. Ray calls `install` when it starts a process."""

import os
import signal
from collections.abc import Sequence
from typing import Any

DEADLY = "This row ends the process that reads it."
"""A text that no row of the samples has."""


def install() -> None:
    from oresight.tasks.workload import scorer

    encode_rows = scorer.encode_rows

    def encode_or_die(rows: Sequence[dict[str, Any]], *settings: Any) -> Any:
        if any(DEADLY in row["messages"] for row in rows):
            os.kill(os.getpid(), signal.SIGKILL)
        return encode_rows(rows, *settings)

    scorer.encode_rows = encode_or_die
