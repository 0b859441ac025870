"""Explains a full disk, missing memory and missing write permission in one sentence, with the cure.

Every library reports these in its own words and often without the path: a write to a full disk names no file.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from oresight.tasks.database import DatabaseError

OFFLOADED = "max_temp_directory_size"
"""What DuckDB says where what does not fit into memory would fill the disk."""
FULL = "No space left on device", "Disk quota exceeded", OFFLOADED
READ_ONLY = "Read-only file system"
FORBIDDEN = "Permission denied", "Operation not permitted"
LESS_MODEL = "free some, lower scoring.batch_tokens, name a smaller model or set model.dtype: bfloat16"
MANY_FILES = "Too many open files"
TOO_LITTLE = "Out of Memory Error"
"""What DuckDB says where `memory_limit` is too low for a statement."""
MEMORY = "can't allocate memory", "not enough memory", "out of memory"


SCRAPS = 1 << 16
"""Bytes of free space with which a disk is full, whatever the error says."""


class ResourceExhausted(RuntimeError):
    """A disk or the memory is full. After the cure in the message, the step continues where it stopped."""


class Unreachable(RuntimeError):
    """A server does not answer, or fails. The message says what to do before the command is run again."""


class Unwritable(ValueError):
    """A path that can only be read."""


@contextmanager
def explain_faults(memory_cure: str = LESS_MODEL, **paths: str) -> Iterator[None]:
    """Raise ResourceExhausted for a full disk or too little memory, and Unwritable for a path that can only be read.

    memory_cure: what helps where the memory is full. paths: what is written to, under its configuration key; a dot in
    a key is written __.
    """
    try:
        yield
    except (ResourceExhausted, Unwritable):
        raise
    except Exception as error:
        absolute = {key.replace("__", "."): str(Path(path).absolute()) for key, path in paths.items()}
        _explain(error, absolute, memory_cure)
        raise


def _explain(error: Exception, paths: dict[str, str], memory_cure: str) -> None:
    """Raise the explanation of an error, or of the error that caused it; do nothing if there is no explanation."""
    cause: BaseException = error
    while isinstance(cause, ValueError) and cause.__cause__:
        cause = cause.__cause__
    if isinstance(cause, ValueError) or type(cause).__module__.startswith("oresight."):
        return  # a message of our own, which may quote a row
    text = str(cause)
    folder = _full_folder(cause, paths)
    # A library may say something else: to Prefect's server, a run that it could not store is not found.
    if any(words in text for words in FULL) or shutil.disk_usage(folder).free < SCRAPS:
        raise ResourceExhausted(
            f"{folder}: the disk is full; free some space there, then run again to continue (what was stored stays)"
        ) from error
    if MANY_FILES in text:
        raise ResourceExhausted(
            f"{MANY_FILES.lower()} in this process ({text.splitlines()[0]}); raise the limit, for instance with"
            " `ulimit -n 4096`, then run again to continue (what was stored stays)"
        ) from error
    reason = next((words for words in (READ_ONLY, *FORBIDDEN) if words in text), None)
    if reason and isinstance(cause, OSError | DatabaseError):
        path = str(Path(_named_path(cause) or ".").absolute())
        key = next((key for key, root in paths.items() if path.startswith(root)), None)
        if key:
            raise Unwritable(
                f"{key}: {paths[key]} cannot be written ({reason}); make it writable, or give another {key}"
            ) from error
        if reason == READ_ONLY:
            raise Unwritable(f"{path} cannot be written ({reason}); make it writable") from error
    if TOO_LITTLE in text and isinstance(cause, DatabaseError):
        raise ResourceExhausted(
            "memory_limit: the database needs more memory than it may take; raise it, for instance to 8GB, then"
            " run again to continue (what was stored stays)"
        ) from error
    if isinstance(cause, MemoryError) or (
        isinstance(cause, RuntimeError | DatabaseError) and any(words in text for words in MEMORY)
    ):
        message = f"the memory is full; {memory_cure}, then run again to continue (what was stored stays)"
        raise ResourceExhausted(f"{message}: {text.splitlines()[0]}" if text else message) from error


def _named_path(error: BaseException) -> str | None:
    """The file that an error names, if any."""
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return error.filename
    match = re.search(r'file "(.+?)"', str(error))
    return match[1] if match else None


def _full_folder(error: BaseException, paths: dict[str, str]) -> Path:
    """The folder on the full disk: that of the file in the error, else the fullest of those that we write to."""
    if path := _named_path(error):
        return _existing_folder(path)
    prefect = os.path.expanduser(os.environ.get("PREFECT_HOME", "~/.prefect"))  # noqa: PTH111  raises nothing
    folders = [*paths.values(), str(user_cache_path("oresight")), prefect, tempfile.gettempdir()]
    return min(map(_existing_folder, folders), key=lambda folder: shutil.disk_usage(folder).free)


def _existing_folder(path: str) -> Path:
    """The innermost folder of a path that exists."""
    absolute = Path(path).absolute()
    return next(folder for folder in (absolute, *absolute.parents) if folder.is_dir())
