"""How a dataset would be read, by its first rows: for a configuration that does not exist yet."""

import glob
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import yaml

from oresight.tasks.config import Dataset
from oresight.tasks.formats import Layout, join_names, proposed_columns, recognise
from oresight.tasks.formats.files import read
from oresight.tasks.formats.intake import first_lines, picture_root
from oresight.tasks.formats.sample import Record
from oresight.tasks.formats.sources import list_files, with_members

MOST_FOLDERS = 200
"""Folders in which pictures are looked for."""
MOST_PICTURES = 20
"""Pictures that are looked for."""


class Preview(NamedTuple):
    """What the first rows of a dataset show."""

    section: Dataset
    """The section of a configuration that reads the dataset, with the current folder's paths."""
    layout: str
    rows: int
    """Rows that were looked at."""
    parts: dict[str, tuple[str, ...]]
    """The columns that hold each part of a row."""
    unread: list[str]
    """Columns that are not read."""
    remarks: list[str]
    """What a user should check."""
    digests: frozenset[str]
    """SHA-256 of the files."""


def preview(section: Dataset, split_field: str) -> Preview:
    """Look at the first rows of a dataset whose section may lack columns and root. They are added where they help.

    split_field: the setting that names the split, for messages. Raises ValueError, one line with path and cure, if
    most of the rows cannot be read.
    """
    files, ignored = list_files(section.path, section.split, split_field)
    lines = ((file.path, line) for file in files for line in read(file, lambda _: None))
    head, records = first_lines(lines, section.path)
    layout, section = _readable_layout(records, section)
    remarks = [f"not read: {join_names(ignored)}"] if ignored else []
    if section.columns.given:
        remarks.append("these columns have no usual names: check what each holds, and dataset.columns")
    reasons = [line.reason for _, line in head if line.record is None] + _rejects(layout, records)
    if reasons:
        remarks.append(f"{len(reasons)} of the first {len(head)} lines are no rows: {reasons[0]}")
    pictures = _pictures(layout, records)
    if any("://" in name for name in pictures):
        remarks.append("pictures are on the web: dataset.allow_download: true reads them")
    root = picture_root(files[0], section)
    if root and (names := [name for name in pictures if "://" not in name]):
        folder = next((folder for folder in _folders(root) if _holds(folder, names)), None)
        if folder is None:
            remarks.append(
                f"no picture {names[0]!r} below {root.absolute()}: dataset.root names the folder of pictures"
            )
        elif folder != root:
            section = section.model_copy(update={"root": str(folder)})
    return Preview(
        section=section,
        layout=layout.name,
        rows=len(records),
        parts={part: columns for part, columns in layout.shape.columns.items() if columns},
        unread=sorted({column for record in records for column in record} - layout.used_columns),
        remarks=remarks,
        digests=frozenset(file.sha256 for file in with_members(files)),
    )


def _readable_layout(records: Sequence[Record], section: Dataset) -> tuple[Layout, Dataset]:
    """The layout that reads most of the records, and the section with the columns that it needs."""
    try:
        layout = recognise(records, {})
        rejects = _rejects(layout, records)
        if 2 * len(rejects) <= len(records):
            return layout, section
        reason = f"{len(rejects)} of the first {len(records)} rows cannot be read: {rejects[0]}"
    except ValueError as error:
        reason = str(error)
    if columns := proposed_columns(records):
        section = Dataset.model_validate(section.model_dump(exclude_unset=True) | {"columns": yaml.safe_load(columns)})
        return recognise(records, section.columns.given), section
    raise ValueError(f"{section.path}: {reason}; docs/layouts.md shows the rows that are read")


def _rejects(layout: Layout, records: Sequence[Record]) -> list[str]:
    """The reasons why records are no rows in a layout."""
    reasons = []
    for record in records:
        try:
            layout.read(record)
        except (ValueError, TypeError, RecursionError) as error:
            reasons.append(str(error))
    return reasons


def _pictures(layout: Layout, records: Sequence[Record]) -> list[str]:
    """The first paths and URLs of pictures."""
    named = (picture for record in records if layout.can_read(record) for picture in layout.read(record).pictures)
    return list(islice((picture for picture in named if isinstance(picture, str)), MOST_PICTURES))


def _folders(root: Path) -> list[Path]:
    """Folders that paths of pictures may start from: that of the file, those in it, and those beside it."""
    parent = root.absolute().parent
    below = [sorted(glob.glob(f"{glob.escape(str(folder))}/*/")) for folder in (root, parent)]  # noqa: PTH207 skips what it cannot read
    return [root, *map(Path, below[0]), parent, *map(Path, below[1])][:MOST_FOLDERS]


def _holds(folder: Path, names: Sequence[str]) -> bool:
    return all(os.path.isfile(folder / name) for name in names)  # noqa: PTH113 a name may be no path at all
