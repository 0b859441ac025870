"""Compares published folders with the digests in the database. What a folder says of itself proves nothing.

The database knows the digest of each manifest that we wrote, and a manifest the digest of each file. So every change of
a folder shows: of a file, of the manifest that vouches for it, and files that nobody vouches for.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from oresight.tasks.database import reading, records
from oresight.tasks.publishing.folder import sha256_of
from oresight.tasks.publishing.signature import SIGNATURE, is_signed, public_key

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
    return _differences(folder, text)


def verify_signed(folder: Path, key_file: Path) -> Verified:
    """Compare a folder with the manifest that the owner of a public key signed.

    Raises ValueError if the file holds no public key.
    """
    key = public_key(key_file)
    try:
        text, signature = (folder / MANIFEST).read_bytes(), (folder / SIGNATURE).read_bytes()
    except OSError as error:
        problems = [f"{Path(str(error.filename)).name} cannot be read ({error.strerror})"]
    else:
        is_ours = is_signed(text, signature, key.public_bytes_raw())
        unsigned = [f"{MANIFEST} is not signed with this key, so no file can be checked"]
        problems = _differences(folder, text) if is_ours else unsigned
    return Verified(folder, problems, True)


def listed(manifest: Mapping[str, Any]) -> list[str]:
    """All files of a published folder."""
    return [
        *(file["path"] for file in manifest["files"]),
        *([SIGNATURE] if manifest.get("signed_by") else []),
        MANIFEST,
    ]


def _differences(folder: Path, text: bytes) -> list[str]:
    """How the files of a folder differ from its manifest, which is known to be ours."""
    manifest = json.loads(text)
    files = {file["path"]: (file["bytes"], file["sha256"]) for file in manifest["files"]}
    own = set(listed(manifest)) - files.keys()
    names = set(_names(folder))
    present = names - own
    problems = [f"{name} is gone" for name in sorted(own - names)]
    problems += [f"{name} is not in the manifest" for name in sorted(present - files.keys())]
    for name, (size, sha256) in files.items():
        file = folder / name
        if name not in present:
            problems.append(f"{name} is gone")
        elif file.is_symlink() or not file.is_file():
            problems.append(f"{name} is no file, but a link or a folder")
        elif file.stat().st_size != size or sha256_of(file) != sha256:
            problems.append(f"{name} has another content")
    signature = folder / SIGNATURE
    if SIGNATURE in own & names and not (
        signature.is_file() and is_signed(text, signature.read_bytes(), bytes.fromhex(manifest["signed_by"]))
    ):
        problems.append(f"{SIGNATURE} has another content")
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
