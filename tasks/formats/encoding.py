"""Opens a text file as UTF-8 bytes, whatever its encoding and compression.

UTF-16 and UTF-32 show in the first bytes. A file without any line of UTF-8 beyond ASCII is taken for Windows-1252, of
which Latin-1 is a part, if charset-normalizer and the characters themselves agree: alone, each is wrong too often.
"""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from oresight.tasks.formats.values import Stream

HEAD = 1 << 20
"""Bytes from which the encoding and the structure of a file are recognised."""
SAMPLE_BYTES = 20_000
MANY_LINES, MANY_SHARE = 5, 0.05
"""How many lines that are not UTF-8, and which share of all, make a file unreadable. Fewer cost themselves only."""
ODD_SHARE = 0.02
"""Largest share of the characters beyond ASCII that may be odd in a text of Windows-1252."""
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LOWER, _UPPER = "ßàáâãäåæçèéêëìíîïñòóôõöøùúûüýœšž", "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝŒŠŽŸ"
_SIGN = f"[^\x00-\x7f{_LOWER}{_UPPER}ÐðÞþÿ]"
_LETTER = f"[A-Za-z{_LOWER}{_UPPER}]"
USUAL = re.compile(
    f"(?<={_LETTER})[{_LOWER}]|[{_LOWER}](?={_LETTER})"  # a letter in a word
    f"|(?<![a-z{_LOWER}])[{_UPPER}]"  # no capital follows a small letter
    "|[àáèéíòóôåöæø\u2018\u2019\u2013\u2014\xad\xb4\xb7]"  # a word of one letter, a sign in a word
    f"|(?<!{_LETTER}){_SIGN}|{_SIGN}(?!{_LETTER})"
)
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
Advance = Callable[[int], None]
"""Called with the number of bytes that were read."""


class CountingFile(io.FileIO):
    """A file that calls `advance` with the number of bytes of every read."""

    def __init__(self, path: str, advance: Advance) -> None:
        super().__init__(path)
        self.advance = advance

    def readinto(self, buffer: Any, /) -> int:
        count = super().readinto(buffer)
        self.advance(count)
        return count


def open_stream(path: str, encoding: str, advance: Advance) -> Stream:
    """The file's bytes, decompressed and in UTF-8. Reading raises UnicodeError where the file breaks its encoding."""
    packed = io.BufferedReader(CountingFile(path, advance), 1 << 18)
    stream: Stream = packed
    if path.lower().endswith(".gz"):
        stream = gzip.GzipFile(fileobj=packed)
    elif path.lower().endswith(".zst"):
        stream = io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd"))
    if encoding == "utf-8":
        return stream
    return io.BufferedReader(pa.transcoding_input_stream(pa.PythonFile(stream, mode="r"), encoding, "utf-8"))


def read_head(path: str, encoding: str = "utf-8") -> bytes:
    """The first bytes of a file, in UTF-8; of a damaged archive the part that can be read."""
    head = b""
    with open_stream(path, encoding, lambda _: None) as stream:
        try:
            while len(head) < HEAD and (more := stream.read1(HEAD)):
                head += more
        except (OSError, EOFError, zlib.error, UnicodeError):
            pass  # whoever reads the file meets the error again and reports it
    return head


def find_encoding(path: str) -> tuple[str, str]:
    """The encoding of a text file, and a word that shows how it is read if the encoding is a guess, else ''.

    Raises ValueError, one line with the cure, if most lines of the beginning are in an encoding that is not read.
    """
    head = read_head(path)
    for mark, name in MARKS.items():
        if head.startswith(mark):
            return name, ""
    if name := _utf16_without_mark(head):
        return name, ""
    lines = head.splitlines()[: -1 if len(head) >= HEAD else None]
    beyond = [line for line in lines if not line.isascii()]
    if not beyond or any(map(_is_utf8, beyond)):
        return "utf-8", ""
    if word := _western_word(b"\n".join(beyond)[:SAMPLE_BYTES]):
        return "cp1252", word
    if len(beyond) < max(MANY_LINES, MANY_SHARE * len(lines)):
        return "utf-8", ""
    raise ValueError(f"{path}: is neither UTF-8 nor Windows-1252; save it as UTF-8")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _utf16_without_mark(head: bytes) -> str:
    """'utf-16-le' or 'utf-16-be' if the first character is ASCII in one of them and so are others; else ''."""
    name = "utf-16-be" if head[:1] == b"\0" else "utf-16-le"
    zeros, others = (head[::2], head[1::2]) if name == "utf-16-be" else (head[1::2], head[::2])
    if zeros[:1] != b"\0" or zeros.count(0) * 10 < len(zeros) or others.count(0) * 20 > len(others):
        return ""
    try:
        text = codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return ""
    return name if "\0" not in text and re.search('[\n",]', text) else ""


def _western_word(data: bytes) -> str:
    """A word that holds a letter or sign beyond ASCII, read as Windows-1252; '' if the text is in another encoding."""
    from charset_normalizer import from_bytes

    if CONTROL.search(data) or not from_bytes(data, cp_isolation=["cp1252"]).best():
        return ""
    text = data.decode("cp1252")
    beyond = len(re.findall(r"[^\x00-\x7f]", text))
    if beyond - len(USUAL.findall(text)) > ODD_SHARE * beyond:
        return ""
    words: list[str] = re.findall(r"\w*[^\x00-\x7f]\w*", text)
    return max(words[:20], key=len)[:40]
