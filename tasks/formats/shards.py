"""Reads the records of a webdataset shard. Members of the archive that share a name up to its first dot are one record.

The fields of a .json member become fields of the record. A picture becomes the column `image`, and a text becomes a
column with the name of its suffix.
"""

import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from oresight.tasks.formats.pictures import SUFFIXES
from oresight.tasks.formats.repeats import RepeatedKey, parse
from oresight.tasks.formats.sample import Record
from oresight.tasks.scoring.picture import MAX_BYTES

META = re.compile(r"__[^/]*__($|/)")
"""Members that webdataset leaves out."""


def shard_records(stream: IO[bytes], name: str) -> Iterator[Record | str]:
    """The records of an open archive. A reason takes the place of a record that cannot be read, and follows the last
    record where the archive is damaged.
    """
    from webdataset.tariterators import group_by_keys

    errors: list[Exception] = []

    def stop(error: Exception) -> bool:
        errors.append(error)
        return False

    for group in group_by_keys(_members(stream, name, stop), handler=stop):
        try:
            yield _record(group)
        except ValueError as error:
            yield str(error)
    if errors:
        reason = str(errors[0].args[0]) if errors[0].args else type(errors[0]).__name__
        yield f"the archive is damaged or cut off from here on ({' '.join(reason.split())[:200]})"


def _members(stream: IO[bytes], name: str, stop: Callable[[Exception], bool]) -> Iterator[dict[str, Any]]:
    """The members of an archive, as webdataset groups them. Its size takes the place of a member that is too large.

    We read the archive ourselves: given a name, webdataset would start programs for `pipe:` and fetch URLs, and it
    reads members of any size, also sparse ones that take no room in the archive.
    """
    record, size = "", 0
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                if member.isreg() and not META.match(member.name):
                    key = member.name.rpartition("/")[0] + "/" + member.name.rpartition("/")[2].partition(".")[0]
                    record, size = key, member.size + (size if key == record else 0)
                    file = archive.extractfile(member) if size <= MAX_BYTES else None
                    yield {"fname": member.name, "data": file.read() if file else size, "__url__": name}
                archive.members = []  # type: ignore[attr-defined]
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        stop(error)


def _record(group: dict[str, Any]) -> Record:
    """The record of a group of members with one key. Raises ValueError if a member cannot be read."""
    record: Record = {"__key__": group["__key__"]}
    pictures: list[Record] = []
    for name, data in group.items():
        if isinstance(data, int):
            raise ValueError(f"has more than {MAX_BYTES >> 20} MB up to its .{name}; at most that is read")
        if not isinstance(data, bytes):
            continue
        if f".{name}".endswith(SUFFIXES):
            pictures.append({"bytes": data, "path": f"{group['__key__']}.{name}"})
        elif name.endswith("json"):
            try:
                fields = parse(data.decode())
            except RepeatedKey as error:
                raise ValueError(f"its .{name}: {error}") from error
            except ValueError as error:
                raise ValueError(f"its .{name} is not JSON: {error}") from error
            record |= fields if isinstance(fields, dict) else {"messages": fields}
        else:
            try:
                record[name.removesuffix(".txt")] = data.decode()
            except UnicodeDecodeError as error:
                raise ValueError(f"its .{name} is neither a picture, JSON nor UTF-8 text") from error
    if pictures:
        record["image"] = pictures[0] if len(pictures) == 1 else pictures
    return record
