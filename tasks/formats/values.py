"""Reads JSON values one by one from a stream: the items of one list, or values that follow each other.

Why not ijson: its fast backend silently turns a lone surrogate into '?', and it stops reading the file at one number
beyond 64 bits or one byte that is not UTF-8. Here only the value itself is lost.
"""

import codecs
import gzip
import io
import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

Stream: TypeAlias = "gzip.GzipFile | io.BufferedReader[Any]"
CHUNK = 1 << 18
MAX_VALUES, BYTES = 4_000_000, 8
"""Most values in an item, by the marks that separate them. In memory a value takes 60 bytes, its text perhaps two."""
BETWEEN = re.compile(r"[\s,]*")
CUT_TOKEN = 16
"""The parser fails at most this many characters before the buffer's end if that end cuts an escape or a literal."""


def values(stream: Stream, longest: int, size: int) -> Iterator[tuple[int, str, str]]:
    """Per value: its position, counted from 1, its JSON text, and the reason why it is unusable ('' if it is usable).

    longest: characters after which an unfinished item of a list is given up. A value outside a list may be four times
    as long, because it may hold all rows. size: bytes of the file on the disk. Such a value may also be as long as that
    and hold a value for BYTES of them, so that a large file is read, and a small one that unfolds to gigabytes is not.
    Reading ends where the JSON structure is broken.
    """
    decode = codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape").decode
    scan = json.JSONDecoder(strict=False).raw_decode
    buffer, start, number, in_list, at_end, problem = "", 0, 0, False, False, ""
    while True:
        start = _skip_gap(buffer, start)
        if not in_list and number == 0 and buffer.startswith("[", start):
            in_list, start = True, start + 1
            continue
        if in_list and buffer.startswith("]", start):
            if buffer[start + 1 :].strip():
                yield number + 1, buffer[start:], "the list ends before the file does; the rest is not read"
            return
        if start < len(buffer) and not problem:
            try:
                _, end = scan(buffer, start)
                if end < len(buffer) or at_end:
                    number, text, start = number + 1, buffer[start:end], end
                    yield number, text, "" if _is_utf8(text) else "is not UTF-8"
                    continue
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated string") or error.pos >= len(buffer) - CUT_TOKEN
                is_long = len(buffer) - start > (longest if in_list else max(4 * longest, size))
                if at_end or not is_cut or is_long:
                    problem = f"is longer than {longest} characters" if is_long else f"is not JSON: {error.msg}"
            except RecursionError:
                problem = "is not JSON: too many levels"
        if problem:
            yield number + 1, buffer[start:], f"{problem}; the rest of the file is not read"
            return
        if at_end:
            if in_list:
                yield number + 1, "", "the list is cut off here"
            return
        # Read at least as many characters as are left over, so that a long value is not scanned again for every chunk.
        left = buffer[start:]
        problem = too_many_values(left, MAX_VALUES if in_list else max(3 * MAX_VALUES, size // BYTES))
        parts, added = [left], 0
        while added <= len(left) and not at_end:
            data = stream.read1(CHUNK)
            at_end = not data
            parts.append(decode(data, final=at_end))
            added += len(parts[-1])
        buffer, start = "".join(parts), 0


def too_many_values(text: str, most: int = 3 * MAX_VALUES) -> str:
    """The reason why a JSON text would take too much memory when it is parsed, or ''."""
    if len(text) <= most or sum(map(text.count, "[{,:")) <= most:
        return ""
    return f"holds more than {most:,} values in one; write its rows as JSON lines"


def _skip_gap(buffer: str, start: int) -> int:
    """The position behind white space and commas."""
    gap = BETWEEN.match(buffer, start)
    assert gap is not None
    return gap.end()


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
