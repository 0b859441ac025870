"""Reads the configuration from a YAML file and `--set` changes. Errors are one line: file, line, field and cure."""

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from oresight.tasks.config import Curate


def read_config(path: Path, changes: list[str]) -> Curate:
    """The configuration in a YAML file, overridden by `key.subkey=value` changes.

    Raises ValueError, one line with file, line, field and cure.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: must hold keys such as 'dataset:' and 'reference:', not a {type(tree).__name__}")
    for change in changes:
        _apply_change(tree, change)
    try:
        return Curate.model_validate(tree)
    except ValidationError as error:
        key_path, message = _first_error(error)
        line = _line(node, key_path)
        raise ValueError(f"{path}{f', line {line}' if line else ''}: {message}") from error


def validated(config: Any) -> Curate:
    """The configuration from a form or an API call. Raises ValueError with the message of `read_config`."""
    try:
        return Curate.model_validate(config)
    except ValidationError as error:
        raise ValueError(_first_error(error)[1]) from error


def _first_error(error: ValidationError) -> tuple[tuple[str, ...], str]:
    """The keys that lead to the first wrong field, and a message with the field and its error."""
    first = error.errors()[0]
    key_path = tuple(map(str, first["loc"]))
    if key_path[:2] == ("splitting", "drop"):
        key_path = key_path[:2] + key_path[3:]  # without the name of the form that the value was read as
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = f"is not a key; the keys here are {', '.join(_keys(key_path[:-1]))}"
    return key_path, f"{'.'.join(key_path) or 'configuration'}: {message}"


def _apply_change(tree: dict[str, Any], change: str) -> None:
    """Apply a change `a.b=value` to the tree. The value is read as YAML."""
    key, equals, text = change.partition("=")
    *sections, last = key.strip().split(".")
    if not equals or not last:
        raise ValueError(f"--set {change}: write key.subkey=value, for instance --set splitting.keep=0.5")
    for part in sections:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise ValueError(f"--set {change}: {part} holds a value, not keys; set {part} itself")
    try:
        tree[last] = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"--set {change}: the value is not YAML; put it in quotes") from error


def _keys(key_path: tuple[str, ...]) -> list[str]:
    """The keys of the section that a path of keys leads to."""
    section: Any = Curate
    for part in key_path:
        section = _section(section.model_fields[part].annotation)
    return list(section.model_fields) if section else []


def _section(annotation: Any) -> Any:
    """The section among the forms that a field may have; None if it has none."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next((section for form in get_args(annotation) if (section := _section(form))), None)


def _line(node: yaml.Node | None, key_path: tuple[str, ...]) -> int | None:
    """The line of the field that a path of keys leads to, or of the nearest section above it."""
    line = None
    for part in key_path:
        if not isinstance(node, yaml.MappingNode):
            break
        entry = next(((key, value) for key, value in node.value if key.value == part), None)
        if entry is None:
            break
        line, node = entry[0].start_mark.line + 1, entry[1]
    return line
