"""A webdataset shard -> records. Members of the archive that share a name up to its first dot are one sample.

The fields of a .json member are the record's own; a picture becomes the column `image`, a text the column of its name.
"""

from collections.abc import Iterator
from typing import IO, Any

import orjson

from oresight.tasks.formats.pictures import SUFFIXES
from oresight.tasks.formats.sample import Record


def samples(stream: IO[bytes], name: str) -> Iterator[Record | str]:
    """The records of an opened archive; a reason where one cannot be read, and where the archive breaks."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    broken: list[Exception] = []

    def stop(error: Exception) -> bool:
        broken.append(error)
        return False

    # The stream is opened by us: given a name, the library would start programs for `pipe:` and fetch URLs.
    members = tar_file_expander([{"url": name, "stream": stream}], handler=stop)
    for sample in group_by_keys(members, handler=stop):
        try:
            yield _record(sample)
        except ValueError as error:
            yield str(error)
    if broken:
        reason = str(broken[0].args[0]) if broken[0].args else type(broken[0]).__name__
        yield f"the archive is damaged or cut off from here on ({' '.join(reason.split())[:200]})"


def _record(sample: dict[str, Any]) -> Record:
    record: Record = {"__key__": sample["__key__"]}
    shown: list[Record] = []
    for name, data in sample.items():
        if not isinstance(data, bytes):
            continue
        if f".{name}".endswith(SUFFIXES):
            shown.append({"bytes": data, "path": f"{sample['__key__']}.{name}"})
        elif name.endswith("json"):
            try:
                fields = orjson.loads(data)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"its .{name} is not JSON: {error.msg}") from error
            record |= fields if isinstance(fields, dict) else {"messages": fields}
        else:
            try:
                record[name.removesuffix(".txt")] = data.decode()
            except UnicodeDecodeError as error:
                raise ValueError(f"its .{name} is neither a picture, JSON nor UTF-8 text") from error
    if shown:
        record["image"] = shown[0] if len(shown) == 1 else shown
    return record
