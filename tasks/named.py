"""The library of questions: sql/named/NAME.sql. Its first line says what it answers, lines `-- parameter: n = 20`
declare getvariable('n') with its usual value.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tasks.checkfile import HEAD
from tasks.database import SQL


@dataclass(frozen=True)
class Named:
    """One question."""

    name: str
    about: str
    sql: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def told(self) -> str:
        """A line for a list."""
        given = "".join(f" {name}={value}" for name, value in self.parameters.items())
        return f"{self.name}{given}: {self.about}"


def library() -> dict[str, Named]:
    """All of them, by name."""
    return {file.stem: _read(file) for file in sorted((SQL / "named").glob("*.sql"))}


def named(name: str, given: Sequence[str] = ()) -> Named:
    """A question with its parameters as given, each as NAME=VALUE.

    Raises ValueError if there is no such question or parameter, or the value is of another kind.
    """
    known = library()
    if name not in known:
        raise ValueError(f"--named {name}: there is no such question; there are: {', '.join(known)}")
    one = known[name]
    parameters = dict(one.parameters)
    for assignment in given:
        key, _, value = assignment.partition("=")
        if key not in parameters:
            there = ", ".join(f"{key}={value}" for key, value in one.parameters.items()) or "none"
            raise ValueError(f"--with {assignment}: {name} has no such parameter; there are: {there}")
        parameters[key] = yaml.safe_load(value)
        if not isinstance(parameters[key], type(one.parameters[key])):
            raise ValueError(f"--with {assignment}: must be like {key}={one.parameters[key]}")
    return Named(name, one.about, one.sql, parameters)


def _read(file: Path) -> Named:
    text = file.read_text(encoding="utf-8").strip()
    about = re.match(r"-- (.+)\n", text)
    assert about, f"{file}: its first line must say what it answers"
    end, parameters = about.end(), {}
    while line := HEAD.match(text, end):
        end = line.end()
        parameters[line["name"]] = yaml.safe_load(line["value"])
    return Named(file.stem, about[1], text[end:], parameters)
