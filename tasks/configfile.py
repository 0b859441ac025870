"""A YAML file and `--set` changes -> the configuration. A mistake is one sentence with file, line, field and cure."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from oresight.tasks.config import Curate


def read_config(path: Path, changes: list[str]) -> Curate:
    """The configuration in a YAML file, with `key.subkey=value` changes laid over it.

    Raises ValueError, one line naming file, line, field and what would work.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: must hold keys such as 'dataset:' and 'reference:', not a {type(tree).__name__}")
    for change in changes:
        _lay_over(tree, change)
    try:
        return Curate.model_validate(tree)
    except ValidationError as error:
        place, sentence = _wrong(error)
        line = _line(node, place)
        raise ValueError(f"{path}{f', line {line}' if line else ''}: {sentence}") from error


def validated(config: Any) -> Curate:
    """The configuration of a form or an API call. Raises ValueError with the sentence that `read_config` raises."""
    try:
        return Curate.model_validate(config)
    except ValidationError as error:
        raise ValueError(_wrong(error)[1]) from error


def _wrong(error: ValidationError) -> tuple[tuple[str, ...], str]:
    """Where the first mistake is, and the field with what is wrong with it."""
    first = error.errors()[0]
    place = tuple(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = f"is not a key; here it may be {', '.join(_keys(place[:-1]))}"
    return place, f"{'.'.join(place) or 'configuration'}: {message}"


def _lay_over(tree: dict[str, Any], change: str) -> None:
    """Put `a.b=value` into the tree; the value is read as YAML."""
    key, equals, text = change.partition("=")
    *above, last = key.strip().split(".")
    if not equals or not last:
        raise ValueError(f"--set {change}: write key.subkey=value, for instance --set splitting.keep=0.5")
    for part in above:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise ValueError(f"--set {change}: {part} is a value, not a section")
    try:
        tree[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--set {change}: the value is not YAML") from error


def _keys(place: tuple[str, ...]) -> list[str]:
    """The keys that the section at this place takes."""
    section: Any = Curate
    for part in place:
        section = section.model_fields[part].annotation
    return list(section.model_fields) if hasattr(section, "model_fields") else []


def _line(node: yaml.Node | None, place: tuple[str, ...]) -> int | None:
    """The line of the field at this place, or of the nearest section above it."""
    line = None
    for part in place:
        if not isinstance(node, yaml.MappingNode):
            break
        found = next(((key, value) for key, value in node.value if key.value == part), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
