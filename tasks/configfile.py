"""Reads the configuration from a YAML file and `--set` changes. Errors are one line: file, line, field and cure."""

import difflib
import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from oresight.tasks.config import Curate, Publishing
from oresight.tasks.paths import Base, Typed

BOUNDS = {
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
}
"""Kinds of errors of pydantic, what they say, and the key of the bound."""
KINDS = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "string_type": "a text; put it in quotes",
    "string_pattern_mismatch": "letters, digits, ., _ and -, and begin with a letter or a digit",
    "too_short": "a list of at least one",
    "list_type": "a list, such as [a, b]",
    "dict_type": "keys with values, such as {key: value}",
    "model_type": "keys with values, such as {key: value}",
    "model_attributes_type": "keys with values, such as {key: value}",
}
"""Kinds of errors of pydantic, and what the value must be."""
MOST = 10_000_000
"""Characters of a configuration. A file such as /dev/zero never ends."""
SHORT_FORMS = {"dataset": "{name: rows, path: %s}", "reference": "{name: trusted, path: %s}", "model": "{name: %s}"}
"""Sections, and what somebody means who gives a text instead."""
ROWS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".gz", ".zst", ".tar")
"""Suffixes of files that hold rows."""


def read_config(path: Path, changes: list[str], *, is_absolute: bool = False) -> Curate:
    """The configuration in a YAML file, overridden by `key.subkey=value` changes.

    Paths in the file are relative to its folder, as it is given here: links to the file are not followed. Paths in
    changes, and in a file from standard input (-), are relative to the current folder. is_absolute: all become
    absolute. Raises ValueError, one line with file, line, field and cure.
    """
    file = Path("/dev/stdin") if str(path) == "-" else path
    if file.suffix.lower() in ROWS:
        raise ValueError(f"{path}: holds rows, not a configuration; `oresight init {path}` writes one")
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.read(MOST + 1)
        if len(text) > MOST:
            raise ValueError(f"{path}: is longer than {MOST:,} characters, so it is no configuration; give a YAML file")
        node, tree = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text) or {}
    except OSError as error:
        cure = "give the path of a YAML file; `oresight init FILE` writes one for the rows in FILE"
        raise ValueError(f"{path.absolute()}: cannot be read ({error.strerror}); {cure}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: must hold keys such as 'dataset:' and 'reference:', not a {type(tree).__name__}")
    if problem := _not_plain(tree, set(), set()):
        raise ValueError(f"{path}: {problem}")
    if repeated := _repeated_key(node):
        raise ValueError(f"{path}, line {repeated[1]}: {repeated[0]} is there twice; remove one of them")
    for change in changes:
        _apply_change(tree, change)
    tree.setdefault("database", Curate.model_fields["database"].default)  # defaults are beside the file too
    if isinstance(publishing := tree.setdefault("publishing", {}), dict):
        publishing.setdefault("folder", Publishing.model_fields["folder"].default)
    try:
        return Curate.model_validate(tree, context=Base(file.parent if file.is_file() else Path.cwd(), is_absolute))
    except ValidationError as error:
        key_path, message = _first_error(error)
        blamed = next((change for change in reversed(changes) if _sets(change, key_path)), None)
        line = _line(node, key_path)
        place = f"--set {blamed}" if blamed else f"{path}{f', line {line}' if line else ''}"
        raise ValueError(" ".join(f"{place}: {message}".splitlines())) from error


def validated(config: Any) -> Curate:
    """The configuration from a form or an API call, with paths relative to the current folder.

    Raises ValueError with the message of `read_config`.
    """
    try:
        return Curate.model_validate(config)
    except ValidationError as error:
        raise ValueError(_first_error(error)[1]) from error


def _first_error(error: ValidationError) -> tuple[tuple[str, ...], str]:
    """The keys that lead to the first wrong field, and a message with the field and its error."""
    errors = error.errors()
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])  # a slip is why one misses
    key_path = tuple(map(str, first["loc"]))
    if key_path[:2] == ("flagging", "parameters"):
        given = _shortened(first["input"])
        return key_path[:3], f"{'.'.join(key_path[:3])}: is {given}, but must be a number, a text, true or false"
    if key_path[:2] == ("splitting", "drop"):
        key_path = key_path[:2] + key_path[3:]  # without the name of the form that the value was read as
    name = ".".join(key_path) or "configuration"
    if first["type"] == "extra_forbidden":
        return key_path, f"{name}: {_unknown_key(key_path)}"
    if name == "splitting.keep" and first["type"] == "less_than_equal":
        asked = f"{first['input']:g}"
        return key_path, f"{name}: is {asked}, but it is a share between 0 and 1; for {asked} rows say rows: {asked}"
    return key_path, f"{name}: {_sentence(first)}"


def _sentence(error: Any) -> str:
    """What is wrong with a value, in our words where pydantic's are those of a programmer."""
    given = _shortened(error["input"])
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        allowed = re.findall(r"'(.*?)'", context["expected"])
        return f"is {given}, but must be {context['expected']}{_did_you_mean(str(error['input']), allowed)}"
    if error["type"] in BOUNDS:
        words, key = BOUNDS[error["type"]]
        return f"is {given}, but must be {words} {_plain(context[key])}"
    if error["type"] == "missing":
        return "is missing"
    if error["type"] in KINDS:
        form = KINDS[error["type"]] if error["input"] is not None else KINDS[error["type"]].partition(";")[0]
        return f"is {given}, but must be {_meant(error) or form}"
    return str(error["msg"]).removeprefix("Value error, ")


def _meant(error: Any) -> str:
    """What somebody means who gives this value; empty if that is not clear."""
    value, key = error["input"], str(error["loc"][-1])
    if error["type"] == "float_parsing" and re.fullmatch(r"\d+([.,]\d+)?%?", value):
        number = float(value.rstrip("%").replace(",", "."))
        return f"a number, such as {number / 100 if value.endswith('%') else number:g}"
    if isinstance(value, str) and error["type"].startswith("model") and key in SHORT_FORMS:
        return f"keys with values, such as {SHORT_FORMS[key] % value}"
    return ""


def _shortened(value: Any) -> str:
    return textwrap.shorten(json.dumps(value, default=str, ensure_ascii=False), 60, placeholder=" ...")


def _plain(bound: float) -> str:
    """A bound without an exponent."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _repeated_key(node: yaml.Node | None) -> tuple[str, int] | None:
    """A key that a section holds twice, of which YAML would keep the last, and its line."""
    if not isinstance(node, yaml.MappingNode):
        return None
    keys = set[str]()
    for key, value in node.value:
        if isinstance(key.value, str) and key.value in keys:
            return key.value, key.start_mark.line + 1
        keys |= {key.value} if isinstance(key.value, str) else set()
        if deeper := _repeated_key(value):
            return deeper
    return None


def _unknown_key(key_path: tuple[str, ...]) -> str:
    """What is wrong with a key that does not exist: a slip of the pen, or another section's key."""
    *section, key = key_path
    keys = _keys(tuple(section))
    homes = [name for name in Curate.model_fields if key in _keys((name,))]
    meant = _did_you_mean(key, keys)
    if not meant and homes:
        meant = f"; it belongs to {' or '.join(f'{home}.{key}' for home in homes)}"
    return f"is not a key{meant}; the keys here are {', '.join(keys)}"


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""


def _sets(change: str, key_path: tuple[str, ...]) -> bool:
    """Whether a change sets a field, or a section that the field is in, or a part of it."""
    changed = tuple(change.partition("=")[0].strip().split("."))
    shared = min(len(changed), len(key_path))
    return shared > 0 and changed[:shared] == key_path[:shared]


def _apply_change(tree: dict[str, Any], change: str) -> None:
    """Apply a change `a.b=value` to the tree. The value is read as YAML."""
    key, equals, text = change.partition("=")
    change = " ".join(change.splitlines())
    *sections, last = key.strip().split(".")
    if not equals or not all((*sections, last)):
        raise ValueError(f"--set {change}: write key.subkey=value, for instance --set splitting.keep=0.5")
    for part in sections:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise ValueError(f"--set {change}: {part} holds a value, not keys; set {part} itself")
    try:
        tree[last] = _typed(yaml.safe_load(text))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"--set {change}: the value is not YAML; put it in quotes") from error


def _not_plain(value: Any, above: set[int], plain: set[int]) -> str:
    """Why a value of YAML cannot be a configuration, or ''. An anchor lets a list hold itself, or the same list often.

    above: ids of what holds the value. plain: ids of lists and mappings that were looked at already.
    """
    if not isinstance(value, dict | list) or id(value) in plain:
        return ""
    if id(value) in above:
        return "an anchor (&) stands in itself; write the value out"
    if isinstance(value, dict) and (keys := [key for key in value if not isinstance(key, str | int | float)]):
        return f"the key {_shortened(str(keys[0]))} is no text; put it in quotes"
    parts = value.values() if isinstance(value, dict) else value
    problem = next(filter(None, (_not_plain(part, above | {id(value)}, plain) for part in parts)), "")
    plain.add(id(value))
    return problem


def _typed(value: Any) -> Any:
    """A value whose texts were typed in a shell."""
    if isinstance(value, dict):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    return Typed(value) if isinstance(value, str) else value


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
