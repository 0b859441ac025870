"""An .sql file with a head of comment lines: a check of sql/checks or of a user's folder, or a question of sql/named.

A check is one SELECT that returns the bad rows: sample_id, dataset, reason, and optionally p_value, q_value, signals.
It may read getvariable('dataset'), 'reference', 'reference_hash', 'model_key' and 'false_discovery_rate'. Its first
line is `-- critical: why it matters` (or warning, info). A line `-- tolerate: 0.05` lets that share of the rows fail.

A named question's first line says what it answers. In both kinds of file a line `-- parameter: n = 20` declares
getvariable('n') with its default.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from oresight.tasks.config import Flagging
from oresight.tasks.database import SQL, Connection, DatabaseError, is_select

Severity = Literal["critical", "warning", "info"]
HEAD = re.compile(r"-- (?:tolerate: (?P<tolerate>0?\.\d+|0|1)|parameter: (?P<name>[a-z_]\w*) = (?P<value>.+))\n")


@dataclass(frozen=True)
class Check:
    """One file of sql/checks, or of a user's folder."""

    name: str
    severity: Severity
    why: str
    tolerate: float
    """Share of the tested rows that may fail before the check counts as failed."""
    sql: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Variables that it declares, with their usual values."""
    file: Path | None = None
    """Where a user's own check stands."""

    def crashed(self, error: str) -> Exception:
        """What to raise when the check itself failed: a user's is a wrong input, one of ours a bug."""
        if self.file:
            return ValueError(f"{self.file}: {error}; a check is one SELECT of sample_id, dataset and reason")
        return RuntimeError(f"check {self.name} crashed, which says nothing about the data: {error}")


def read_check(file: Path) -> Check:
    """A check file. Raises ValueError, naming the file, if its first line does not say how severe it is and why."""
    text = file.read_text(encoding="utf-8").strip().rstrip(";")
    head = re.match(r"-- (critical|warning|info): (.+)\n", text)
    if head is None:
        raise ValueError(
            f"{file}: must begin with `-- critical: why it matters` (or warning, info), then maybe `-- tolerate: 0.05`"
        )
    severity = next(level for level in get_args(Severity) if level == head[1])
    end, tolerate, parameters = head.end(), 0.0, dict[str, Any]()
    while line := HEAD.match(text, end):
        end, tolerate = line.end(), float(line["tolerate"] or tolerate)
        if line["name"]:
            parameters[line["name"]] = yaml.safe_load(line["value"])
    return Check(file.stem, severity, head[2].strip(), tolerate, text[end:], parameters)


def own_checks(flagging: Flagging, stage: str, ours: set[str]) -> list[Check]:
    """The user's checks of a stage: those right in the folder look at scores. Raises ValueError."""
    if flagging.checks_folder is None:
        if flagging.parameters:
            raise ValueError("flagging.parameters: there is no flagging.checks_folder whose checks could declare them")
        return []
    folder = Path(flagging.checks_folder)
    if not folder.is_dir():
        raise ValueError(f"flagging.checks_folder: {folder} is no folder; make it, with a file NAME.sql for each check")
    files = {
        "raw": sorted(folder.glob("raw/*.sql")),
        "score": sorted([*folder.glob("*.sql"), *folder.glob("score/*.sql")]),
    }
    own = {where: [replace(read_check(file), file=file) for file in found] for where, found in files.items()}
    names = [one.name for found in own.values() for one in found]
    if twice := sorted(name for name in set(names) if name in ours or names.count(name) > 1):
        raise ValueError(f"flagging.checks_folder: there are two checks {twice[0]!r}; give yours another name")
    declared = {name for found in own.values() for one in found for name in one.parameters}
    if unknown := sorted(flagging.parameters.keys() - declared):
        there = ", ".join(sorted(declared)) or "none"
        raise ValueError(f"flagging.parameters: no check in {folder} declares {unknown[0]!r}; there are: {there}")
    given = flagging.parameters
    return [replace(one, parameters={n: given.get(n, v) for n, v in one.parameters.items()}) for one in own[stage]]


def must_select(connection: Connection, one: Check) -> None:
    """Raise what `crashed` says of a check that is not one SELECT."""
    try:
        if not is_select(connection, one.sql):
            raise one.crashed("is not one SELECT")
    except DatabaseError as error:
        raise one.crashed(str(error).splitlines()[0]) from error


@dataclass(frozen=True)
class Question:
    """One question."""

    name: str
    about: str
    sql: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """A line for a list."""
        given = "".join(f" {name}={value}" for name, value in self.parameters.items())
        return f"{self.name}{given}: {self.about}"


def question_library() -> dict[str, Question]:
    """All of them, by name."""
    return {file.stem: _read_question(file) for file in sorted((SQL / "named").glob("*.sql"))}


def named_question(name: str, given: Sequence[str] = ()) -> Question:
    """A question with its parameters as given, each as NAME=VALUE.

    Raises ValueError if there is no such question or parameter, or the value is of another kind.
    """
    known = question_library()
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
    return Question(name, one.about, one.sql, parameters)


def _read_question(file: Path) -> Question:
    text = file.read_text(encoding="utf-8").strip()
    about = re.match(r"-- (.+)\n", text)
    assert about, f"{file}: its first line must say what it answers"
    end, parameters = about.end(), {}
    while line := HEAD.match(text, end):
        end = line.end()
        parameters[line["name"]] = yaml.safe_load(line["value"])
    return Question(file.stem, about[1], text[end:], parameters)
