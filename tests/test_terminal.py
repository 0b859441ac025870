"""What commands print: no text of a row commands a terminal, data are exact in a pipe, and a command ends in a line."""

import csv
import io
import json
import math
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from oresight.flows.cli import app
from oresight.flows.commands import output
from oresight.flows.commands.output import rounded, shortened
from oresight.tasks.config import Curate
from oresight.tasks.database import reading, turn
from oresight.tasks.forget import forget
from oresight.tasks.ingest import ingest
from oresight.tasks.pages.texts import visible
from oresight.tasks.runs.record import Run
from tests.support.processes import ROOT
from tests.test_mistakes import command

HOSTILE = {
    "a title": ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
    "OSC 8, a link": ("\x1b]8;;https://evil.example\x1b\\", r"\x1b]8;;https://evil.example\x1b" + "\\"),
    "OSC 52, the clipboard": ("\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07"),
    "C1": ("\x9b31m", r"\x9b31m"),
    "a C1 string": ("\x9dx\x9c", r"\x9dx\x9c"),
    "bidi": ("\u202egnp.exe\u202c", r"\u202egnp.exe\u202c"),
    "isolates": ("\u2066x\u2069", r"\u2066x\u2069"),
    "bell and backspaces": ("\x07ok\x08\x08no", r"\x07ok\x08\x08no"),
    "carriage return": ("good\rbad", r"good\x0dbad"),
    "no width": ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
    "tags": ("\U000e0041", r"\U000e0041"),
    "delete": ("a\x7f", r"a\x7f"),
}
ALL = "".join(text for text, _ in HOSTILE.values())
FORMULAS = ("=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_commands_a_terminal_is_written_as_its_code(name: str) -> None:
    text, shown = HOSTILE[name]
    assert visible(text) == shown.replace("\\x0d", "\\r")


@pytest.mark.parametrize("text", ["plain", "zwei\nZeilen\tweit", "漢字 ✓", "می‌خواهم", "👩‍👩‍👧", "naïve “quoted”"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert visible(text) == text


def test_numbers_are_rounded_and_texts_are_shortened() -> None:
    numbers = {0: "0", 1234.5: "1,230", -0.00012345: "-0.000123", 99.96: "100", 5.0: "5", math.nan: "-", None: "-"}
    assert {number: rounded(number) for number in numbers} == numbers
    assert shortened("a  b\n c") == "a b c" and shortened("a\n b", full=True) == "a\n b"
    assert shortened("x" * 250) == f"{'x' * 240} ... (10 more characters; --full shows them)"


def test_json_has_numbers_and_timestamps_that_any_reader_takes(capsys: pytest.CaptureFixture[str]) -> None:
    when = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
    values = {"nan": math.nan, "half": Decimal("0.5"), "many": Decimal(10**30), "when": when, "text": ALL, 1: (2, None)}
    output.print_json(values)
    printed = capsys.readouterr().out
    assert visible(printed) == printed, "a terminal may show it"
    expected = {"nan": None, "half": 0.5, "many": 10**30, "when": "2026-05-01T12:30:00+00:00", "text": ALL}
    assert json.loads(printed) == expected | {"1": [2, None]}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows whose texts command a terminal, and rows that are formulas. Nothing is scored."""
    folder = tmp_path_factory.mktemp("terminal")
    texts = [ALL, *FORMULAS]
    rows = [json.dumps({"instruction": f"Say {n}.", "input": "", "output": f"x{text}"}) for n, text in enumerate(texts)]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    for_both = {"path": str(folder / "rows.jsonl")}
    config = Curate.model_validate(
        {
            "database": str(folder / "o.duckdb"),
            "dataset": for_both | {"name": "said"},
            "reference": for_both | {"name": "trusted"},
        }
    )
    with turn(config.database):
        ingest(Run(config, "test"), "dataset")
        ingest(Run(config, "test"), "reference")
    return Path(config.database)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries run in this process, so that what they print can be read here (else: tests/test_separate.py)."""
    monkeypatch.setattr("oresight.flows.commands.questions.run_separately", lambda work: work())


def id_of(database: Path, part: str) -> str:
    with reading(str(database)) as connection:
        found = connection.execute("SELECT sample_id FROM rows WHERE contains(answer, ?)", [part]).fetchone()
    assert found
    return str(found[0])


@pytest.mark.parametrize("format", ["table", "csv"])
def test_a_terminal_never_gets_what_commands_it(
    database: Path, format: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from oresight.flows.commands.questions import Format, sql

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((100, 20)))
    sql("SELECT prompt, answer FROM rows", str(database), Format(format))
    printed = capsys.readouterr().out
    assert visible(printed) == printed and "owned" in printed and r"\x9b31m" in printed


def test_csv_in_a_pipe_is_exact_and_safe_makes_no_formula(database: Path) -> None:
    def cells(*options: str) -> list[str]:
        query = "SELECT substr(answer, 2) AS \"=text\" FROM rows WHERE dataset = 'said' ORDER BY prompt"
        text = command("sql", query, "--database", str(database), "--format", "csv", *options)
        return [line for (line,) in csv.reader(io.StringIO(text, newline=""))]

    assert cells() == ["=text", ALL, *FORMULAS]
    assert cells("--safe") == ["'=text", ALL, *(f"'{text}" for text in FORMULAS)]
    numbers = ("sql", "SELECT -1 AS n, '-1' AS t", "--format", "csv", "--safe", "--database", str(database))
    assert command(*numbers) == "n,t\n-1,'-1\n"
    with pytest.raises(ValueError, match="give --format csv"):
        command("sql", "SELECT 1", "--safe", "--database", str(database))


def test_explain_says_where_a_row_is_and_that_it_was_never_scored(database: Path) -> None:
    text = command("explain", id_of(database, "owned")[:12].upper(), "--database", str(database))
    assert visible(text) == text
    assert "decision  none: no version of a split has decided about this row" in text
    assert "said (dataset): " in text and "trusted (reference): " in text
    assert "none: this row was never scored; `oresight score CONFIG.yaml` scores it" in text


def test_a_row_that_was_forgotten_is_explained_so_and_not_forgotten_again(database: Path, tmp_path: Path) -> None:
    copy = str(tmp_path / "o.duckdb")
    command("backup", copy, "--database", str(database))
    row = id_of(database, "@SUM")
    forget(copy, row, "asked for", "Ada")
    text = command("explain", row[:12], "--database", copy)
    assert (
        "forgotten  by Ada at " in text
        and "asked for; its text is deleted" in text
        and "@SUM" not in text
        and "decision" not in text
    )
    document = json.loads(command("explain", row, "--json", "--database", copy))
    assert document["forgotten"]["who"] == "Ada" and document["rows"] == document["scores"] == []
    again = command("forget", row[:12], "--reason", "once more", "--database", copy)
    assert again.startswith(f"{row}: was forgotten already, by Ada at ")


@pytest.mark.parametrize(
    "statement",
    [
        "CALL enable_logging()",
        "CALL disable_logging()",
        "FROM enable_logging(storage_path = '/tmp/none')",
        'SELECT 1; FROM "enable_logging" ()',
        "FROM query('FROM Enable_Profiling()')",
        "CALL pragma_version()",
        "PRAGMA enable_profiling",
        "ATTACH ':memory:' AS other",
        "DETACH memory",
        "INSTALL httpfs",
        "LOAD json",
        "COPY (SELECT 1) TO 'x.csv'",
        "COPY FROM DATABASE oresight TO memory",
        "EXPORT DATABASE 'x'",
        "CHECKPOINT",
        "VACUUM",
        "BEGIN",
        "UPDATE EXTENSIONS",
    ],
)
def test_a_statement_that_is_no_query_is_refused(database: Path, statement: str) -> None:
    with pytest.raises(ValueError, match=r"sql: `.*` is refused; this command only runs queries"):
        command("sql", statement, "--database", str(database))


@pytest.mark.parametrize("statement", ["SET threads = 1", "IMPORT DATABASE 'x'", "CREATE TABLE t (a INT)", "LOCK"])
def test_a_statement_that_would_change_something_is_refused(database: Path, statement: str) -> None:
    with pytest.raises(ValueError, match="Error: "):
        command("sql", statement, "--database", str(database))


@pytest.mark.parametrize(
    "query", ["PRAGMA version", "EXPLAIN SELECT 1", "SHOW TABLES", "SET VARIABLE n = 3; SELECT getvariable('n')",
              "CREATE TEMP TABLE t AS SELECT 3 AS a; FROM t", "PIVOT (SELECT 1 AS a, 3 AS b) ON a USING sum(b)"]
)  # fmt: skip
def test_queries_of_all_kinds_are_answered(database: Path, query: str) -> None:
    assert command("sql", query, "--database", str(database))


def test_a_backup_goes_to_another_file(database: Path, tmp_path: Path) -> None:
    pipe, link, disk = (tmp_path / name for name in ("pipe", "link", "disk"))
    os.mkfifo(pipe)
    link.symlink_to(disk)
    cases = {tmp_path: "is a folder", database: "is the database itself", pipe: "is no plain file"}
    for file, message in cases.items():
        with pytest.raises(ValueError, match=message):
            command("backup", str(file), "--database", str(database))
    assert pipe.is_fifo()
    command("backup", str(link), "--database", str(database))
    assert link.is_symlink() and disk.is_file()


@pytest.fixture(scope="module")
def ended(database: Path) -> dict[str, dict[str, Any]]:
    """How commands ended, in the locale C: into a pipe, into one that nobody reads, and after Ctrl-C."""
    row, text = id_of(database, "owned"), "SELECT '✓é' AS a"
    endless = "SELECT count(*) FROM range(10000000) AS a, range(10000000) AS b WHERE a.range * b.range % 7 = 3"
    cases = {
        "explain": ("read", ["explain", row]),
        "table": ("read", ["sql", text]),
        "json": ("read", ["sql", text, "--format", "json"]),
        "csv": ("read", ["sql", text, "--format", "csv"]),
        "short table": ("closed", ["sql", "SELECT 1"]),
        "long table": ("closed", ["sql", "FROM range(200000)"]),
        "short csv": ("closed", ["sql", "SELECT 1", "--format", "csv"]),
        "long csv": ("closed", ["sql", "FROM range(200000)", "--format", "csv"]),
        "long json": ("closed", ["sql", "FROM range(200000)", "--format", "json"]),
        "facts": ("closed", ["explain", row, "--full"]),
        "endless": ("interrupted", ["sql", endless]),
    }
    arguments = {name: (how, [*command, "--database", str(database)]) for name, (how, command) in cases.items()}
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.endings"], input=json.dumps(arguments), env=os.environ | locale,
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    result: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("name", ["explain", "table", "json", "csv"])
def test_a_locale_without_our_characters_ends_no_command(ended: dict[str, dict[str, Any]], name: str) -> None:
    assert (ended[name]["code"], ended[name]["err"]) == (0, "")
    if name in ("json", "csv"):
        assert ended[name]["out"] == {"json": '[{"a": "✓é"}]\n', "csv": "a\n✓é\n"}[name]


@pytest.mark.parametrize("name", ["short table", "long table", "short csv", "long csv", "long json", "facts"])
def test_a_closed_pipe_ends_a_command_quietly(ended: dict[str, dict[str, Any]], name: str) -> None:
    assert (ended[name]["code"], ended[name]["err"]) == (0, "")


def test_ctrl_c_ends_a_command_in_one_line(ended: dict[str, dict[str, Any]]) -> None:
    assert ended["endless"]["code"] == 130
    assert ended["endless"]["err"].strip() == "oresight: interrupted; what is stored stays"


def test_an_unknown_option_is_still_a_sentence() -> None:
    done: Any = CliRunner().invoke(app, ["curate", "--jason"])
    assert done.exit_code == 2 and "--jason" in done.output
