"""Compares published folders with the digests in the database. What a folder says of itself proves nothing.

The database knows the digest of each manifest that we wrote, and a manifest the digest of each file. So every change of
a folder shows: of a file, of the manifest that vouches for it, and files that nobody vouches for.
"""

import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from oresight.tasks.database import reading, records
from oresight.tasks.publishing.folder import sha256_of

MANIFEST = "manifest.json"


class Verified(NamedTuple):
    """A published folder, and what is wrong with it."""

    folder: Path
    problems: list[str]
    is_there: bool


def problems_of(folder: Path, digests: Collection[str]) -> list[str]:
    """How a folder differs from what we published, a sentence a file. digests: those of the manifests that we wrote."""
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError as error:
        return [f"{MANIFEST} cannot be read ({error.strerror})"]
    if hashlib.sha256(text).hexdigest() not in digests:
        return [f"{MANIFEST} is not the one that was written, so no file can be checked"]
    files = {file["path"]: (file["bytes"], file["sha256"]) for file in json.loads(text)["files"]}
    present = {name for name in _names(folder) if name != MANIFEST}
    problems = [f"{name} is not in the manifest" for name in sorted(present - files.keys())]
    for name, (size, sha256) in files.items():
        file = folder / name
        if name not in present:
            problems.append(f"{name} is gone")
        elif file.is_symlink() or not file.is_file():
            problems.append(f"{name} is no file, but a link or a folder")
        elif file.stat().st_size != size or sha256_of(file) != sha256:
            problems.append(f"{name} has another content")
    return problems


def _names(folder: Path) -> list[str]:
    """Paths in a folder of all that is no folder. Links are not followed, and count."""
    names = []
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        names += [(Path(parent) / name).relative_to(folder).as_posix() for name in (*files, *links)]
    return names


def verify(database: str, split: str | None = None) -> list[Verified]:
    """Compare the published versions of a split, or of all, with the database. Raises ValueError if there are none."""
    with reading(database) as connection:
        rows = records(connection, "verify_folders", {"split": split})
    if not rows:
        what = f"no published version of the split {split!r}" if split else "no published version"
        raise ValueError(f"{database}: knows {what}; `oresight publish CONFIG.yaml` publishes one")
    folders = [(Path(row["folder"]), row["digests"]) for row in rows]
    return [
        Verified(folder, problems_of(folder, digests) if folder.is_dir() else [], folder.is_dir())
        for folder, digests in folders
    ]
