"""Reads JSON, and refuses an object that has a key twice.

Of two values of one key Python reads the last and DuckDB the first, and a line of JSON shows both. A row with such an
object would be scored with one text and trained on with another.
"""

import json
import re
from collections import Counter
from typing import Any

import orjson

KEY_END, WRITTEN_KEY_END = re.compile(r'"[ \t\r\n]*:'), re.compile(rb'"[ \t\r\n]*:')
"""The end of a key. It also matches inside texts, where a quote or a text that begins with one meets a colon."""
HIDDEN = re.compile(r"\\u00[0-3]")
"""An escape that may stand for a quote, a colon or white space, so that KEY_END misses what the parsed text shows."""


class RepeatedKey(ValueError):
    """An object has a key twice. The message names the key and the cure."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"an object has the key {key[:100]!r} twice, and readers take one or the other; remove one")


class RepeatingObject(dict[str, Any]):
    """An object that has the key `repeated` twice, also with more fields before its own."""

    repeated: str

    def __ror__(self, fields: Any, /) -> Any:
        return _repeating({**fields, **self}, self.repeated)


def parse(text: str) -> Any:
    """The value of a JSON text. Raises orjson.JSONDecodeError, and RepeatedKey if an object at any depth repeats a key.

    A parser with a hook for every object takes ten times as long. So most texts are cleared by counting: the value,
    written again, has as many ends of keys as the text if and only if no key was dropped.
    """
    value = orjson.loads(text)
    if not _has_all_keys(text, value) and (key := repeated_key(parse_all_keys(text))) is not None:
        raise RepeatedKey(key)
    return value


def _has_all_keys(text: str, value: Any) -> bool:
    """Whether no key was dropped when a text was parsed. False also means: unknown."""
    if HIDDEN.search(text):
        return False
    try:
        written = orjson.dumps(value)
    except TypeError:  # too many levels
        return False
    return len(KEY_END.findall(text)) == len(WRITTEN_KEY_END.findall(written))


def parse_all_keys(text: str) -> Any:
    """The value of a JSON text, in which objects that repeat a key are RepeatingObjects. Raises ValueError."""
    try:
        return json.loads(text, object_pairs_hook=_object, strict=False)
    except RecursionError as error:
        raise ValueError("too many levels") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    counts = Counter(key for key, _ in pairs)
    return _repeating(value, next(key for key, count in counts.items() if count > 1))


def _repeating(value: dict[str, Any], key: str) -> RepeatingObject:
    repeating = RepeatingObject(value)
    repeating.repeated = key
    return repeating


def repeated_key(value: Any) -> str | None:
    """The key that an object in a value of `parse_all_keys` repeats; None if there is none."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, RepeatingObject):
            return value.repeated
        if isinstance(value, dict | list):
            pending += value.values() if isinstance(value, dict) else value
    return None
