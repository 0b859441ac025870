"""Writes the rows of a version, with their pictures, and decides which file `datasets.load_dataset` reads."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from oresight.tasks.database import Connection, execute, records
from oresight.tasks.publishing.columns import CHANGES, Change, write_columns
from oresight.tasks.publishing.gallery import Gallery, PublishedPicture
from oresight.tasks.publishing.lines import digest_of, loads_in_pieces, read_batches, write_lines, write_list
from oresight.tasks.publishing.version import Version
from oresight.tasks.runs.progress import log


@dataclass(frozen=True)
class Rows:
    """The rows of a version as they were written."""

    content: str
    """Digest of the records."""
    gallery: Gallery
    changes: dict[str, Change]
    """Columns of train.parquet that differ from the records, and how."""
    default_file: str
    """The file that `datasets.load_dataset` reads, because the card names it."""


def write_rows(connection: Connection, part: Path, version: Version) -> Rows:
    """Write the rows, their pictures and the dropped rows to a folder."""
    pictures = [PublishedPicture(**picture) for picture in records(connection, "publish_pictures", version.parameters)]
    gallery = Gallery(pictures, part, copy_all=version.settings["publishing"]["copy_images"])
    batches, lines = partial(read_batches, connection, version), part / "train.jsonl"
    if "jsonl" in version.formats:
        write_lines(batches, lines, gallery)
        if any(parent["role"] == "dataset" and parent["layout"] == "llava" for parent in version.parents):
            write_list(lines, part / "train.json")
    changes: dict[str, Change] = {}
    if "parquet" in version.formats:
        changes = write_columns(batches, part / "train.parquet", gallery)
        for name, change in changes.items():
            log().warning("publish: column %r of train.parquet holds %s", name, CHANGES[change])
    gallery.copy()
    execute(connection, "publish_dropped", version.parameters | {"file": str(part / "dropped.parquet")})
    return Rows(digest_of(batches), gallery, changes, _default_file(connection, version, changes, lines))


def _default_file(connection: Connection, version: Version, changes: dict[str, Change], lines: Path) -> str:
    """The file that gives a trainer the rows as the raw file did: train.parquet, which every release loads.

    It is train.jsonl if a column that the layout reads differs in train.parquet: chat templates print the nulls, and
    JSON text is no list of turns. Nulls are accepted, though, if some release of `datasets` cannot load train.jsonl.
    """
    if "jsonl" not in version.formats or "parquet" not in version.formats:
        return f"train.{version.formats[0]}"
    unread = {name for (name,) in execute(connection, "publish_unread", version.parameters).fetchall()}
    read = {change for name, change in changes.items() if name not in unread}
    use_lines = "json" in read or ("nulls" in read and loads_in_pieces(lines))
    return "train.jsonl" if use_lines else "train.parquet"
