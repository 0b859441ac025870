"""What a machine lacks (room on a disk, leave to write, memory), as one sentence with its cure.

Every library says it in words of its own and often without the place: what a write meets on a full disk names no file.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from oresight.tasks.database import DatabaseError

FULL = "No space left on device", "Disk quota exceeded"
READ_ONLY = "Read-only file system"
FORBIDDEN = "Permission denied", "Operation not permitted"
MEMORY = "can't allocate memory", "not enough memory", "out of memory"


class Lacking(RuntimeError):
    """The step goes on where it stopped once the machine has what the message names."""


class Unwritable(ValueError):
    """A place that may only be read."""


@contextmanager
def in_a_sentence(**places: str) -> Iterator[None]:
    """Raise Lacking for a full disk or too little memory, Unwritable for a place that may only be read.

    places: what is written to, under the key that the user gave it with; a dot in a key is written __.
    """
    try:
        yield
    except (Lacking, Unwritable):
        raise
    except Exception as error:
        _raise(error, {key.replace("__", "."): str(Path(place).absolute()) for key, place in places.items()})
        raise


def _raise(error: Exception, places: dict[str, str]) -> None:
    """Raise the sentence for an error, or for what it was raised from, if there is one."""
    first: BaseException = error
    while isinstance(first, ValueError) and first.__cause__:
        first = first.__cause__
    if isinstance(first, ValueError) or type(first).__module__.startswith("tasks."):
        return  # a sentence of ours, which may quote a row
    text = str(first)
    if any(words in text for words in FULL):
        told = f"{_folder(first, places)}: the disk is full; free some space there, then run again to continue"
        raise Lacking(f"{told} (what was stored stays)") from error
    reason = next((words for words in (READ_ONLY, *FORBIDDEN) if words in text), None)
    if reason and isinstance(first, OSError | DatabaseError):
        path = str(Path(_path(first) or ".").absolute())
        key = next((key for key, place in places.items() if path.startswith(place)), None)
        if key:
            told = f"{key}: {places[key]} cannot be written ({reason}); make it writable, or give another {key}"
            raise Unwritable(told) from error
        if reason == READ_ONLY:
            raise Unwritable(f"{path} cannot be written ({reason}); make it writable") from error
    if isinstance(first, MemoryError) or (isinstance(first, RuntimeError) and any(words in text for words in MEMORY)):
        cure = "free some, lower scoring.batch_tokens, name a smaller model or give model.dtype: bfloat16"
        told = f"the memory is full; {cure}, then run again to continue (what was stored stays)"
        raise Lacking(f"{told}: {text.splitlines()[0]}" if text else told) from error


def _path(error: BaseException) -> str | None:
    """The file that an error names."""
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return error.filename
    named = re.search(r'file "(.+?)"', str(error))
    return named[1] if named else None


def _folder(error: BaseException, places: dict[str, str]) -> Path:
    """The folder on the full disk: of the file that the error names, else the fullest of those that we write to."""
    if path := _path(error):
        return _standing(path)
    ours = [*places.values(), str(user_cache_path("oresight")), tempfile.gettempdir()]
    return min(map(_standing, ours), key=lambda folder: shutil.disk_usage(folder).free)


def _standing(path: str) -> Path:
    """The innermost folder of a path that is there."""
    whole = Path(path).absolute()
    return next(folder for folder in (whole, *whole.parents) if folder.is_dir())
