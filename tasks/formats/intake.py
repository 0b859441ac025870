"""Files -> staged rows, in the layout that the first rows show. A file of which most lines are no rows is refused."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from oresight.tasks.config import Dataset
from oresight.tasks.formats import advice_on_columns, recognise
from oresight.tasks.formats.encoding import Advance
from oresight.tasks.formats.files import read
from oresight.tasks.formats.line import Line
from oresight.tasks.formats.sample import Record
from oresight.tasks.formats.sources import File
from oresight.tasks.formats.staging import Staging

FIRST_ROWS = 200
"""Rows from which the layout is recognised."""
PICTURE_BATCH_ROWS = 128
"""Rows whose pictures are opened at the same time."""
BATCH_BYTES = 32 << 20
"""Bytes of rows in memory after which a batch ends."""
MANY_REJECTS = 100_000
"""Rejects after which a file is given up if it has fewer rows than rejects so far."""
NO_FILES = "none"
"""The layout of trusted rows where there are none."""


def stage_files(
    files: list[File], dataset: Dataset, field: str, staging: Staging, advance: Advance
) -> tuple[str, frozenset[str]]:
    """Write the rows, rejects and pictures of files to the staging files.

    Returns the name of the layout and the columns that it reads. field: the name of the setting `columns`, for
    messages. Raises ValueError if files hold no rows, the layout is unknown or most lines are no rows.
    """
    if not files:
        staging.close()
        return NO_FILES, frozenset()
    lines = ((file.path, line) for file in files for line in read(file, advance))
    head, readable = first_lines(lines, dataset.path)
    try:
        layout = recognise(readable, dataset.columns.given, field)
    except ValueError as error:
        raise ValueError(f"{dataset.path}: {error}") from error
    all_lines = chain(head, lines)
    while batch := _batch(all_lines, PICTURE_BATCH_ROWS):
        staging.add(batch, layout)
        if staging.rejects.count > max(MANY_REJECTS, staging.rows.count):
            break  # the rest of a wrong file need not be read
    staging.close()
    rows, rejects = staging.rows.count, staging.rejects.count
    if rejects > rows:
        is_other_layout = not dataset.columns.given and not any(map(layout.can_read, readable))
        advice = advice_on_columns(readable, field) if is_other_layout else ""
        raise _wrong_file(dataset.path, _reasons(staging.reject_reasons()), rows + rejects, advice)
    return layout.name, layout.used_columns & {column for record in readable for column in record}


def first_lines(lines: Iterator[tuple[str, Line]], path: str) -> tuple[list[tuple[str, Line]], list[Record]]:
    """The first lines of files at a path, and the records in them. Raises ValueError if there are none."""
    head = _batch(lines, FIRST_ROWS)
    if not head:
        raise ValueError(f"{path}: holds no rows; give a file with at least one")
    readable = [line.record for _, line in head if line.record is not None]
    if not readable:
        raise _wrong_file(path, _reasons((name, line.number, line.reason) for name, line in head), len(head))
    return head, readable


def _batch(lines: Iterator[tuple[str, Line]], most: int) -> list[tuple[str, Line]]:
    """The next lines, at most so many, and fewer where they are large."""
    batch, size = list[tuple[str, Line]](), 0
    while len(batch) < most and size < BATCH_BYTES and (line := next(lines, None)):
        batch.append(line)
        size += len(line[1].text) + _picture_bytes(line[1].record)
    return batch


def _picture_bytes(record: Any) -> int:
    """The size of the bytes in a record."""
    size, pending = 0, [record]
    while pending:
        value = pending.pop()
        if isinstance(value, bytes):
            size += len(value)
        elif isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            pending += [item for item in inner if not isinstance(item, str)]
    return size


def picture_root(file: File, dataset: Dataset) -> Path | None:
    """The folder where picture paths start; None for the hub, which has no folder."""
    if dataset.root:
        return Path(dataset.root)
    return None if file.kind == "hub" else Path(file.path) if file.kind == "arrow" else Path(file.path).parent


def _reasons(rejects: Iterable[tuple[Any, ...]]) -> list[tuple[int, str, str]]:
    """Per kind of reason: how often it occurs, its first reason, and the line of that; the most frequent kind first."""
    kinds: dict[str, tuple[int, str, str]] = {}
    for path, number, reason in rejects:
        position = f"{path}, line {number}" if number else path
        kind = re.sub(r"\d+", "N", reason)
        count, first_reason, first_position = kinds.get(kind, (0, reason, position))
        kinds[kind] = count + 1, first_reason, first_position
    return sorted(kinds.values(), key=lambda kind: -kind[0])


def _wrong_file(path: str, reasons: list[tuple[int, str, str]], lines: int, advice: str = "") -> ValueError:
    rejected = sum(count for count, _, _ in reasons)
    count, reason, position = reasons[0]
    return ValueError(
        f"{path}: {rejected} of {lines} lines are not rows that can get a value, so this is the wrong file; the most"
        f" frequent reason ({count} times, first in {position}): {reason}{advice}"
    )
