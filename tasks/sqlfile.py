"""Reads .sql files with a head of comment lines: checks (sql/checks, a user's folder) and questions (sql/named).

A check is one SELECT that returns the bad rows: sample_id, dataset, reason, and optionally p_value, q_value, signals.
A check may read getvariable('dataset'), 'reference', 'reference_hash', 'model_key' and 'false_discovery_rate'. Its
first line is `-- critical: why it matters` (or warning, info). A line `-- tolerate: 0.05` lets that share of the rows
fail. A check with a line `-- needs: trusted rows` is not run where there are none.

A named question's first line says what it answers. In both kinds of file a line `-- parameter: n = 20` declares
getvariable('n') with its default.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from oresight.tasks.config import Flagging
from oresight.tasks.database import SQL, Connection, DatabaseError, is_select

Severity = Literal["critical", "warning", "info"]
HEAD = re.compile(
    r"-- (?:tolerate: (?P<tolerate>0?\.\d+|0|1)|(?P<needs>needs: trusted rows)"
    r"|parameter: (?P<name>[a-z_]\w*) = (?P<value>.+))\n"
)


@dataclass(frozen=True)
class Check:
    """A check file of sql/checks or of a user's folder."""

    name: str
    severity: Severity
    why: str
    tolerate: float
    """Share of the tested rows that may fail before the check counts as failed."""
    sql: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Variables that the check declares, with their default values."""
    file: Path | None = None
    """The file of a user's own check; None for ours."""
    needs_trusted: bool = False
    """Whether the check compares with trusted rows."""

    def crashed(self, error: str) -> Exception:
        """The exception for a check whose SQL failed: ValueError for a user's check, RuntimeError for ours."""
        if self.file:
            return ValueError(f"{self.file}: {error}; a check is one SELECT of sample_id, dataset and reason")
        return RuntimeError(f"check {self.name} crashed, which says nothing about the data: {error}")


def sql_of(file: Path) -> str:
    """The text of an .sql file. Raises ValueError if it is none."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file}: is no text in UTF-8 ({error.reason}, byte {error.start}); save it as UTF-8"
        ) from error


def read_check(file: Path) -> Check:
    """Read a check file. Raises ValueError, naming the file, if its first line lacks the severity and the reason."""
    text = sql_of(file).strip().rstrip(";")
    head = re.match(r"-- (critical|warning|info): (.+)\n", text)
    if head is None:
        raise ValueError(
            f"{file}: must begin with `-- critical: why it matters` (or warning, info), then maybe `-- tolerate: 0.05`"
        )
    severity = next(level for level in get_args(Severity) if level == head[1])
    end, tolerate, needs_trusted, parameters = head.end(), 0.0, False, dict[str, Any]()
    while line := HEAD.match(text, end):
        end, tolerate = line.end(), float(line["tolerate"] or tolerate)
        needs_trusted |= line["needs"] is not None
        if line["name"]:
            parameters[line["name"]] = yaml.safe_load(line["value"])
    return Check(
        name=file.stem,
        severity=severity,
        why=head[2].strip(),
        tolerate=tolerate,
        sql=text[end:],
        parameters=parameters,
        needs_trusted=needs_trusted,
    )


def own_checks(flagging: Flagging, stage: str, ours: set[str]) -> list[Check]:
    """The user's checks of a stage. Files directly in the folder are checks of scores. ours: names of built-in checks.

    Raises ValueError if the folder is missing, two checks have one name, or a configured parameter is not declared.
    """
    if flagging.checks_folder is None:
        if flagging.parameters:
            raise ValueError("flagging.parameters: set flagging.checks_folder too; its checks declare parameters")
        return []
    folder = Path(flagging.checks_folder)
    if not folder.is_dir():
        cure = "make it, with a file NAME.sql for each check"
        raise ValueError(f"flagging.checks_folder: {folder.absolute()} is no folder; {cure}")
    files = {
        "raw": sorted(folder.glob("raw/*.sql")),
        "score": sorted([*folder.glob("*.sql"), *folder.glob("score/*.sql")]),
    }
    own = {key: [replace(read_check(file), file=file) for file in paths] for key, paths in files.items()}
    every = [check for checks in own.values() for check in checks]
    names = [check.name for check in every]
    if twice := sorted(name for name in set(names) if name in ours or names.count(name) > 1):
        raise ValueError(f"flagging.checks_folder: there are two checks {twice[0]!r}; give yours another name")
    declared = {name for check in every for name in check.parameters}
    if unknown := sorted(flagging.parameters.keys() - declared):
        names_declared = ", ".join(sorted(declared)) or "none"
        raise ValueError(
            f"flagging.parameters: no check in {folder} declares {unknown[0]!r}; there are: {names_declared}"
        )
    configured = flagging.parameters
    return [
        replace(check, parameters={name: configured.get(name, value) for name, value in check.parameters.items()})
        for check in own[stage]
    ]


def must_select(connection: Connection, check: Check) -> None:
    """Raise the exception of `Check.crashed` if the check is not a single SELECT."""
    try:
        if not is_select(connection, check.sql):
            raise check.crashed("is not one SELECT")
    except DatabaseError as error:
        raise check.crashed(str(error).splitlines()[0]) from error


@dataclass(frozen=True)
class Question:
    """A named question."""

    name: str
    about: str
    sql: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """The question as one line of a list."""
        given = "".join(f" {name}={value}" for name, value in self.parameters.items())
        return f"{self.name}{given}: {self.about}"


def question_library() -> dict[str, Question]:
    """All named questions by name."""
    return {file.stem: _read_question(file) for file in sorted((SQL / "named").glob("*.sql"))}


def named_question(name: str, given: Sequence[str] = ()) -> Question:
    """A question with its parameters. given: assignments NAME=VALUE.

    Raises ValueError if there is no such question or parameter, or a value has another type than the default.
    """
    library = question_library()
    if name not in library:
        raise ValueError(f"--named {name}: there is no such question; there are: {', '.join(library)}")
    question = library[name]
    parameters = dict(question.parameters)
    for assignment in given:
        key, _, value = assignment.partition("=")
        if key not in parameters:
            declared = ", ".join(f"{key}={value}" for key, value in question.parameters.items()) or "none"
            raise ValueError(f"--with {assignment}: {name} has no such parameter; there are: {declared}")
        parameters[key] = None  # what is no YAML is of no type
        with suppress(yaml.YAMLError, RecursionError):
            parameters[key] = yaml.safe_load(value)
        if not isinstance(parameters[key], type(question.parameters[key])):
            raise ValueError(f"--with {assignment}: must be like {key}={question.parameters[key]}")
    return replace(question, parameters=parameters)


def _read_question(file: Path) -> Question:
    text = sql_of(file).strip()
    about = re.match(r"-- (.+)\n", text)
    assert about, f"{file}: its first line must say what it answers"
    end, parameters = about.end(), {}
    while line := HEAD.match(text, end):
        end = line.end()
        parameters[line["name"]] = yaml.safe_load(line["value"])
    return Question(file.stem, about[1], text[end:], parameters)
