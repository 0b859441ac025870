"""JSON values one after another from a stream: the items of one list, or values that simply follow each other.

Not ijson: its fast backend turns a lone surrogate into '?' without a word, and one number beyond 64 bits or one byte
that is not UTF-8 ends the file. Here such a value costs itself only.
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
BETWEEN = re.compile(r"[\s,]*")
UNFINISHED = 16  # an escape or a literal that the buffer's end cuts in two fails at most so many characters before it


def values(stream: Stream, longest: int) -> Iterator[tuple[int, str, str]]:
    """Position from 1, JSON text, and why it is unusable ('' if it is not). Where the structure breaks, it ends."""
    decode = codecs.getincrementaldecoder("utf-8-sig")(errors="surrogateescape").decode
    scan = json.JSONDecoder(strict=False).raw_decode
    buffer, place, number, listed, ended = "", 0, 0, False, False
    while True:
        place = _after_gap(buffer, place)
        if not listed and number == 0 and buffer.startswith("[", place):
            listed, place = True, place + 1
            continue
        if listed and buffer.startswith("]", place):
            if buffer[place + 1 :].strip():
                yield number + 1, buffer[place:], "the list ends before the file does; what follows is not read"
            return
        broken = ""
        if place < len(buffer):
            try:
                _, end = scan(buffer, place)
                if end < len(buffer) or ended:
                    number, text, place = number + 1, buffer[place:end], end
                    yield number, text, "" if _is_utf8(text) else "is not UTF-8"
                    continue
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated string") or error.pos >= len(buffer) - UNFINISHED
                if ended or not is_cut or len(buffer) - place > longest:
                    broken = error.msg
            except RecursionError:
                broken = "too many levels"
        if broken:
            yield number + 1, buffer[place:], f"is not JSON: {broken}; the file cannot be read on from here"
            return
        if ended:
            if listed:
                yield number + 1, "", "the list is cut off here"
            return
        # At least as much again as is left over, so that a value of many chunks is not scanned once a chunk.
        left = buffer[place:]
        parts, grown = [left], 0
        while grown <= len(left) and not ended:
            data = stream.read1(CHUNK)
            ended = not data
            parts.append(decode(data, final=ended))
            grown += len(parts[-1])
        buffer, place = "".join(parts), 0


def _after_gap(buffer: str, place: int) -> int:
    gap = BETWEEN.match(buffer, place)
    assert gap is not None
    return gap.end()


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
