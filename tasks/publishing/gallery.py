"""Publishes the pictures of a split.

Pictures that rows name by a path stay where they are, or are copied to images/ under the same paths
(`publishing.copy_images`), so that the rows need no change and a trainer needs only another folder. Pictures that came
inside a row go back into Parquet as bytes. A JSON line cannot hold bytes, so it names a file below images/.
"""

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from oresight.tasks.scoring.picture import read_ingested

FIRST_ROWS = 256
"""Rows that show which columns hold pictures."""
DIGEST = "sha256:"
"""Begins the text that stands for the bytes of a picture in a record."""


class PublishedPicture(NamedTuple):
    """A picture of a row that is kept."""

    name: str | None
    """The path in the row; None for a picture that came inside the row."""
    path: str
    """The file that holds the picture."""
    sha256: str


class Gallery:
    """The pictures of one version, and the folder that it is written to."""

    def __init__(self, pictures: Iterable[PublishedPicture], folder: Path, *, copy_all: bool) -> None:
        self.pictures, self.folder, self.copy_all = list(pictures), folder, copy_all
        self.named_files = set[Path]()
        self.embedded = {picture.sha256: Path(picture.path) for picture in self.pictures if picture.name is None}

    @property
    def summary(self) -> str:
        """Number and location of the pictures, for the card."""
        if not self.pictures:
            return ""
        count = len({picture.sha256 for picture in self.pictures})
        named = [picture for picture in self.pictures if picture.name is not None]
        if not named:
            return f"{count:,}, inside the rows"
        roots = {
            picture.path.removesuffix(str(picture.name)).rstrip("/")
            for picture in named
            if picture.path.endswith(str(picture.name))
        }
        where = "copied to `images/`" if self.copy_all else "where they were"
        if not self.copy_all and len(roots) == 1:
            where = f"below `{roots.pop()}`"
        return f"{count:,}, {where}; rows name them by paths that start there"

    def columns(self, file: Path) -> dict[str, str]:
        """Descriptions of the columns of a Parquet file that name or hold pictures."""
        names, descriptions = {picture.name for picture in self.pictures if picture.name}, dict[str, str]()
        if self.pictures and file.is_file():
            with pq.ParquetFile(file) as table:
                first = next(table.iter_batches(FIRST_ROWS), None)
            for column, values in (first.to_pydict() if first else {}).items():
                items = [item for value in values for item in (value if isinstance(value, list) else [value])]
                if any(isinstance(item, dict) and isinstance(item.get("bytes"), bytes) for item in items):
                    descriptions[column] = "A picture, as bytes."
                elif any(isinstance(item, str) and item in names for item in items):
                    descriptions[column] = f"The path of a picture ({self.summary})."
        return descriptions

    def copy(self) -> None:
        """Copy pictures to images/, as they were when they were ingested.

        Raises Unreadable if one is gone or has changed since; ValueError if two would be one file.
        """
        copied = dict[Path, PublishedPicture]()
        for picture in self.pictures:
            target = self._target(picture)
            if target is None:
                continue
            other = copied.setdefault(target, picture)
            if other.sha256 != picture.sha256:
                raise ValueError(
                    f"publishing.copy_images: rows call two pictures {picture.name!r} ({other.path} and"
                    f" {picture.path}); rename one of them, also in its rows"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(read_ingested(picture.path, picture.sha256))

    def _target(self, picture: PublishedPicture) -> Path | None:
        """The path of the copy; None if the picture is not copied."""
        if picture.name is None:
            used = self.copy_all or Path(picture.path) in self.named_files
            return self.folder / "images" / Path(picture.path).name if used else None
        if not self.copy_all:
            return None
        parts = PurePosixPath(picture.name).parts
        if picture.name.startswith("/") or ".." in parts:  # an absolute path into the root; the row still names it
            return self.folder / "images" / f"{picture.sha256}{Path(picture.path).suffix}"
        return (self.folder / "images").joinpath(*parts)

    def line(self, record: str) -> str:
        """A record as one JSON line, in which pictures that came inside it are the names of files below images/."""
        if not self.embedded or f'"{DIGEST}' not in record:
            return record
        return json.dumps(self.with_names(json.loads(record)), ensure_ascii=False)

    def with_names(self, value: Any) -> Any:
        """A JSON value with file names in place of the digests of pictures."""
        if isinstance(value, list):
            return [self.with_names(item) for item in value]
        if isinstance(value, dict):
            if file := self._embedded_file(value.get("bytes")):
                return value | {"bytes": None, "path": self._name(file)}
            return {key: self.with_names(item) for key, item in value.items()}
        file = self._embedded_file(value)
        return self._name(file) if file else value

    def with_bytes(self, value: Any, placeholder: bytes | None = None) -> Any:
        """A JSON value with the bytes of pictures, or a placeholder for them, in place of their digests."""
        if not self.embedded:
            return value
        if isinstance(value, list):
            return [self.with_bytes(item, placeholder) for item in value]
        if isinstance(value, dict):
            return {key: self.with_bytes(item, placeholder) for key, item in value.items()}
        if file := self._embedded_file(value):
            return read_ingested(str(file), value.removeprefix(DIGEST)) if placeholder is None else placeholder
        return value

    def _embedded_file(self, value: Any) -> Path | None:
        """The file of a picture that came inside a row, if the value is its digest."""
        if isinstance(value, str) and value.startswith(DIGEST):
            return self.embedded.get(value.removeprefix(DIGEST))
        return None

    def _name(self, file: Path) -> str:
        """The path of a picture below the folder. `copy` will copy it there."""
        self.named_files.add(file)
        return f"images/{file.name}"
