"""Finds the pictures of a record: columns of pictures, parts of a turn, or marks in a text that they replace.

A source is what the record holds for a picture: a path, a URL, or the bytes. album.py turns sources into files.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import orjson

from oresight.tasks.formats.repeats import parse
from oresight.tasks.formats.sample import MEDIA, Record, Sample, Turn, describe
from oresight.tasks.scoring.picture import is_picture

MARK = re.compile(
    r"<\|?(?P<name>image|video|audio)(?:[ _-]?(?P<number>\d{1,2})|_pad|_placeholder|here)?\|?>(?:</image>)?"
    r"|<img>(?P<path>[^<>]+)</img>",
    re.IGNORECASE,
)
"""What stands in a text for a picture (<image>, <image 1>, <|image_1|>, <img>a.png</img>), a sound or a video."""
PROSE = re.compile(r"`|\s*(?:tag|element)", re.IGNORECASE)
"""What follows the name of a tag where the text is about markup."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")
BASE64 = re.compile(r"(?:/9j/|iVBORw0KGgo|R0lGOD|UklGR|Qk|SUkqA|TU0AK)[A-Za-z0-9+/=\r\n]{45}")
"""How the base64 text of a JPEG, PNG, GIF, WebP, BMP or TIFF begins. No picture is shorter."""
SOURCE_KEYS = ("bytes", "path", "url", "image", "image_url", "data", "base64", "source", "value", "inline_data")
PictureSource = str | bytes
Part = dict[str, Any]
"""A part of a turn's content. A picture without a source is a place for one, with the mark and number of its mark."""


def looks_like_picture(value: Any) -> bool:
    """Whether a value is a picture, or a path or URL that ends like one."""
    if isinstance(value, list):
        value = value[0] if value else None
    for source in map(value.get, SOURCE_KEYS) if isinstance(value, dict) else (value,):
        if isinstance(source, bytes) and is_picture(source):
            return True
        if isinstance(source, str) and (source.startswith("data:image/") or BASE64.match(source) or _is_path(source)):
            return True
    return False


def with_pictures(sample: Sample, record: Record, columns: Sequence[str], *, has_marks: bool) -> Sample:
    """The sample with its pictures in place: at marks or image parts, else before the first text of the user.

    columns: where the record holds pictures. has_marks: whether a mark in a text stands for a picture. Raises
    ValueError with the reason if places and pictures do not match, or the answer holds a picture.
    """
    sources = _numbered_sources(record, columns)
    if not sources and not _shows_pictures(sample.messages, has_marks=has_marks):
        return sample
    if has_marks and not sources and all(isinstance(turn["content"], str) for turn in sample.messages):
        _require_inline_pictures(sample.messages, columns)
    contents = [_parts(turn, has_marks=has_marks, has_sources=bool(sources)) for turn in sample.messages]
    pictures = [part for parts in contents for part in parts if part["type"] == "image"]
    slots = [part for part in pictures if "source" not in part]
    if sources and not slots and list(sources.values()) != [part["source"] for part in pictures]:
        first = next((i for i, turn in enumerate(sample.messages) if turn["role"] == "user"), 0)
        slots = [{"type": "image"} for _ in sources]
        contents[first] = [*slots, *contents[first]]
    if slots:
        _fill(slots, sources)
    if any(part["type"] == "image" for part in contents[-1]):
        raise ValueError("the answer holds a picture; only texts are valued")
    shown = [part.pop("source") for parts in contents for part in parts if part["type"] == "image"]
    messages = [
        {"role": turn["role"], "content": parts if any(part["type"] == "image" for part in parts) else _text(parts)}
        for turn, parts in zip(sample.messages, contents, strict=True)
    ]
    return Sample(messages, sample.tools, shown)


def _shows_pictures(messages: Sequence[Turn], *, has_marks: bool) -> bool:
    """Whether a turn has a part that is a picture, or a text with a mark."""
    for turn in messages:
        content = turn["content"]
        if not isinstance(content, str) or (has_marks and "<" in content and MARK.search(content)):
            return True
    return False


def picture_sources(value: Any, holder: str) -> list[PictureSource]:
    """The pictures that a value holds, in order. Raises ValueError with what it holds instead.

    holder: what holds the value, for the reason: "field 'image'".
    """
    if isinstance(value, str):
        if not value.startswith(("[", "{")):
            return [_source(value, holder)] if value else []
        try:
            value = parse(value)
        except orjson.JSONDecodeError:
            return [value]
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [source for item in value for source in picture_sources(item, holder)]
    if isinstance(value, dict):
        inner = next((value[key] for key in SOURCE_KEYS if value.get(key)), None)
        if inner is None and any(value.values()):
            raise ValueError(f"{holder} holds an object without bytes, path or url, which is not a picture")
        return picture_sources(inner, holder)
    if isinstance(value, bytes):
        return [value]
    raise ValueError(
        f"{holder} holds {describe(value)}, not a picture (a path, or bytes); if it is no picture, set columns:"
        " {image: false}"
    )


def _source(text: str, holder: str) -> PictureSource:
    """The bytes in a data: URL or a base64 text, or the path or URL that a text is."""
    if text.startswith("file://"):
        return unquote(text.removeprefix("file://").removeprefix("localhost"))
    is_url = text.startswith("data:")
    if not is_url and not BASE64.match(text):
        return text
    try:
        return base64.b64decode("".join((text.partition("base64,")[2] if is_url else text).split()), validate=True)
    except binascii.Error as error:
        if not is_url and _is_path(text):
            return text
        raise ValueError(
            f"{holder} holds {'a data: URL' if is_url else 'a text'} that is not base64 ({error})"
        ) from error


def _numbered_sources(record: Record, columns: Sequence[str]) -> dict[int, PictureSource]:
    """The pictures in a record's columns by their number: that of their column (image_2), or else their position."""
    sources: dict[int, PictureSource] = {}
    for column in columns:
        own_number = re.search(r"\d+$", column) if column[-1:].isdigit() else None
        for source in picture_sources(record.get(column), f"field {column!r}"):
            number = int(own_number[0]) if own_number else len(sources) + 1
            sources[number if number not in sources else max(sources) + 1] = source
    return sources


def _fill(slots: Sequence[Part], sources: Mapping[int, PictureSource]) -> None:
    """Give each slot its picture: the one with its number, if all slots have one, or else the next one."""
    numbers = [slot["number"] for slot in slots if "number" in slot]
    if len(numbers) == len(slots):
        from_zero = int(0 in numbers and 0 not in sources)
        chosen = [sources.get(number + from_zero) for number in numbers]
        if None in chosen or len(set(numbers)) != len(sources):
            marks = " and ".join(f"<image {number}>" for number in dict.fromkeys(numbers))
            raise ValueError(f"a text says {marks}, and the row has {_count(len(sources), 'picture')}")
    elif len(slots) != len(sources):
        raise ValueError(f"has {_count(len(slots), 'place')} for pictures and {_count(len(sources), 'picture')}")
    else:
        chosen = list(sources.values())
    for slot, source in zip(slots, chosen, strict=True):
        slot.pop("number", None)
        slot["source"] = source


def _require_inline_pictures(messages: Sequence[Turn], columns: Sequence[str]) -> None:
    """Raise ValueError if a text has a mark for a picture that is nowhere."""
    for turn in messages:
        for mark in MARK.finditer(turn["content"]):
            if not (mark["path"] or mark["name"].lower() in MEDIA or _is_prose(mark)):
                where = f"field {columns[0]!r} holds no picture" if columns else "no column of pictures is recognised"
                advice = "columns: {image: COLUMN} names the column, and {image: false} reads the mark as text"
                raise ValueError(f"a text says {mark[0]} where {where}; {advice}")


def _parts(turn: Turn, *, has_marks: bool, has_sources: bool) -> list[Part]:
    """A turn's content as parts. Beside a picture, empty texts and surrounding white space are dropped.

    has_marks: split texts at marks, and put a picture or a place for one there. has_sources: whether the record has
    pictures for such places; if not, marks without a path stay text.
    """
    content = turn["content"] if isinstance(turn["content"], list) else [{"type": "text", "text": turn["content"]}]
    parts: list[Part] = []
    for part in content:
        if part["type"] == "image" or not (has_marks and "<" in part["text"]):
            parts.append(dict(part))
            continue
        start = 0
        for mark in MARK.finditer(part["text"]):
            if picture := _marked(mark, has_sources=has_sources):
                parts += [{"type": "text", "text": part["text"][start : mark.start()]}, picture]
                start = mark.end()
        parts.append({"type": "text", "text": part["text"][start:]})
    if not any(part["type"] == "image" for part in parts):
        return parts
    return [
        part if part["type"] == "image" else {"type": "text", "text": part["text"].strip()}
        for part in parts
        if part["type"] == "image" or part["text"].strip()
    ]


def _marked(mark: re.Match[str], *, has_sources: bool) -> Part | None:
    """The picture, or the place for one, that a mark stands for; None if the mark is text.

    Raises ValueError if it stands for a sound or a video.
    """
    if mark["path"]:
        return {"type": "image", "source": _source(mark["path"].strip(), "a text")}
    if medium := MEDIA.get(mark["name"].lower()):
        if _is_prose(mark):
            return None
        raise ValueError(
            f"a text says {mark[0]}, so the row holds {medium}; this version values texts and pictures only (columns:"
            " {image: false} reads the mark as text)"
        )
    if not has_sources:
        return None
    return {"type": "image", "number": int(mark["number"])} if mark["number"] else {"type": "image"}


def _is_prose(mark: re.Match[str]) -> bool:
    """Whether a text is about markup, such as HTML: the mark is quoted, called a tag, or closed later."""
    text, end = mark.string, mark.end()
    is_closed = text.lower().find(f"</{mark['name'].lower()}>", end) >= 0
    return is_closed or text[mark.start() - 1 : mark.start()] == "`" or bool(PROSE.match(text, end))


def _is_path(text: str) -> bool:
    return len(text) < 2000 and "\n" not in text and text.lower().partition("?")[0].endswith(SUFFIXES)


def _text(parts: list[Part]) -> str:
    return "".join(part["text"] for part in parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
