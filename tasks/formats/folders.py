"""Finds the data files of a folder: beside each other, in `data/`, in one folder a split, or where a hub card says."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import yaml

from oresight.tasks.formats.splits import split_of

LIBRARY_FILES = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""JSON files in which `datasets` and the hub describe a dataset."""
CARD_CHARACTERS = 1 << 20


def data_files(folder: Path, is_data: Callable[[Path], bool]) -> tuple[dict[str, str | None], list[str]]:
    """The data files of a folder, each with its split as it is spelled or None, and the other paths beside them.

    is_data: whether a path is of a kind that is read. Raises ValueError, one line with the cure, if the card names
    several configurations.
    """
    if splits := _saved_splits(folder) or _card_splits(folder, is_data):
        return splits, []
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path for path in inside if is_data(path) and path.name not in LIBRARY_FILES]
    others = [str(path) for path in inside if path not in files and path.name not in LIBRARY_FILES]
    if files:
        return {str(path): split_of(path.name) for path in files}, others
    if (folder / "data").is_dir():
        return data_files(folder / "data", is_data)
    in_folders = {
        str(path): split_of(part.name)
        for part in inside
        if part.is_dir() and split_of(part.name)
        for path in sorted(part.iterdir())
        if is_data(path) and not path.name.startswith(".")
    }
    if in_folders:
        return in_folders, [other for other in others if not split_of(other)]
    snapshot = _cached_snapshot(folder)
    return data_files(snapshot, is_data) if snapshot else ({}, others)


def _saved_splits(folder: Path) -> dict[str, str | None]:
    """The folders of the splits that `DatasetDict.save_to_disk` wrote. Raises ValueError if their list is damaged."""
    listing = folder / "dataset_dict.json"
    try:
        splits = orjson.loads(listing.read_bytes())["splits"] if listing.is_file() else []
        are_names = all(Path(split).name == split for split in splits)
    except (ValueError, KeyError, TypeError):
        are_names = False
    if not are_names:
        raise ValueError(f"{listing}: does not list the splits of the folder; write it again with save_to_disk")
    return {str(folder / split): split for split in splits}


def _cached_snapshot(folder: Path) -> Path | None:
    """The newest snapshot of a dataset in the hub's cache."""
    newest = folder / "refs" / "main"
    snapshot = folder / "snapshots" / newest.read_text().strip() if newest.is_file() else None
    return snapshot if snapshot and snapshot.is_dir() else None


def _card_splits(folder: Path, is_data: Callable[[Path], bool]) -> dict[str, str | None]:
    """The files that the head of README.md lists under `configs`, if they are there."""
    configs = [config for config in _card_configs(folder) if config.get("data_files")]
    defaults = [config for config in configs if config.get("default") or config.get("config_name") == "default"]
    splits = [_config_splits(folder, config["data_files"], is_data) for config in defaults[:1] or configs]
    held = [files for files in splits if files]
    if len(held) > 1:
        names = ", ".join(str(config.get("config_name")) for config in configs)
        raise ValueError(
            f"{folder}: its card names the configurations {names}; give the path of the files of one, for instance"
            f" {next(iter(held[0]))}"
        )
    return held[0] if held else {}


def _card_configs(folder: Path) -> list[dict[str, Any]]:
    card = folder / "README.md"
    if not card.is_file():
        return []
    with card.open(encoding="utf-8-sig", errors="replace") as stream:
        head = re.match(r"---\s*\n(.*?)^---\s*$", stream.read(CARD_CHARACTERS), re.S | re.M)
    try:
        fields = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:
        return []  # then the files are found as without a card
    configs = fields.get("configs") if isinstance(fields, dict) else None
    return [config for config in configs if isinstance(config, dict)] if isinstance(configs, list) else []


def _config_splits(folder: Path, entries: Any, is_data: Callable[[Path], bool]) -> dict[str, str | None]:
    """The files of one configuration with their splits. Patterns that lead outside the folder match nothing."""
    if isinstance(entries, dict):
        entries = [{"split": split, "path": paths} for split, paths in entries.items()]
    splits: dict[str, str | None] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        split, paths = (entry.get("split"), entry.get("path")) if isinstance(entry, dict) else (None, entry)
        for pattern in paths if isinstance(paths, list) else [paths]:
            if not isinstance(pattern, str) or not pattern or pattern.startswith("/") or ".." in Path(pattern).parts:
                continue
            for path in sorted(folder.glob(pattern)):
                if is_data(path):
                    splits[str(path)] = str(split) if split else split_of(path.name)
    return splits
