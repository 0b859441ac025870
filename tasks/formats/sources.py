"""Lists the files behind a path, with how each is read and the digest that shows when it has changed."""

import glob
import hashlib
from pathlib import Path
from typing import NamedTuple

import orjson

from oresight.tasks.formats.pictures import SUFFIXES

TEXTS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
ARCHIVES = (".gz", ".zst")
READABLE = (
    f"{', '.join(TEXTS)} (each also as .gz or .zst), .parquet, .tar (webdataset), or"
    " the folder that datasets' save_to_disk wrote"
)
"""The supported files, in words."""


class File(NamedTuple):
    """A file, an Arrow folder, or a split on the hub."""

    path: str
    kind: str
    """The suffix without .gz or .zst, or 'arrow' or 'hub'."""
    sha256: str
    """For a split on the hub, the commit."""
    bytes: int


def list_files(path: str) -> tuple[list[File], list[str]]:
    """The files behind a path, folder, glob or hub name, sorted, and the paths there that are not read.

    Raises ValueError, one line with the cure, if there is nothing to read.
    """
    if path.startswith("hf:"):
        return [_on_hub(path)], []
    if Path(path).is_dir() and not _is_arrow(path):
        matched = sorted(str(inner) for inner in Path(path).iterdir() if not inner.name.startswith("."))
        kinds = {match: _kind(match) for match in matched if Path(match).is_file()}
    else:
        matched = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207 Path.glob takes no absolute pattern
        kinds = {
            match: "arrow" if _is_arrow(match) else _kind(match) if Path(match).is_file() else "" for match in matched
        }
    if not matched and not Path(path).is_dir():
        raise ValueError(f"{path}: no such file; give a file, a folder, a glob or hf:owner/name")
    files = [_with_digest(match, kind) for match, kind in kinds.items() if kind]
    others = [match for match in matched if not kinds.get(match)]
    if not files:
        names = ", ".join(Path(match).name for match in others[:5])
        holds = (
            "is of a type that is not read" if others == [path] else f"holds {names or 'nothing'}, and nothing to read"
        )
        raise ValueError(f"{path}: {holds}; give {READABLE}")
    return files, [other for other in others if not other.lower().endswith(SUFFIXES)]  # rows name their pictures


def _kind(path: str) -> str:
    """The suffix that decides how a file is read; empty for a file that is not read."""
    name = path.lower()
    archive = next((suffix for suffix in ARCHIVES if name.endswith(suffix)), "")
    name = name.removesuffix(archive)
    return next((kind for kind in (*TEXTS, *([] if archive else [".parquet", ".tar"])) if name.endswith(kind)), "")


def _is_arrow(path: str) -> bool:
    """Whether a folder was written by save_to_disk. Raises ValueError if it holds several splits."""
    split_list = Path(path) / "dataset_dict.json"
    if split_list.is_file():
        splits = orjson.loads(split_list.read_bytes())["splits"]
        raise ValueError(
            f"{path}: holds the splits {', '.join(splits)}; give the path of one: {Path(path) / splits[0]}"
        )
    return (Path(path) / "state.json").is_file() and (Path(path) / "dataset_info.json").is_file()


def _with_digest(path: str, kind: str) -> File:
    """The file with its digest. The digest of an Arrow folder is computed from the digests of its members."""
    if kind == "arrow":
        members = [_with_digest(str(member), "") for member in sorted(Path(path).iterdir()) if member.is_file()]
        digest = hashlib.sha256("".join(member.sha256 for member in members).encode()).hexdigest()
        return File(path, kind, digest, sum(member.bytes for member in members))
    try:
        with Path(path).open("rb") as stream:
            return File(path, kind, hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell())
    except PermissionError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error


def _on_hub(path: str) -> File:
    """A split on the hub at its current commit."""
    from huggingface_hub import HfApi

    name, _, split = path.removeprefix("hf:").partition(":")
    try:
        commit = HfApi().dataset_info(name, timeout=20).sha or ""
    except Exception as error:  # the hub's client raises many kinds of errors, with and without a network
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: cannot be read from the hub ({reason}); download it and give its folder") from error
    return File(f"hf:{name}:{split or 'train'}", "hub", commit, 0)
