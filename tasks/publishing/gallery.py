"""The pictures of a split that is published.

Pictures that rows name by a path stay where they are, unless they are to be copied: then they stand below images/ under
the same paths, so that the rows need no change and a trainer is told one other folder. Pictures that came inside a row
go back into Parquet as they came; a JSON line, which cannot hold them, names a file below images/.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

TOGETHER = 256  # rows whose pictures are in memory at a time


class Shown(NamedTuple):
    """A picture of a row that stays."""

    name: str | None
    path: str
    sha256: str


class Gallery:
    """The pictures of one version, and the folder that it is written to."""

    def __init__(self, pictures: Iterable[Shown], folder: Path, *, copy_all: bool) -> None:
        self.pictures, self.folder, self.copy_all = list(pictures), folder, copy_all
        self.inner = {one.sha256: Path(one.path) for one in self.pictures if one.name is None}

    @property
    def told(self) -> str:
        """For the card: how many there are and where they are."""
        if not self.pictures:
            return ""
        count = len({one.sha256 for one in self.pictures})
        named = [one for one in self.pictures if one.name is not None]
        if not named:
            return f"{count:,}, inside the rows"
        roots = {one.path.removesuffix(str(one.name)).rstrip("/") for one in named if one.path.endswith(str(one.name))}
        where = "copied to `images/`" if self.copy_all else "where they were"
        if not self.copy_all and len(roots) == 1:
            where = f"below `{roots.pop()}`"
        return f"{count:,}, {where}; rows name them by paths that start there"

    def columns(self, file: Path) -> dict[str, str]:
        """What is to be said of the columns of a Parquet file that name or hold pictures."""
        names, found = {one.name for one in self.pictures if one.name}, dict[str, str]()
        if self.pictures and file.is_file():
            with pq.ParquetFile(file) as table:
                first = next(table.iter_batches(TOGETHER), None)
            for column, values in (first.to_pydict() if first else {}).items():
                flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
                if any(isinstance(one, dict) and isinstance(one.get("bytes"), bytes) for one in flat):
                    found[column] = "A picture, as bytes."
                elif any(isinstance(one, str) and one in names for one in flat):
                    found[column] = f"The path of a picture ({self.told})."
        return found

    def copy(self, *, with_inner: bool) -> None:
        """Copy what is to stand below images/. Raises OSError if a picture is gone."""
        for one in self.pictures:
            place = self._place(one)
            if place is not None and (with_inner or one.name is not None):
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(one.path, place)

    def _place(self, one: Shown) -> Path | None:
        if one.name is None:
            return self.folder / "images" / Path(one.path).name
        if not self.copy_all:
            return None
        steps = PurePosixPath(one.name).parts
        if one.name.startswith("/") or ".." in steps:  # an absolute path into the root: the row goes on naming it
            return self.folder / "images" / f"{one.sha256}{Path(one.path).suffix}"
        return (self.folder / "images").joinpath(*steps)

    def rename(self, lines: Path) -> None:
        """Let the lines name the files of the pictures that came inside them."""
        if not self.inner:
            return
        renamed = lines.with_name(".renamed")
        with lines.open(encoding="utf-8") as old, renamed.open("w", encoding="utf-8") as new:
            for line in old:
                new.write(json.dumps(self._named(json.loads(line)), ensure_ascii=False) + "\n")
        renamed.replace(lines)

    def _named(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._named(item) for item in value]
        if isinstance(value, dict):
            kept = value.get("bytes")
            if isinstance(kept, str) and kept.startswith("sha256:") and kept[7:] in self.inner:
                return value | {"bytes": None, "path": f"images/{self.inner[kept[7:]].name}"}
            return {key: self._named(item) for key, item in value.items()}
        if isinstance(value, str) and value.startswith("sha256:") and value[7:] in self.inner:
            return f"images/{self.inner[value[7:]].name}"
        return value

    def fill(self, file: Path) -> None:
        """Put the pictures that came inside rows back into a Parquet file, as datasets' Image feature."""
        if not self.inner:
            return
        from datasets import Features, Image, Value

        filled = file.with_name(".filled")
        with pq.ParquetFile(file) as old:
            first = next(old.iter_batches(TOGETHER))
            features = Features.from_arrow_schema(self._filled_batch(first).schema)
            for name, feature in features.items():
                if feature == {"bytes": Value("binary"), "path": Value("string")}:
                    features[name] = Image()
            with pq.ParquetWriter(filled, features.arrow_schema, compression="zstd") as new:
                for batch in old.iter_batches(TOGETHER):
                    new.write_batch(self._filled_batch(batch).cast(features.arrow_schema))
        filled.replace(file)

    def _filled_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [self._filled(column) for column in batch.columns]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    def _filled(self, column: Any) -> Any:
        """An array with the bytes in place of what stands for them."""
        kind = column.type
        if pa.types.is_struct(kind):
            parts = [self._filled(column.field(i)) for i in range(kind.num_fields)]
            return pa.StructArray.from_arrays(parts, [f.name for f in kind], mask=column.is_null())
        if pa.types.is_list(kind):
            return pa.ListArray.from_arrays(column.offsets, self._filled(column.values), mask=column.is_null())
        if not pa.types.is_string(kind):
            return column
        texts = column.to_pylist()
        if not any(text is not None and text[:7] == "sha256:" and text[7:] in self.inner for text in texts):
            return column
        data = [None if text is None else self.inner[text[7:]].read_bytes() for text in texts]
        return pa.array(data, pa.binary())


def as_list(lines: Path, file: Path) -> None:
    """The same rows as one JSON list, which is how LLaVA's trainer reads them."""
    with lines.open(encoding="utf-8") as old, file.open("w", encoding="utf-8") as new:
        for number, line in enumerate(old):
            new.write(("[\n" if number == 0 else ",\n") + line.rstrip("\n"))
        new.write("\n]\n")
