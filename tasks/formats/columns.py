"""Finds the column that holds each part of a row, by the names that people use. All of these names stand here.

Names are compared without case and without `_`, `-` and spaces. `dataset.columns` overrides what is found.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from oresight.tasks.formats.options import OPTION_COLUMN, may_be_options, option_columns
from oresight.tasks.formats.pictures import looks_like_picture
from oresight.tasks.formats.sample import MEDIA, Record
from oresight.tasks.formats.turns import is_conversation, may_be_turns

Columns = Mapping[str, tuple[str, ...]]
"""By part of a row (prompt, answer, messages, system, ...): the columns that hold it, in the order of reading."""

TURNS = {"messages": "messages", "conversations": "sharegpt", "conversation": "sharegpt"}
"""Names of a column of turns, each with the name of the layout."""
OTHER_TURNS = {"dialogue", "dialog", "chat", "turns", "data", "items"}
"""Names of a column that holds turns if its value is a list of them, and none of rows."""
PAIRS = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("prompt", "answer"),
    ("question", "answer"),
    ("question", "response"),
    ("question", "multiplechoiceanswer"),
    ("question", "answers"),
    ("question", "answerkey"),
    ("query", "response"),
    ("query", "answer"),
    ("query", "answers"),
    ("problem", "solution"),
    ("problem", "answer"),
    ("instruction", "answer"),
    ("instruction", "completion"),
    ("prompt", "output"),
    ("question", "output"),
    ("question", "solution"),
    ("input", "output"),
    ("input", "response"),
    ("input", "answer"),
    ("user", "assistant"),
    ("human", "assistant"),
)
"""Names of the columns of prompt and answer, the likeliest first."""
ALPACA = PAIRS[:2]
OTHER_PROMPTS = ("instruction", "question")
"""Prompts that are context where another column is the prompt, unless the user named that."""
COMPANIONS: Mapping[str, Collection[str]] = {
    "system": {"system", "systemprompt", "systemmessage"},
    "tools": {"tools", "functions"},
    "history": {"history", "chathistory", "conversationhistory"},
    "context": {
        *("context", "contexts", "input", "article", "passage", "passages", "document", "documents", "paragraph"),
        *("paragraphs", "story", "background", *OTHER_PROMPTS),
    },
    "options": {"options", "choices", "answerchoices", "answeroptions"},
    "reasoning": {"reasoningcontent", "reasoning", "thinking"},
}
"""Names of the columns that belong to a question, by part."""
FITS: Mapping[str, Callable[[Any], bool]] = {
    "system": lambda value: isinstance(value, str | list),
    "tools": lambda value: isinstance(value, list | dict) or str(value).lstrip()[:1] in ("", "[", "{"),
    "history": lambda value: isinstance(value, list) or str(value).lstrip()[:1] in ("", "["),
    "context": lambda value: isinstance(value, str | list | dict),
    "input": lambda value: not isinstance(value, bool | bytes),
    "options": may_be_options,
    "reasoning": lambda value: isinstance(value, str),
}
"""Whether a value may be such a part, so that another column of the same name is not taken for it.

Beside a column of turns the name decides. The input of an instruction may be a number, other contexts may not.
"""
BESIDE_TURNS = ("system", "tools")
"""The parts that are also read beside a column of turns, which has the others in it."""
PICTURES = {
    f"{noun}{end}"
    for noun in ("image", "img", "picture")
    for end in ("", "s", "path", "paths", "file", "files", "url", "urls", "bytes", "base64")
}
PERHAPS_PICTURES = {
    *("filename", "filenames", "imagename", "imagefilename", "imgname", "picturename", "photo", "photos", "pic"),
    *("photopath", "photourl", "imagedata", "jpg", "jpeg", "png", "webp"),
}
"""Names of a column of pictures if most of its values look like pictures."""
PICTURE_IDS = {"imageid", "imageids", "imgid", "pictureid"}
"""Names of a column that tells which picture a question is about, and holds none."""
NUMBERED_PICTURE = re.compile(r"(?i)(?:image|img|picture|photo)[ _-]?(\d{1,2})")
MEDIUM = re.compile(r"(?i)(video|audio|sound)s?[ _-]?(path|file|url|byte|name|id|)s?")
MEDIA_SUFFIXES = {
    "video": (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"),
    "audio": (".wav", ".mp3", ".flac", ".ogg", ".m4a", ".opus", ".aac"),
}


@lru_cache(maxsize=4096)
def normal(name: str) -> str:
    """A name without case and separators, and without what a header adds after a comma, a colon or a bracket."""
    return re.sub(r"[\W_]+", "", re.split(r"(?<=\w)\s*[,;:(\[]", name)[0]).lower()


@lru_cache(maxsize=4096)
def has_meaning(column: str) -> bool:
    """Whether a column may hold a part of a row, or a sound or a video, going by its name."""
    name = normal(column)
    all_names = (PICTURES, PERHAPS_PICTURES, PICTURE_IDS, *COMPANIONS.values())
    return any(name in names for names in all_names) or any(
        pattern.fullmatch(column) for pattern in (NUMBERED_PICTURE, OPTION_COLUMN, MEDIUM)
    )


def holds_media(value: Any) -> bool:
    """Whether a value is a picture, or the path of a picture, a sound or a video."""
    return looks_like_picture(value) or any(_ends_with(suffixes, value) for suffixes in MEDIA_SUFFIXES.values())


def main_columns(record: Record) -> tuple[str, Columns] | None:
    """The name of the layout, and the columns of the turns, or of prompt and answer; None if no layout fits."""
    names: dict[str, str] = {}
    for column in record:
        if column == (name := normal(column)) or name not in names:
            names[name] = column
    for name, layout in TURNS.items():
        if name in names:
            return layout, {"messages": (names[name],)}
    for prompt, answer in PAIRS:
        if prompt in names and answer in names:
            columns = {"prompt": (names[prompt],), "answer": (names[answer],)}
            return "alpaca" if (prompt, answer) in ALPACA else f"{names[prompt]}/{names[answer]}", columns
    for name, column in names.items():
        value = record[column]
        if name in OTHER_TURNS and may_be_turns(value) and (is_conversation(value) or not isinstance(value[0], dict)):
            return "messages", {"messages": (column,)}
    return None


def companion_columns(records: Sequence[Record], main: Columns, named: Columns) -> Columns:
    """The columns of the other parts of a row, in these records.

    main: the columns of the turns, or of prompt and answer. named: the columns that the user named, by part; their
    parts are not looked for.
    """
    taken = {column for columns in (*main.values(), *named.values()) for column in columns}
    free = [column for column in _columns(records) if column not in taken]
    parts: dict[str, tuple[str, ...]] = {}
    for part, names in COMPANIONS.items():
        if part not in named and (part in BESIDE_TURNS or "messages" not in main):
            others = OTHER_PROMPTS if "prompt" in named else ()
            columns = [column for column in free if normal(column) in names and normal(column) not in others]
            parts[part] = tuple(
                column
                for column in columns
                if "messages" in main or _most(FITS.get(normal(column), FITS[part]), column, records)
            )
    if "options" not in named and "messages" not in main:
        parts["options"] += option_columns(free)
    if "image" not in named:
        parts["image"] = picture_columns(records, free)
    return {part: columns for part, columns in parts.items() if columns}


def picture_columns(records: Sequence[Record], columns: Sequence[str]) -> tuple[str, ...]:
    """The column that holds the pictures, or the numbered columns that hold one each: image_1, image_2 ..."""
    single = [column for column in columns if normal(column) in PICTURES]
    single.sort(key=lambda column: normal(column) not in ("image", "images"))
    single += [
        column
        for column in columns
        if normal(column) in PERHAPS_PICTURES
        and _values(column, records)
        and _most(looks_like_picture, column, records)
    ]
    best = max(single, key=lambda column: len(_values(column, records)), default=None)
    matches = [match for column in columns if (match := NUMBERED_PICTURE.fullmatch(column))]
    numbered = tuple(match[0] for match in sorted(matches, key=lambda match: int(match[1])))
    if best is None or (numbered and not _values(best, records)):
        return numbered
    return (best, *numbered) if numbered and numbered[0].endswith("2") else (best,)


def unreadable_columns(records: Sequence[Record], used: Collection[str], *, has_pictures: bool) -> dict[str, str]:
    """Columns that no row can be valued with: a sound or a video, or a picture while no column of pictures is read.

    Each with the reason for a row that holds something there.
    """
    reasons = {}
    for column in _columns(records):
        if column in used:
            continue
        if medium := _medium(column, records):
            reasons[column] = (
                f"field {column!r} holds {MEDIA[medium]}; this version values texts and pictures only (columns:"
                " {image: false} reads the texts alone)"
            )
        elif not has_pictures and _values(column, records) and _most(looks_like_picture, column, records):
            reasons[column] = (
                f"field {column!r} holds a picture and is not read; name it in columns: {{image: {column!r}}}, or read"
                " the texts alone with columns: {image: false}"
            )
        elif not has_pictures and normal(column) in PICTURE_IDS:
            reasons[column] = (
                f"field {column!r} tells of a picture that is not in the row; name the column of the paths in columns:"
                " {image: COLUMN}, or read the texts alone with columns: {image: false}"
            )
    return reasons


def _columns(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(column for record in records for column in record))


def _values(column: str, records: Iterable[Record]) -> list[Any]:
    """The values of a column that are not empty."""
    return [value for record in records if (value := record.get(column)) or value in (0, False)]


def _most(fits: Callable[[Any], bool], column: str, records: Iterable[Record]) -> bool:
    """Whether at least half of the values of a column fit. A column without values fits."""
    values = _values(column, records)
    return sum(map(fits, values)) * 2 >= len(values)


def _medium(column: str, records: Sequence[Record]) -> str | None:
    """'audio' or 'video' if that is what a column holds, going by its name or by most of its values."""
    if match := MEDIUM.fullmatch(column):
        return "video" if match[1].lower() == "video" else "audio"
    if not _values(column, records):
        return None
    for medium, suffixes in MEDIA_SUFFIXES.items():
        if _most(partial(_ends_with, suffixes), column, records):
            return medium
    return None


def _ends_with(suffixes: tuple[str, ...], value: Any) -> bool:
    """Whether a value is a path or a URL of a file with one of these suffixes."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("path") or value.get("url")
    return isinstance(value, str) and value[-500:].lower().partition("?")[0].endswith(suffixes)
