"""The folder of a version: written under a temporary name, renamed when complete, and never changed afterwards."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unfinished_folder(home: Path, folder: Path) -> Iterator[Path]:
    """A temporary folder in `home` that is renamed to `folder` at the end. Leftovers of killed runs are removed."""
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob(".unfinished-*"):
        shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=home))
    part.chmod(0o755)
    try:
        yield part
        flush_to_disk(part)
        part.rename(folder)
        flush_to_disk(home)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def flush_to_disk(folder: Path) -> None:
    """Make the folder's entries survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def point_to_newest(home: Path) -> None:
    """Point the link `latest` to the newest version. The link is replaced atomically, so it is never missing."""
    versions = [manifest.parent.name[1:] for manifest in home.glob("v*/manifest.json")]
    newest = max((int(version) for version in versions if version.isdigit()), default=0)
    link = home / "latest"
    if newest and (not link.is_symlink() or link.readlink() != Path(f"v{newest}")):
        fresh = home / f".latest-{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(f"v{newest}", target_is_directory=True)
        fresh.replace(link)


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
