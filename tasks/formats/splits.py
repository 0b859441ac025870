"""Splits of a dataset, by the names of files, folders and keys. They are merged on request only."""

import re
from collections.abc import Mapping
from pathlib import Path

SPELLINGS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
_WORD = re.compile(f"(?<![a-z])({'|'.join(SPELLINGS)})(?![a-z])", re.I)
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(?!\d)")
"""A shard's name as the hub writes it: split, number of the shard counted from 0, number of shards."""


def split_of(name: str) -> str | None:
    """The split in a name of a file, a folder or a key, as it is spelled there; None without exactly one."""
    name = Path(name).name
    if shard := SHARD.match(name):
        return shard[1]
    words = {SPELLINGS[word.lower()]: word for word in _WORD.findall(name)}
    return next(iter(words.values())) if len(words) == 1 else None


def choose(splits: Mapping[str, str | None], requested: str | None, field: str) -> list[str]:
    """The names whose split is requested; without a request all names, if they are of one split at most.

    requested: a split, or several as in 'train+test'. field: the setting that holds the request, for messages. Raises
    ValueError, without the path, if a requested split is not there, or there are several splits and no request.
    """
    spelled = {_unified(split): split for split in splits.values() if split}
    names = ", ".join(spelled.values())
    if requested is None:
        if len(spelled) < 2:
            return list(splits)
        likely = spelled.get("train") or next(iter(spelled.values()))
        raise ValueError(
            f"holds the splits {names}; set {field}: {likely}, or {field}: {'+'.join(spelled.values())} to merge them"
        )
    parts = [part.strip() for part in requested.split("+")]
    if missing := [part for part in parts if _unified(part) not in spelled]:
        holds = f"the splits there are {names}" if names else "no name there is that of a split"
        raise ValueError(f"holds no split {missing[0]!r}, which {field} asks for; {holds}")
    unified = set(map(_unified, parts))
    return [name for name, split in splits.items() if split and _unified(split) in unified]


def _unified(split: str) -> str:
    return SPELLINGS.get(split.lower(), split)
