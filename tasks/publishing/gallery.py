"""Publishes the pictures of a split.

Pictures that rows name by a path stay where they are, or are copied to images/ under the same paths
(`publishing.copy_images`), so that the rows need no change and a trainer needs only another folder. Pictures that came
inside a row go back into Parquet as bytes. A JSON line cannot hold bytes, so it names a file below images/.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

BATCH = 256
"""Rows whose pictures are in memory at a time."""


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
                first = next(table.iter_batches(BATCH), None)
            for column, values in (first.to_pydict() if first else {}).items():
                items = [item for value in values for item in (value if isinstance(value, list) else [value])]
                if any(isinstance(item, dict) and isinstance(item.get("bytes"), bytes) for item in items):
                    descriptions[column] = "A picture, as bytes."
                elif any(isinstance(item, str) and item in names for item in items):
                    descriptions[column] = f"The path of a picture ({self.summary})."
        return descriptions

    def copy(self, *, with_embedded: bool) -> None:
        """Copy pictures to images/. with_embedded: also those that came inside rows. Raises OSError if one is gone."""
        for picture in self.pictures:
            target = self._target(picture)
            if target is not None and (with_embedded or picture.name is not None):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(picture.path, target)

    def _target(self, picture: PublishedPicture) -> Path | None:
        """The path of the copy; None if the picture is not copied."""
        if picture.name is None:
            return self.folder / "images" / Path(picture.path).name
        if not self.copy_all:
            return None
        parts = PurePosixPath(picture.name).parts
        if picture.name.startswith("/") or ".." in parts:  # an absolute path into the root; the row still names it
            return self.folder / "images" / f"{picture.sha256}{Path(picture.path).suffix}"
        return (self.folder / "images").joinpath(*parts)

    def name_files(self, lines: Path) -> None:
        """Rewrite JSON lines so that they name the files of pictures that came inside them."""
        if not self.embedded:
            return
        renamed = lines.with_name(".renamed")
        with lines.open(encoding="utf-8") as old, renamed.open("w", encoding="utf-8") as new:
            for line in old:
                new.write(json.dumps(self._named(json.loads(line)), ensure_ascii=False) + "\n")
        renamed.replace(lines)

    def _named(self, value: Any) -> Any:
        """A JSON value with file names in place of the digests of pictures."""
        if isinstance(value, list):
            return [self._named(item) for item in value]
        if isinstance(value, dict):
            content = value.get("bytes")
            if isinstance(content, str) and content.startswith("sha256:") and content[7:] in self.embedded:
                return value | {"bytes": None, "path": f"images/{self.embedded[content[7:]].name}"}
            return {key: self._named(item) for key, item in value.items()}
        if isinstance(value, str) and value.startswith("sha256:") and value[7:] in self.embedded:
            return f"images/{self.embedded[value[7:]].name}"
        return value

    def embed(self, file: Path) -> None:
        """Put the pictures that came inside rows back into a Parquet file, as the Image feature of `datasets`."""
        if not self.embedded:
            return
        from datasets import Features, Image, Value

        filled = file.with_name(".filled")
        with pq.ParquetFile(file) as old:
            first = next(old.iter_batches(BATCH))
            features = Features.from_arrow_schema(self._filled_batch(first).schema)
            for name, feature in features.items():
                if feature == {"bytes": Value("binary"), "path": Value("string")}:
                    features[name] = Image()
            with pq.ParquetWriter(filled, features.arrow_schema, compression="zstd") as new:
                for batch in old.iter_batches(BATCH):
                    new.write_batch(self._filled_batch(batch).cast(features.arrow_schema))
        filled.replace(file)

    def _filled_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [self._filled(column) for column in batch.columns]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    def _filled(self, column: Any) -> Any:
        """An array with the bytes of pictures in place of their digests."""
        arrow_type = column.type
        if pa.types.is_struct(arrow_type):
            parts = [self._filled(column.field(i)) for i in range(arrow_type.num_fields)]
            return pa.StructArray.from_arrays(parts, [field.name for field in arrow_type], mask=column.is_null())
        if pa.types.is_list(arrow_type):
            return pa.ListArray.from_arrays(column.offsets, self._filled(column.values), mask=column.is_null())
        if not pa.types.is_string(arrow_type):
            return column
        texts = column.to_pylist()
        if not any(text is not None and text[:7] == "sha256:" and text[7:] in self.embedded for text in texts):
            return column
        data = [None if text is None else self.embedded[text[7:]].read_bytes() for text in texts]
        return pa.array(data, pa.binary())


def as_list(lines: Path, file: Path) -> None:
    """Write JSON lines as one JSON list, which LLaVA's trainer reads."""
    with lines.open(encoding="utf-8") as old, file.open("w", encoding="utf-8") as new:
        for number, line in enumerate(old):
            new.write(("[\n" if number == 0 else ",\n") + line.rstrip("\n"))
        new.write("\n]\n")
