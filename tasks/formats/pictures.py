"""Where a record holds pictures: a column of them, parts of a turn, or marks in its text that stand for them.

A source is what the record says: a path, a URL, or the bytes themselves. Bringing it to a file is ingest's business.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import orjson

from oresight.tasks.formats.sample import Record, Sample, Turn, held

COLUMNS = ("image", "images", "file_name", "image_path", "image_file", "image_paths", "img", "picture")
MARK = "<image>"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")
Source = str | bytes


def column(record: Record) -> str | None:
    """The column that holds pictures, if one does."""
    return next((name for name in COLUMNS if name in record and _looks(name, record[name])), None)


def with_pictures(sample: Sample, record: Record, columns: Mapping[str, str]) -> Sample:
    """The sample with its pictures at their places: where marks or parts say, else before the first user's text.

    Raises ValueError with a sentence if places and pictures do not match, or the answer holds one.
    """
    field = columns.get("image") or column(record) or ""
    waiting = sources(record.get(field), field)
    if not waiting and all(isinstance(turn["content"], str) for turn in sample.messages):
        if field and any(MARK in turn["content"] for turn in sample.messages):
            raise ValueError(f"a text says {MARK} where field {field!r} holds no picture")
        return sample
    split = [_parts(turn, marks=bool(waiting)) for turn in sample.messages]
    places = [part for parts in split for part in parts if part["type"] == "image" and "source" not in part]
    if waiting and not places:
        first = next(i for i, turn in enumerate(sample.messages) if turn["role"] == "user")
        places = [{"type": "image"} for _ in waiting]
        split[first] = [*places, *split[first]]
    if len(places) != len(waiting):
        raise ValueError(f"has places for {len(places)} pictures and {len(waiting)} of them")
    for place, source in zip(places, waiting, strict=True):
        place["source"] = source
    if any(part["type"] == "image" for part in split[-1]):
        raise ValueError("the answer holds a picture; only texts are valued")
    pictures = [
        source
        for parts in split
        for part in parts
        if part["type"] == "image"
        for source in sources(part.pop("source"), field or "image")
    ]
    messages = [
        {"role": turn["role"], "content": parts if any(part["type"] == "image" for part in parts) else _text(parts)}
        for turn, parts in zip(sample.messages, split, strict=True)
    ]
    return Sample(messages, sample.tools, pictures)


def sources(value: Any, field: str) -> list[Source]:
    """The pictures that a field holds, in order. Raises ValueError with what it holds instead."""
    if value is None or value == "" or value == []:
        return []
    if isinstance(value, str) and value.startswith("["):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return [value]
    if isinstance(value, list | tuple):
        return [source for item in value for source in sources(item, field)]
    if isinstance(value, dict):
        inner = next((value[key] for key in ("bytes", "path", "url", "image", "data") if value.get(key)), None)
        if inner is None:
            raise ValueError(f"field {field!r} holds an object without bytes, path or url, which is no picture")
        return sources(inner, field)
    if isinstance(value, bytes):
        return [value]
    if not isinstance(value, str):
        raise ValueError(f"field {field!r} holds {held(value)}, not a picture (a path, or bytes)")
    if value.startswith("data:"):
        try:
            return [base64.b64decode(value.partition("base64,")[2], validate=True)]
        except binascii.Error as error:
            raise ValueError(f"field {field!r} holds a data: URL that is not base64 ({error})") from error
    return [value]


def _parts(turn: Turn, *, marks: bool) -> list[dict[str, Any]]:
    """A turn's content in parts, without empty ones and without white space beside a picture."""
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


def _looks(name: str, value: Any) -> bool:
    """Whether a value may be a picture; a column named `image` may hold anything else, too."""
    if isinstance(value, list):
        return bool(value) and _looks(name, value[0])
    if isinstance(value, dict):
        return any(key in value for key in ("bytes", "path", "url"))
    if isinstance(value, str):
        known = value.lower().partition("?")[0].endswith(SUFFIXES) or value.startswith(("data:image", "[", "http"))
        return known if name == "file_name" else bool(value)
    return isinstance(value, bytes)
