"""Lists the files behind a path, with how each is read and the digest that shows when it has changed."""

import codecs
import glob
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from oresight.tasks.formats.encoding import find_encoding
from oresight.tasks.formats.folders import data_files
from oresight.tasks.formats.pictures import SUFFIXES
from oresight.tasks.formats.splits import SHARD, choose, split_of

JSON_KINDS = (".jsonl", ".ndjson", ".json")
TEXTS = (*JSON_KINDS, ".csv", ".tsv")
ARCHIVES = (".gz", ".zst")
READABLE = (
    f"{', '.join(TEXTS)} (each also as .gz or .zst), .parquet, .tar (webdataset), or"
    " the folder that datasets' save_to_disk wrote"
)
"""The supported files, in words."""
PREFIXES = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder",
    b"<!doctype html": "is a web page, not the data; download the file itself",
    b"<html": "is a web page, not the data; download the file itself",
    b"pk\x03\x04": "is a zip archive or a workbook of a spreadsheet; unpack it, or save the sheet as CSV",
    b"\x1f\x8b": "is compressed by gzip; add .gz to its name",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd; add .zst to its name",
}
"""How files begin, in small letters, that are not what their name says; and what they are."""


class File(NamedTuple):
    """A file, an Arrow folder, or a split on the hub."""

    path: str
    kind: str
    """The suffix without .gz or .zst, or 'arrow' or 'hub'."""
    sha256: str
    """For a split on the hub, the commit."""
    bytes: int
    encoding: str = "utf-8"
    remark: str = ""
    """What a user should know about how the file is read."""
    split: str | None = None
    """The requested split, if the file must hold several, under keys."""
    split_field: str = "dataset.split"
    """The setting that requests it, for messages."""
    answers: "File | None" = None
    """The file of annotations that holds the answers to this file of questions."""


def list_files(path: str, split: str | None = None, field: str = "dataset.split") -> tuple[list[File], list[str]]:
    """The files behind a path, folder, glob or hub name, sorted, and the paths there that are not read.

    split: the requested split. field: the setting that names it, for messages. Raises ValueError, one line with the
    cure, if there is nothing to read, or the files are of several splits and none is requested.
    """
    if path.startswith("hf:"):
        return [_on_hub(path, split)], []
    if Path(path).is_dir() and not _is_arrow(Path(path)):
        splits, others = data_files(Path(path), _is_data)
    else:
        matched = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207 Path.glob takes no absolute pattern
        if not matched:
            raise ValueError(f"{Path(path).absolute()}: no such file; give a file, a folder, a glob or hf:owner/name")
        splits = {match: split_of(match) for match in matched if _is_data(Path(match))}
        others = [match for match in matched if match not in splits]
    for name in [name for name in splits if not _is_utf8_name(name)]:
        del splits[name]
        others.append(os.fsencode(name).decode(errors="replace") + " (its name is not UTF-8)")
    if not splits:
        names = ", ".join(Path(other).name for other in others[:5])
        holds = (
            "is of a type that is not read" if others == [path] else f"holds {names or 'nothing'}, and nothing to read"
        )
        raise ValueError(f"{path}: {holds}; give {READABLE}")
    is_split_inside = len(splits) == 1 and split is not None and not any(splits.values())
    try:
        chosen = list(splits) if is_split_inside else choose(splits, split, field)
    except ValueError as error:
        raise ValueError(f"{_common_folder(splits)}: {error}") from error
    files = _with_answers([_described(name, _missing_shards(name, chosen)) for name in chosen])
    if is_split_inside and files[0].kind not in JSON_KINDS:
        raise ValueError(f"{path}: is one file without splits; leave out {field}")
    files = [file._replace(split=split if is_split_inside else None, split_field=field) for file in files]
    return files, [other for other in others if not other.lower().endswith(SUFFIXES)]  # rows name their pictures


def _is_utf8_name(name: str) -> bool:
    """Whether a file's name is UTF-8, as the database needs it."""
    return not any("\udc80" <= character <= "\udcff" for character in name)


def with_members(files: Iterable[File]) -> list[File]:
    """The files, each followed by the file of its answers if it has one."""
    return [part for file in files for part in (file, file.answers) if part]


def _kind(path: str) -> str:
    """The suffix that decides how a file is read; empty for a file that is not read."""
    name = path.lower()
    archive = next((suffix for suffix in ARCHIVES if name.endswith(suffix)), "")
    name = name.removesuffix(archive)
    return next((kind for kind in (*TEXTS, *([] if archive else [".parquet", ".tar"])) if name.endswith(kind)), "")


def _is_data(path: Path) -> bool:
    return _is_arrow(path) or (path.is_file() and _kind(str(path)) != "")


def _is_arrow(path: Path) -> bool:
    """Whether a folder was written by save_to_disk."""
    return (path / "state.json").is_file() and (path / "dataset_info.json").is_file()


def _common_folder(paths: Iterable[str]) -> str:
    return os.path.commonpath([Path(path).parent for path in paths]) or "."


def _missing_shards(path: str, paths: list[str]) -> str:
    """A remark if this is the first of the hub's shards of a split and others are missing."""
    shard = SHARD.match(Path(path).name)
    if shard is None:
        return ""
    matches = [SHARD.match(Path(other).name) for other in paths if Path(other).parent == Path(path).parent]
    numbers = sorted(int(match[2]) for match in matches if match and match.group(1, 3) == shard.group(1, 3))
    is_complete = len(numbers) >= int(shard[3]) or int(shard[2]) > numbers[0]
    return "" if is_complete else f"is one of {int(shard[3])} shards, of which {len(numbers)} are there"


def _described(path: str, remark: str) -> File:
    """The file with its digest, its encoding and a remark. The digest of an Arrow folder is that of its members."""
    if _is_arrow(Path(path)):
        members = [_with_digest(str(member), "") for member in sorted(Path(path).iterdir()) if member.is_file()]
        digest = hashlib.sha256("".join(member.sha256 for member in members).encode()).hexdigest()
        return File(path, "arrow", digest, sum(member.bytes for member in members))
    file = _with_digest(path, _kind(path))._replace(remark=remark)
    if file.kind not in TEXTS:
        return file
    encoding, word = find_encoding(path)
    if word:
        remark = f"is not UTF-8 and is read as Windows-1252 ({word!r}); if that is wrong, save it as UTF-8"
    return file._replace(encoding=encoding, remark=remark)


def _with_digest(path: str, kind: str) -> File:
    """Raises ValueError, one line with the cure, if the file cannot be read or is not what its name says."""
    try:
        with Path(path).open("rb") as stream:
            head = stream.read(100).removeprefix(codecs.BOM_UTF8).lstrip().lower()
            for prefix, what in PREFIXES.items():
                if head.startswith(prefix) and not ("compressed" in what and path.lower().endswith(ARCHIVES)):
                    raise ValueError(f"{path}: {what}")
            stream.seek(0)
            return File(path, kind, hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell())
    except PermissionError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error


def _with_answers(files: list[File]) -> list[File]:
    """The files, those of questions with the file of annotations of the same name, which is then not listed itself.

    VQAv2 has v2_OpenEnded_mscoco_train2014_questions.json and v2_mscoco_train2014_annotations.json.
    """
    named = [(file, Path(file.path).name.lower()) for file in files if file.kind in JSON_KINDS]
    annotations = {_pair_name(name): file for file, name in named if "annotation" in name}
    questions = [file for file, name in named if "question" in name and "annotation" not in name]
    pairs: dict[str, File | None]
    if len(questions) == len(annotations) == 1:
        pairs = {questions[0].path: next(iter(annotations.values()))}
    else:
        pairs = {file.path: annotations.get(_pair_name(Path(file.path).name.lower())) for file in questions}
    used = {answers.path for answers in pairs.values() if answers}
    return [file._replace(answers=pairs.get(file.path)) for file in files if file.path not in used]


def _pair_name(name: str) -> str:
    """What the names of both files have in common."""
    return re.sub(r"questions?|annotations?|openended|multiplechoice|[\W_]", "", name)


def _on_hub(path: str, requested: str | None) -> File:
    """A split on the hub at its current commit."""
    from huggingface_hub import HfApi

    name, _, split = path.removeprefix("hf:").partition(":")
    try:
        commit = HfApi().dataset_info(name, timeout=20).sha or ""
    except Exception as error:  # the hub's client raises many kinds of errors, with and without a network
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: cannot be read from the hub ({reason}); download it and give its folder") from error
    return File(f"hf:{name}:{split or requested or 'train'}", "hub", commit, 0)
