"""Files that several machines share: a folder that all of them see, or a prefix of an S3 bucket.

A file is there completely or not at all: a folder gets it by a rename, and S3 by one PUT (or one completed upload).
Credentials and the address of S3 come from the environment, as AWS's own tools read them.
"""

import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

EXTRA = "pip install 'oresight[cluster]'"
"""The command that installs Ray and the access to S3."""


@dataclass(frozen=True)
class Store:
    """A folder by its absolute path, or s3://bucket/prefix. Other processes may write to it at any time."""

    url: str

    @staticmethod
    def of(url: str, *below: str) -> "Store":
        """The store at a URL, or at a path that is relative to the working folder."""
        root = url.rstrip("/") if "://" in url else str(Path(url).absolute())
        return Store("/".join([root, *below]))

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return "://" not in self.url

    @cached_property
    def _files(self) -> Any:
        """The access to the files, by fsspec. Listings are not cached, because other machines change them."""
        try:
            files, _ = url_to_fs(self.url, **({} if self.is_folder else {"use_listings_cache": False}))
        except ImportError as error:
            raise ValueError(f"cluster.store: {self.url} needs s3fs; to install it: {EXTRA}") from error
        return files

    def read(self, name: str, most: int) -> bytes:
        """A file. Raises FileNotFoundError, and ValueError if it has more than so many bytes."""
        path = f"{self.url}/{name}"
        if (size := self._files.size(path)) > most:
            raise ValueError(f"{path} has {size:,} bytes; at most {most:,} are read")
        content: bytes = self._files.cat_file(path)
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file, completely or not at all. A file of this name is replaced."""
        if not self.is_folder:
            self._files.pipe_file(f"{self.url}/{name}", content)
            return
        path = Path(self.url, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return bool(self._files.exists(f"{self.url}/{name}"))

    def names(self, folder: str, suffix: str) -> set[str]:
        """The names of a folder's files with this suffix, without it."""
        with suppress(FileNotFoundError):
            names = (path.rsplit("/", 1)[1] for path in self._files.ls(f"{self.url}/{folder}", detail=False))
            return {name.removesuffix(suffix) for name in names if name.endswith(suffix) and name[0] != "."}
        return set()

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        with suppress(FileNotFoundError):
            self._files.rm_file(f"{self.url}/{name}")

    def clear(self) -> None:
        """Delete everything."""
        if self.is_folder:
            shutil.rmtree(self.url, ignore_errors=True)
            return
        with suppress(FileNotFoundError):
            self._files.rm(self.url, recursive=True)
