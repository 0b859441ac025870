"""The pictures that rows name -> files that were looked at, or the reason why one cannot be used.

A picture that lies in a folder stays there. One that came inside a file (Parquet, a webdataset shard, a data: URL) or
from the web is kept beside the database in a file named by its content, so that scores and reports can read it later.
"""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

from oresight.tasks.formats.pictures import Source
from oresight.tasks.scoring.picture import MAX_BYTES, SUFFIXES, Seen, Unreadable, look

FETCH_S = 30


class Place(NamedTuple):
    """A picture as a row names it, and the folder that its path starts from and stays inside."""

    root: Path | None
    source: Source


class Kept(NamedTuple):
    """A picture that can be used."""

    name: str | None
    """What the row calls it: a path, or nothing where it came inside the row."""
    path: str
    sha256: str
    width: int
    height: int
    mode: str
    size: int


class Entry(NamedTuple):
    """A row of store.pictures, used or not."""

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
    """Looks at every picture once, several at a time."""

    def __init__(self, keep: Path, *, allow_download: bool) -> None:
        self.keep, self.allow_download = keep, allow_download
        self.known: dict[tuple[str, str], Kept | str] = {}
        self.pool = ThreadPoolExecutor(os.cpu_count() or 2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def gather(self, places: Iterable[Place]) -> list[Entry]:
        """Look at those that are new; gives their entries, thumbnails included."""
        fresh = {_key(place): place for place in places}
        todo = [(key, place) for key, place in fresh.items() if key not in self.known]
        entries = []
        for (key, _), (found, entry) in zip(todo, self.pool.map(lambda item: self._look(item[1]), todo), strict=True):
            self.known[key] = found
            entries += [entry] if entry else []
        return entries

    def find(self, places: Iterable[Place]) -> list[Kept]:
        """Pictures that were gathered. Raises ValueError with the reason if one cannot be used."""
        found = []
        for place in places:
            one = self.known[_key(place)]
            if isinstance(one, str):
                raise ValueError(one)
            found.append(one)
        return found

    def _look(self, place: Place) -> tuple[Kept | str, Entry | None]:
        try:
            if isinstance(place.source, bytes):
                return self._stored(place.source, "a picture inside the row")
            if "://" in place.source:
                return self._stored(self._fetched(place.source), f"the picture {_short(place.source)}")
            path = _inside(place.root, place.source)
        except (Unreadable, OSError) as error:
            return str(error), None
        return _at(path, place.source)

    def _stored(self, data: bytes, name: str) -> tuple[Kept | str, Entry | None]:
        """Looked at first, so that what is no picture leaves no file."""
        try:
            seen = look(data)
        except Unreadable as error:
            return f"{name} {error}", None
        path = self.keep / seen.sha256[:2] / f"{seen.sha256}.{SUFFIXES.get(seen.format, 'img')}"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f".{path.name}.{os.getpid()}")
            unfinished.write_bytes(data)
            unfinished.replace(path)
        return _kept(path, seen, standing(str(path))[1])

    def _fetched(self, url: str) -> bytes:
        if not url.startswith(("http://", "https://")):
            raise Unreadable(f"the picture {_short(url)} is neither a path nor an http address")
        if not self.allow_download:
            raise Unreadable(
                f"the picture {_short(url)} is on the web; set dataset.allow_download: true, or give a path"
            )
        try:
            with urllib.request.urlopen(url, timeout=FETCH_S) as answer:  # noqa: S310 http and https only, see above
                data: bytes = answer.read(MAX_BYTES + 1)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise Unreadable(f"the picture {_short(url)} cannot be fetched ({error})") from error
        if len(data) > MAX_BYTES:
            raise Unreadable(f"the picture {_short(url)} has more than {MAX_BYTES >> 20} MB")
        return data


def sweep(keep: Path, paths: Collection[str]) -> None:
    """Remove the pictures that were kept in a folder and are not among the paths."""
    for file in keep.glob("*/*"):
        if str(file.resolve()) not in paths:
            file.unlink()


def standing(path: str) -> tuple[int | None, int | None]:
    """Bytes and time of change in ns of a file; nothing if it is not there."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None, None
    return found.st_size, found.st_mtime_ns


def _key(place: Place) -> tuple[str, str]:
    if isinstance(place.source, bytes):
        return "", hashlib.sha256(place.source).hexdigest()
    return str(place.root), place.source


def _inside(root: Path | None, name: str) -> Path:
    """The file, links followed. Raises Unreadable if it is outside the root."""
    if root is None:
        raise Unreadable(f"the picture {_short(name)} is a path; give the folder that it starts from as dataset.root")
    home = root.resolve()
    try:
        path = (home / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise Unreadable(f"the picture {_short(name)} is no path ({error})") from error
    if not path.is_relative_to(home):
        raise Unreadable(
            f"the picture {_short(name)} lies outside {home}; give the folder that holds all as dataset.root"
        )
    return path


def _at(path: Path, name: str) -> tuple[Kept | str, Entry]:
    size, modified = standing(str(path))
    try:
        if size is None:
            raise Unreadable("is not there")
        if not path.is_file():
            raise Unreadable("is no file")
        if size > MAX_BYTES:
            raise Unreadable(f"has more than {MAX_BYTES >> 20} MB")
        return _kept(path, look(path.read_bytes()), modified, name)
    except (Unreadable, OSError) as error:
        reason = f"the picture {_short(name)} {error if isinstance(error, Unreadable) else error.strerror} ({path})"
        return reason, _bad(path, reason, size, modified)


def _short(name: str) -> str:
    return repr(name if len(name) <= 200 else f"{name[:200]}...")


def _bad(path: Path, reason: str, size: int | None, modified: int | None) -> Entry:
    return Entry(str(path), reason, None, None, None, None, None, size, modified, None, None)


def _kept(path: Path, seen: Seen, modified: int | None, name: str | None = None) -> tuple[Kept, Entry]:
    path = path.resolve()
    kept = Kept(name, str(path), seen.sha256, seen.width, seen.height, seen.mode, seen.size)
    return kept, Entry(
        str(path), None, seen.sha256, seen.width, seen.height, seen.mode, seen.format, seen.size, modified,
        seen.spread, seen.thumbnail,
    )  # fmt: skip
