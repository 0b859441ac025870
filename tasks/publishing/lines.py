"""Writes the kept rows as JSON lines, and as the JSON list that LLaVA's trainer reads.

The text of a record is published as it came in, with its numbers, its order of keys and its escapes. Only the line
breaks go that stand between its parts where a file is indented.
"""

import hashlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow.json import ReadOptions, read_json

from oresight.tasks.database import Connection, execute
from oresight.tasks.publishing.gallery import Gallery
from oresight.tasks.publishing.version import Version

BATCH_ROWS, BATCH_BYTES = 10_000, 64 << 20
"""Most rows, and about the most bytes, in memory at a time."""
PIECE = 10 << 20
"""Bytes that `datasets` reads at a time. It infers the types of a piece, and takes the first piece's for all."""
BREAK = re.compile(r"[ \t]*[\r\n][ \t\r\n]*")
Batches = Callable[[], Iterator[list[str]]]
"""Gives the records of the kept rows, each as one line of JSON, in batches."""


def read_batches(connection: Connection, version: Version) -> Iterator[list[str]]:
    """The records that a version keeps, each as one line, in batches. A line break is never part of a text in JSON."""
    cursor = execute(connection, "publish_records", version.parameters)
    batch, size = list[str](), 0
    while rows := cursor.fetchmany(100):
        for record, record_bytes in rows:
            batch.append(BREAK.sub("", record) if "\n" in record or "\r" in record else record)
            size += record_bytes
            if len(batch) == BATCH_ROWS or size > BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def digest_of(batches: Batches) -> str:
    """The digest of records: SHA-256 of their lines, in hexadecimal."""
    digest = hashlib.sha256()
    for records in batches():
        digest.update("".join(f"{record}\n" for record in records).encode())
    return digest.hexdigest()


def write_lines(batches: Batches, file: Path, gallery: Gallery) -> None:
    """Write records as JSON lines, in which pictures are the names of files."""
    with file.open("w", encoding="utf-8", newline="") as lines:
        for records in batches():
            lines.writelines(f"{gallery.line(record)}\n" for record in records)


def write_list(lines: Path, file: Path) -> None:
    """Write JSON lines as one JSON list."""
    with lines.open(encoding="utf-8", newline="\n") as old, file.open("w", encoding="utf-8", newline="") as new:
        new.write("[\n")
        for number, line in enumerate(old):
            new.write((",\n" if number else "") + line.removesuffix("\n"))
        new.write("\n]\n")


def loads_in_pieces(file: Path) -> bool:
    """Whether all releases of `datasets` load JSON lines, with texts as texts.

    They do if the reader of pyarrow, which they use, finds the same types in every piece and takes no text for a date.
    """
    schemas = []
    with file.open("rb") as lines:
        while piece := lines.read(PIECE):
            piece += lines.readline()
            try:
                table = read_json(io.BytesIO(piece), read_options=ReadOptions(block_size=len(piece)))
            except pa.ArrowInvalid:
                return False
            schemas.append(table.schema)
    return all(schema == schemas[0] and "timestamp" not in str(schema) for schema in schemas)
