"""Opens the pictures that rows refer to, and gives each picture's file, or the reason why it cannot be used.

A picture in a folder stays there. A picture from inside a file (Parquet, a webdataset shard, a data: URL) or from the
web is stored beside the database, in a file named by its content, so that scores and reports can read it later.
"""

import hashlib
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple, Self

from oresight.tasks.formats.pictures import PictureSource
from oresight.tasks.scoring.picture import MAX_BYTES, ONE_LARGE, SUFFIXES, PictureFacts, Unreadable, inspect_picture

LARGE_BYTES = 16 << 20
FETCH_S = 30
"""Seconds that a download may take."""


class PictureRef(NamedTuple):
    """A picture as a row refers to it, and the folder that its path starts from and stays inside."""

    root: Path | None
    source: PictureSource


class UsablePicture(NamedTuple):
    """A picture that was opened and can be used."""

    name: str | None
    """The path in the row; None where the picture came inside the row."""
    path: str
    sha256: str
    width: int
    height: int
    mode: str
    size: int


class PictureRow(NamedTuple):
    """A row of store.pictures, for a usable picture or an unusable one."""

    path: str
    reason: str | None
    sha256: str | None
    width: int | None
    height: int | None
    mode: str | None
    format: str | None
    size: int | None
    modified_ns: int | None
    spread: float | None
    thumbnail: bytes | None


class Album:
    """Opens every picture once, several at a time."""

    def __init__(self, folder: Path, unfinished: Path, *, allow_download: bool) -> None:
        """folder: where pictures without a file of their own are stored. unfinished: where they are written first."""
        self.folder, self.unfinished, self.allow_download = folder, unfinished, allow_download
        self.results: dict[tuple[str, str], UsablePicture | str] = {}
        """By reference: the picture, or the reason why it cannot be used."""
        self.pool = ThreadPoolExecutor(os.cpu_count() or 2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def gather(self, refs: Iterable[PictureRef]) -> list[PictureRow]:
        """Open the pictures that are new, and return their rows, thumbnails included."""
        by_key = {_key(ref): ref for ref in refs}
        new = [(key, ref) for key, ref in by_key.items() if key not in self.results]
        rows = []
        opened = self.pool.map(lambda item: self._open(item[1]), new)
        for (key, _), (result, row) in zip(new, opened, strict=True):
            self.results[key] = result
            rows += [row] if row else []
        return rows

    def usable(self, refs: Iterable[PictureRef]) -> list[UsablePicture]:
        """The pictures behind references that were gathered. Raises ValueError with the reason if one is unusable."""
        pictures = []
        for ref in refs:
            result = self.results[_key(ref)]
            if isinstance(result, str):
                raise ValueError(result)
            pictures.append(result)
        return pictures

    def _open(self, ref: PictureRef) -> tuple[UsablePicture | str, PictureRow | None]:
        try:
            if isinstance(ref.source, bytes):
                return self._store(ref.source, "a picture inside the row")
            if "://" in ref.source:
                return self._store(self._fetch(ref.source), f"the picture {_short(ref.source)}")
            path = _inside(ref.root, ref.source)
        except (Unreadable, OSError) as error:
            return str(error), None
        return _open_file(path, ref.source)

    def _store(self, data: bytes, name: str) -> tuple[UsablePicture | str, PictureRow | None]:
        """Write a picture to the folder. It is decoded first, so that bytes that are no picture leave no file."""
        try:
            facts = inspect_picture(data)
        except Unreadable as error:
            return f"{name} {error}", None
        path = self.folder / facts.sha256[:2] / f"{facts.sha256}.{SUFFIXES.get(facts.format, 'img')}"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self.unfinished / f"{facts.sha256}.{threading.get_ident()}"
            unfinished.write_bytes(data)
            unfinished.replace(path)
        return _usable(path, facts, file_state(str(path))[1])

    def _fetch(self, url: str) -> bytes:
        if not url.startswith(("http://", "https://")):
            raise Unreadable(f"the picture {_short(url)} is neither a path nor an http or https URL")
        if not self.allow_download:
            raise Unreadable(
                f"the picture {_short(url)} is on the web; set dataset.allow_download: true, or give a path"
            )
        try:
            with urllib.request.urlopen(url, timeout=FETCH_S) as response:  # noqa: S310 http and https only, see above
                data: bytes = response.read(MAX_BYTES + 1)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise Unreadable(f"the picture {_short(url)} cannot be downloaded ({error})") from error
        if len(data) > MAX_BYTES:
            raise Unreadable(f"the picture {_short(url)} is larger than {MAX_BYTES >> 20} MB")
        return data


def sweep(folder: Path, paths: Collection[str]) -> None:
    """Delete the pictures stored in a folder whose paths are not among `paths`."""
    for file in folder.glob("*/*"):
        if str(file.resolve()) not in paths:
            file.unlink()


def file_state(path: str) -> tuple[int | None, int | None]:
    """Size in bytes and modification time in ns of a file; (None, None) if there is no such file."""
    try:
        stat = Path(path).stat()
    except (OSError, ValueError):
        return None, None
    return stat.st_size, stat.st_mtime_ns


def _key(ref: PictureRef) -> tuple[str, str]:
    if isinstance(ref.source, bytes):
        return "", hashlib.sha256(ref.source).hexdigest()
    return str(ref.root), ref.source


def _inside(root: Path | None, name: str) -> Path:
    """The file that a path names, with links followed. Raises Unreadable if it is outside the root."""
    if root is None:
        raise Unreadable(f"the picture {_short(name)} is a path; give the folder that it starts from as dataset.root")
    folder = root.resolve()
    try:
        path = (folder / name).resolve()
        if "\\" in name and not path.exists():  # a path that was written on Windows
            path = (folder / name.replace("\\", "/")).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise Unreadable(f"the picture {_short(name)} is not a path ({error})") from error
    if not path.is_relative_to(folder):
        raise Unreadable(
            f"the picture {_short(name)} lies outside {folder}; give the folder that holds all pictures as dataset.root"
        )
    return path


def _open_file(path: Path, name: str) -> tuple[UsablePicture | str, PictureRow]:
    size, modified_ns = file_state(str(path))
    try:
        if size is None:
            raise Unreadable("does not exist")
        if not path.is_file():
            raise Unreadable("is not a file")
        if size > MAX_BYTES:
            raise Unreadable(f"is larger than {MAX_BYTES >> 20} MB")
        with ONE_LARGE if size > LARGE_BYTES else nullcontext():
            return _usable(path, inspect_picture(path.read_bytes()), modified_ns, name)
    except (Unreadable, OSError) as error:
        reason = f"the picture {_short(name)} {error if isinstance(error, Unreadable) else error.strerror} ({path})"
        return reason, _unusable(path, reason, size, modified_ns)


def _short(name: str) -> str:
    return repr(name if len(name) <= 200 else f"{name[:200]}...")


def _unusable(path: Path, reason: str, size: int | None, modified_ns: int | None) -> PictureRow:
    return PictureRow(
        path=str(path),
        reason=reason,
        sha256=None,
        width=None,
        height=None,
        mode=None,
        format=None,
        size=size,
        modified_ns=modified_ns,
        spread=None,
        thumbnail=None,
    )


def _usable(
    path: Path, facts: PictureFacts, modified_ns: int | None, name: str | None = None
) -> tuple[UsablePicture, PictureRow]:
    absolute = str(path.resolve())
    row = PictureRow(path=absolute, reason=None, modified_ns=modified_ns, **facts._asdict())
    picture = UsablePicture(
        name=name,
        path=absolute,
        sha256=facts.sha256,
        width=facts.width,
        height=facts.height,
        mode=facts.mode,
        size=facts.size,
    )
    return picture, row
