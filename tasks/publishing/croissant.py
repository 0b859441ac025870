"""A published split as Croissant metadata (docs.mlcommons.org/croissant): its files, their columns and pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


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
    fields = [
        field
        for column, told in _columns(file).items()
        if (field := _field(mlc, file.name, column, told, pictures.get(column)))
    ]
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


def _field(mlc: Any, file: str, column: str, told: Any, picture: str | None) -> Any | None:
    """A column as Croissant has it: a value, a list of values, a structure or a list of structures; None for what is
    nested deeper. A part of a structure that is itself nested is left out."""

    def field(place: str, kind: Any, says: str, path: str | None = None, **more: Any) -> Any:
        transforms = [mlc.Transform(json_path=path)] if path else []
        source = mlc.Source(file_object=file, extract=mlc.Extract(column=column), transforms=transforms)
        return mlc.Field(id=place, name=place, description=says, data_types=[kind], source=source, **more)

    place, listed = f"rows/{column}", pa.types.is_list(told) or pa.types.is_large_list(told)
    inner = told.value_type if listed else told
    if not pa.types.is_nested(inner):
        return field(place, _type(inner, mlc.DataType), picture or column, repeated=listed)
    if not pa.types.is_struct(inner):
        return None
    if picture and not listed:
        return field(place, mlc.DataType.IMAGE_OBJECT, picture, "bytes")
    kinds = {one.name: _type(one.type, mlc.DataType) for one in inner if not pa.types.is_nested(one.type)}
    parts = [field(f"{place}/{name}", kind, name, f'"{name}"') for name, kind in kinds.items()]
    if not parts:
        return None
    return mlc.Field(id=place, name=place, description=picture or column, repeated=listed, sub_fields=parts)


def _type(kind: Any, known: Any) -> Any:
    if pa.types.is_boolean(kind):
        return known.BOOL
    if pa.types.is_integer(kind):
        return known.INTEGER
    return known.FLOAT if pa.types.is_floating(kind) else known.TEXT
