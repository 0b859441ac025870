"""A published split as Croissant metadata (docs.mlcommons.org/croissant): its files, their columns and pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

NESTED = "Nested; its structure is that of the file's column."


def describe(part: Path, name: str, about: str, pictures: dict[str, str], sha256: Callable[[Path], str]) -> str:
    """The text of croissant.json for the training file in a folder.

    pictures: what is to be said of the columns that name or hold pictures.
    """
    import mlcroissant as mlc

    file = next(part / name for name in ("train.parquet", "train.jsonl") if (part / name).is_file())
    parquet = file.suffix == ".parquet"
    size, kind = f"{file.stat().st_size} B", "application/x-parquet" if parquet else "application/jsonlines"
    files: list[Any] = [
        mlc.FileObject(
            id=file.name, name=file.name, content_url=file.name, content_size=size, encoding_formats=[kind],
            sha256=sha256(file),
        )
    ]  # fmt: skip
    if (part / "images").is_dir():
        says = "The pictures that rows name, below images/ under the rows' own paths."
        formats = ["image/jpeg", "image/png"]
        files.append(mlc.FileSet(id="images", name="images", description=says, encoding_formats=formats,
                                 includes=["images/**"]))  # fmt: skip
    fields = []
    for column, told in _columns(file).items():
        held = column in pictures and pa.types.is_struct(told)
        picture = mlc.DataType.IMAGE_OBJECT if held else None
        nested = pa.types.is_nested(told) and not held
        says = pictures.get(column) or (NESTED if nested else column)
        fields.append(mlc.Field(
            id=f"rows/{column}", name=f"rows/{column}", description=says,
            data_types=[picture or _type(told, mlc.DataType)],
            source=mlc.Source(
                file_object=file.name, extract=mlc.Extract(column=column),
                transforms=[mlc.Transform(json_path="bytes")] if held else [],
            ),
        ))  # fmt: skip
    metadata = mlc.Metadata(
        name=name,
        description=about,
        distribution=files,
        record_sets=[mlc.RecordSet(id="rows", name="rows", description="The rows that stay.", fields=fields)],
    )
    return json.dumps(metadata.to_json(), indent=2, ensure_ascii=False, default=str) + "\n"


def _columns(file: Path) -> dict[str, Any]:
    """Columns and their Arrow types; of JSON lines, those of the first."""
    if file.suffix == ".parquet":
        schema = pq.read_schema(file)
        return dict(zip(schema.names, schema.types, strict=True))
    with file.open(encoding="utf-8") as lines:
        first = json.loads(next(lines, "{}"))
    return {name: pa.infer_type([value]) for name, value in first.items()}


def _type(kind: Any, known: Any) -> Any:
    if pa.types.is_boolean(kind):
        return known.BOOL
    if pa.types.is_integer(kind):
        return known.INTEGER
    return known.FLOAT if pa.types.is_floating(kind) else known.TEXT
