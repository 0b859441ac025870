"""The first rows of a dataset -> a commented configuration. The comments are the help of the schema."""

import glob
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml

from oresight.tasks.config import Curate, Dataset, Publishing
from oresight.tasks.formats.preview import Preview, preview
from oresight.tasks.paths import Base, beside, is_elsewhere
from oresight.tasks.section import Section

KEEP = 0.8
"""Share of the rows that a drafted split keeps at most."""
WIDTH = 100


class Draft(NamedTuple):
    """A configuration, and what it was made from."""

    text: str
    dataset: Preview
    trusted: Preview | None


def default_file(path: str) -> Path:
    """The file of a configuration beside a dataset; in the current folder for a dataset on the hub."""
    if is_elsewhere(path):
        return Path("oresight.yaml")
    is_glob, here = glob.has_magic(path) and not Path(path).exists(), Base(Path.cwd())
    start = Path(here.spell(Path(re.split(r"[^/]*[*?\[]", path)[0] if is_glob else path))).absolute()
    is_flat = is_glob and "**" not in path  # what a run writes beside it does not become data
    return Path(here.spell(start if is_flat else start.parent)) / "oresight.yaml"


def draft(file: Path, path: str, split: str | None, trusted: str | None, model: str) -> Draft:
    """The text of a configuration `file` for the dataset at a path, with rows that are trusted or without.

    Paths are those of the current folder. Raises ValueError, one line with the cure, if the rows cannot be read, or
    the trusted rows are the dataset.
    """
    try:
        rows = preview(Dataset(name=_dataset_name(path), path=path, split=split), "--split")
    except ValueError as error:
        raise ValueError(str(error).replace("--split: ", "--split ")) from error
    reference = None
    if trusted:
        name = "trusted" if rows.section.name != "trusted" else "trusted-rows"
        try:
            reference = preview(Dataset(name=name, path=trusted), "reference.split")
        except ValueError as error:
            raise ValueError(f"--trusted: {error}") from error
        if reference.digests & rows.digests:
            raise ValueError(
                f"--trusted: {trusted} is the dataset itself; give rows that a person has checked, or leave out"
                " --trusted, and `oresight trust` lets you choose some"
            )
    tree = {
        "database": _database(file),
        "dataset": _section(rows.section, file),
        **({"reference": _section(reference.section, file)} if reference else {}),
        "model": {"name": _model(model, file)},
        "splitting": {"name": "curated", "drop": "flagged", "keep": KEEP},
        "publishing": {"folder": Publishing.model_fields["folder"].default},
    }
    return Draft(_text(tree), rows, reference)


def _dataset_name(path: str) -> str:
    """A name for the dataset at a path, as a configuration allows it."""
    last = path.removeprefix("hf:").split(":")[0] if path.startswith("hf:") else str(Path(path).absolute())
    stem = re.sub(r"(\.(gz|zst|jsonl|ndjson|json|csv|tsv|parquet|tar))+$", "", Path(last).name, flags=re.I)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100] or "dataset"


def _database(file: Path) -> str:
    """The default database, and its absolute path where the current folder has another one of this name."""
    name: str = Curate.model_fields["database"].default
    own = file.absolute().parent / name
    return str(own) if Path(name).exists() and not own.exists() else name


def _section(section: Dataset, file: Path) -> dict[str, Any]:
    tree = section.model_dump(exclude_unset=True, exclude_none=True)
    for key in ("path", "root"):
        if key in tree:
            tree[key] = beside(tree[key], file)
    return tree


def _model(model: str, file: Path) -> str:
    """The name of a model, or how the file names its path."""
    path = beside(model, file) if Path(model).exists() else model
    return path if path == model or path.startswith((".", "/")) else f"./{path}"


def _text(tree: Mapping[str, Any]) -> str:
    lines = list(_lines(Curate, tree))
    width = min(48, max(len(line) for line, _ in lines) + 2)
    text = [f"{line:<{width}}# {note}" if len(line) < width else f"{line}  # {note}" for line, note in lines]
    if "reference" not in tree:
        note = " ".join(str(Curate.model_fields["reference"].description).split())
        example = ["# reference:", "#   name: trusted", "#   path: trusted.jsonl"]
        at = next(index for index, line in enumerate(text) if line.startswith("model:"))
        text[at:at] = [f"# {line}" for line in textwrap.wrap(note, WIDTH)] + example
    head = "# Paths are relative to this file. The README of Oresight lists all keys."
    return "\n".join([head, *text, ""])


def _lines(section: type[Section], tree: Mapping[str, Any], indent: str = "") -> Iterator[tuple[str, str]]:
    """Lines of YAML, each with its comment: the first sentence of the key's help."""
    for key, value in tree.items():
        field = section.model_fields[key]
        note = re.split(r"[.](?=\s|$)", " ".join(str(field.description).split()))[0]
        inner = next((form for form in (field.annotation, *get_args(field.annotation)) if _is_section(form)), None)
        if isinstance(value, dict) and inner and key != "columns":
            yield f"{indent}{key}:", note
            yield from _lines(inner, value, f"{indent}  ")
        else:
            style = None if isinstance(value, dict) else False
            line = yaml.safe_dump({key: value}, default_flow_style=style, allow_unicode=True, width=9999)
            yield f"{indent}{line.strip()}", note


def _is_section(form: Any) -> bool:
    return isinstance(form, type) and issubclass(form, Section)
