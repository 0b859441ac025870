"""Finds the pictures of a record: a column of pictures, parts of a turn, or the marks in its text that they replace.

A source is what the record holds for a picture: a path, a URL, or the bytes. album.py turns sources into files.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import orjson

from oresight.tasks.formats.sample import Record, Sample, Turn, describe

COLUMNS = ("image", "images", "file_name", "image_path", "image_file", "image_paths", "img", "picture")
MARK = "<image>"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")
PictureSource = str | bytes


def column(record: Record) -> str | None:
    """The column that holds pictures, or None."""
    return next((name for name in COLUMNS if name in record and _may_be_picture(name, record[name])), None)


def with_pictures(sample: Sample, record: Record, columns: Mapping[str, str]) -> Sample:
    """The sample with its pictures in place: at marks or image parts, else before the first text of the user.

    Raises ValueError with the reason if places and pictures do not match, or the answer holds a picture.
    """
    field = columns.get("image") or column(record) or ""
    sources = picture_sources(record.get(field), field)
    if not sources and all(isinstance(turn["content"], str) for turn in sample.messages):
        if field and any(MARK in turn["content"] for turn in sample.messages):
            raise ValueError(f"a text says {MARK} where field {field!r} holds no picture")
        return sample
    contents = [_parts(turn, marks=bool(sources)) for turn in sample.messages]
    slots = [part for parts in contents for part in parts if part["type"] == "image" and "source" not in part]
    if sources and not slots:
        first = next(i for i, turn in enumerate(sample.messages) if turn["role"] == "user")
        slots = [{"type": "image"} for _ in sources]
        contents[first] = [*slots, *contents[first]]
    if len(slots) != len(sources):
        places, pictures_held = _count(len(slots), "place"), _count(len(sources), "picture")
        raise ValueError(f"has {places} for pictures and {pictures_held}")
    for slot, source in zip(slots, sources, strict=True):
        slot["source"] = source
    if any(part["type"] == "image" for part in contents[-1]):
        raise ValueError("the answer holds a picture; only texts are valued")
    pictures = [
        source
        for parts in contents
        for part in parts
        if part["type"] == "image"
        for source in picture_sources(part.pop("source"), field or "image")
    ]
    messages = [
        {"role": turn["role"], "content": parts if any(part["type"] == "image" for part in parts) else _text(parts)}
        for turn, parts in zip(sample.messages, contents, strict=True)
    ]
    return Sample(messages, sample.tools, pictures)


def picture_sources(value: Any, field: str) -> list[PictureSource]:
    """The pictures that a field holds, in order. Raises ValueError with what it holds instead."""
    if value is None or value == "" or value == []:
        return []
    if isinstance(value, str) and value.startswith("["):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return [value]
    if isinstance(value, list | tuple):
        return [source for item in value for source in picture_sources(item, field)]
    if isinstance(value, dict):
        inner = next((value[key] for key in ("bytes", "path", "url", "image", "data") if value.get(key)), None)
        if inner is None:
            raise ValueError(f"field {field!r} holds an object without bytes, path or url, which is not a picture")
        return picture_sources(inner, field)
    if isinstance(value, bytes):
        return [value]
    if not isinstance(value, str):
        raise ValueError(f"field {field!r} holds {describe(value)}, not a picture (a path, or bytes)")
    if value.startswith("data:"):
        try:
            return [base64.b64decode(value.partition("base64,")[2], validate=True)]
        except binascii.Error as error:
            raise ValueError(f"field {field!r} holds a data: URL that is not base64 ({error})") from error
    return [value]


def _parts(turn: Turn, *, marks: bool) -> list[dict[str, Any]]:
    """A turn's content as parts. Beside a picture, empty texts and surrounding white space are dropped.

    marks: split texts at MARK, and put a picture there.
    """
    content = turn["content"] if isinstance(turn["content"], list) else [{"type": "text", "text": turn["content"]}]
    parts: list[dict[str, Any]] = []
    for part in content:
        if part["type"] == "image" or not (marks and MARK in part["text"]):
            parts.append(dict(part))
            continue
        for i, text in enumerate(re.split(MARK, part["text"])):
            parts += [{"type": "image"}] if i else []
            parts.append({"type": "text", "text": text})
    if not any(part["type"] == "image" for part in parts):
        return parts
    trimmed: list[dict[str, Any]] = []
    for part in parts:
        if part["type"] == "image":
            trimmed.append(part)
        elif part["text"].strip():
            trimmed.append({"type": "text", "text": part["text"].strip()})
    return trimmed


def _text(parts: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _may_be_picture(name: str, value: Any) -> bool:
    """Whether a column's value may be a picture: a column with such a name may also hold something else."""
    if isinstance(value, list):
        return bool(value) and _may_be_picture(name, value[0])
    if isinstance(value, dict):
        return any(key in value for key in ("bytes", "path", "url"))
    if isinstance(value, str):
        is_picture = value.lower().partition("?")[0].endswith(SUFFIXES) or value.startswith(("data:image", "[", "http"))
        return is_picture if name == "file_name" else bool(value)
    return isinstance(value, bytes)
