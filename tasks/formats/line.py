"""A line of a file: its record, or the reason why it has none."""

import base64
import hashlib
from typing import Any, NamedTuple

import orjson

from oresight.tasks.formats.sample import Record
from oresight.tasks.scoring.picture import is_picture


class Line(NamedTuple):
    """A record, or the reason why a line is none."""

    number: int | None
    """The line, counted from 1; in a list or a table the position. None stands for the whole file."""
    record: Record | None
    text: str
    """The JSON text of the record, unchanged where the file is JSON; the beginning of a line that cannot be read."""
    reason: str = ""


def row_line(number: int, record: Record, beginning: str = "") -> Line:
    """The line of a record from a file that is not JSON."""
    try:
        return Line(number, record, dumps(record))
    except TypeError as error:
        reason = "is not UTF-8" if "UTF-8" in str(error) else f"cannot be kept as JSON ({error})"
        return Line(number, None, beginning or repr(record)[:1000], reason)


def dumps(value: Any) -> str:
    """JSON text; types that JSON lacks become text. Raises TypeError for a lone surrogate or too many levels."""
    return orjson.dumps(value, default=_as_text, option=orjson.OPT_NON_STR_KEYS).decode()


def _as_text(value: Any) -> str:
    if not isinstance(value, bytes):
        return str(value)
    # A picture is stored in a file of its own, named by its content. The record refers to it by its hash.
    return f"sha256:{hashlib.sha256(value).hexdigest()}" if is_picture(value) else base64.b64encode(value).decode()
