"""Writes Croissant metadata (docs.mlcommons.org/croissant) of a published split: files, columns and pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from oresight.tasks.publishing.types import type_of


def describe(part: Path, name: str, about: str, pictures: dict[str, str], sha256: Callable[[Path], str]) -> str:
    """The text of croissant.json for the training file in a folder.

    Args:
        part: The folder.
        name: Name of the dataset.
        about: Its description.
        pictures: Descriptions of the columns that name or hold pictures.
        sha256: Gives the digest of a file.
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
        description = "The pictures of the rows, below images/ under the paths that the rows name."
        formats = ["image/jpeg", "image/png"]
        files.append(mlc.FileSet(id="images", name="images", description=description, encoding_formats=formats,
                                 includes=["images/**"]))  # fmt: skip
    fields = [
        field
        for column, arrow_type in _columns(file).items()
        if (field := _field(mlc, file.name, column, arrow_type, pictures.get(column)))
    ]
    metadata = mlc.Metadata(
        name=name,
        description=about,
        distribution=files,
        record_sets=[mlc.RecordSet(id="rows", name="rows", description="The rows that are kept.", fields=fields)],
    )
    return json.dumps(metadata.to_json(), indent=2, ensure_ascii=False, default=str) + "\n"


def _columns(file: Path) -> dict[str, Any]:
    """Columns with their Arrow types; for JSON lines, the columns of the first line."""
    if file.suffix == ".parquet":
        schema = pq.read_schema(file)
        return dict(zip(schema.names, schema.types, strict=True))
    with file.open(encoding="utf-8") as lines:
        first = json.loads(next(lines, "{}"))
    types = {name: type_of([value]) for name, value in first.items()}
    return {name: pa.string() if data_type is None else data_type for name, data_type in types.items()}


def _field(mlc: Any, file: str, column: str, arrow_type: Any, picture: str | None) -> Any | None:
    """A column as a Croissant field: a value, a list of values, a structure or a list of structures.

    None for a column that is nested deeper. Nested parts of a structure are left out.
    """

    def field(name: str, data_type: Any, description: str, path: str | None = None, **more: Any) -> Any:
        transforms = [mlc.Transform(json_path=path)] if path else []
        source = mlc.Source(file_object=file, extract=mlc.Extract(column=column), transforms=transforms)
        return mlc.Field(id=name, name=name, description=description, data_types=[data_type], source=source, **more)

    name, is_list = f"rows/{column}", pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type)
    inner = arrow_type.value_type if is_list else arrow_type
    if not pa.types.is_nested(inner):
        return field(name, _data_type(inner, mlc.DataType), picture or column, repeated=is_list)
    if not pa.types.is_struct(inner):
        return None
    if picture and not is_list:
        return field(name, mlc.DataType.IMAGE_OBJECT, picture, "bytes")
    members = {member.name: member.type for member in inner if not pa.types.is_nested(member.type)}
    parts = [
        field(f"{name}/{key}", _data_type(member, mlc.DataType), key, f'"{key}"') for key, member in members.items()
    ]
    if not parts:
        return None
    return mlc.Field(id=name, name=name, description=picture or column, repeated=is_list, sub_fields=parts)


def _data_type(arrow_type: Any, croissant: Any) -> Any:
    """The Croissant type of an Arrow type. croissant: mlcroissant.DataType."""
    if pa.types.is_boolean(arrow_type):
        return croissant.BOOL
    if pa.types.is_integer(arrow_type):
        return croissant.INTEGER
    return croissant.FLOAT if pa.types.is_floating(arrow_type) else croissant.TEXT
