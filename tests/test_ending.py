"""Every error of every library at the edges ends a command with one sentence and exit code 2 or 3."""

import errno
import os
import resource
import signal
import sqlite3
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import duckdb
import httpx
import jinja2
import PIL
import pyarrow as pa
import pytest
import safetensors
import torch
import yaml
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image
from prefect.exceptions import PrefectException

from oresight.flows.cli import app
from oresight.flows.commands.ending import exit_code_of
from oresight.tasks.config import Curate
from oresight.tasks.configfile import read_config
from oresight.tasks.database import reading
from tests.support.kills import DATA, write_config
from tests.support.processes import command, start_process

LIBRARIES: list[type[Exception]] = [
    *(error for error in vars(duckdb).values() if isinstance(error, type) and issubclass(error, duckdb.Error)),
    *(getattr(pa, name) for name in ("ArrowInvalid", "ArrowKeyError", "ArrowTypeError", "ArrowNotImplementedError")),
    PIL.UnidentifiedImageError,
    Image.DecompressionBombError,
    PrefectException,
    safetensors.SafetensorError,
    LocalEntryNotFoundError,
    BrokenProcessPool,
    yaml.YAMLError,
    jinja2.TemplateError,
    httpx.ConnectError,
    sqlite3.OperationalError,
    torch.OutOfMemoryError,
    struct.error,
    zlib.error,
    *(Exception, ValueError, KeyError, TypeError, RuntimeError, RecursionError, AssertionError, EOFError, LookupError),
    *(OSError, TimeoutError, ZeroDivisionError, OverflowError, NotImplementedError, StopIteration, MemoryError),
]
PATHS = ["EACCES", "EPERM", "ENAMETOOLONG", "ELOOP", "EISDIR", "ENOTDIR", "EEXIST", "ENXIO", "ENOENT"]
OTHERS = [
    "ENOSPC",
    "EDQUOT",
    "EMFILE",
    "ENFILE",
    "EROFS",
    "EIO",
    "EBUSY",
    "ESTALE",
    "EINVAL",
    "EFBIG",
    "ENODEV",
    "ENOMEM",
    "EAGAIN",
    "ECONNREFUSED",
]


def ended(capsys: pytest.CaptureFixture[str], work: Callable[[], object]) -> tuple[int, str]:
    """The exit code of a piece of work, and its line."""
    code = exit_code_of(work)
    line = capsys.readouterr().err
    assert line.startswith("oresight: ") and line.count("\n") == 1 and len(line) > 30, line
    return code, line


def raising(error: BaseException) -> Callable[[], None]:
    """Raise an error as a library does: from code that is not ours."""
    space = {"__name__": "library", "error": error}
    exec("def work():\n    raise error", space)
    return space["work"]  # type: ignore[return-value]


@pytest.mark.parametrize("kind", LIBRARIES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_an_error_of_a_library_is_a_line_that_names_it(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = ended(capsys, raising(kind("something\n  of its own")))
    assert code == 3 and (kind.__name__ in line or "the memory is full" in line)
    assert "something" in line


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("file", ["/some/file", b"/some/f\xffile"])
def test_an_error_about_a_path_names_it_and_is_the_users(
    name: str, file: str | bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    number = getattr(errno, name)
    code, line = ended(capsys, raising(OSError(number, os.strerror(number), file)))
    assert code == 2 and line.startswith("oresight: /some/f") and os.strerror(number) in line and "path" in line


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("file", ["/some/file", None, 7])
def test_another_error_of_the_system_is_a_line(
    name: str, file: str | int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    number = getattr(errno, name)
    code, line = ended(capsys, raising(OSError(number, os.strerror(number), file)))
    words = "the disk is full" if name in ("ENOSPC", "EDQUOT") else os.strerror(number).lower()
    assert code in (2, 3) and words in line.lower()


def test_a_link_to_itself_is_the_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link").symlink_to("link")
    for work in ((tmp_path / "link").resolve, (tmp_path / "link").read_bytes):
        code, line = ended(capsys, work)
        assert code == 2 and str(tmp_path / "link") in line and "name another path" in line


def test_a_library_at_the_end_of_its_file_is_no_person_who_gives_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["oresight", "sql", "SELECT 1"])
    monkeypatch.setattr("oresight.flows.commands.questions.run_separately", lambda _: raising(EOFError("cut"))())
    code, line = ended(capsys, app)
    assert code == 3 and "a file ends before its time (cut)" in line


def few_files(soft: int, hard: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    command(["sql", "--list"])


def test_too_few_files_are_a_sentence_and_a_low_limit_is_raised() -> None:
    assert start_process(few_files, 20, 4096).wait(60).returncode == 0
    done = start_process(few_files, 20, 20).wait(60)
    assert (done.returncode, done.stderr) == (
        3,
        "oresight: this process may open 20 files only, and needs 256; raise it: ulimit -n 1024\n",
    )


def test_our_own_sentences_are_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys, lambda: read_config(Path("none.yaml"), []))[0] == 2
    code, line = ended(capsys, lambda: Curate.model_validate({}))
    assert code == 3 and "ValidationError" in line, "no sentence of ours"


def test_a_line_cannot_command_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _, line = ended(capsys, raising(RuntimeError("a\x1b[2J\u202eb\udcff")))
    assert "\x1b" not in line and "\u202e" not in line


def test_ctrl_c_in_a_terminal_ends_a_run_within_a_query_and_is_recorded(tmp_path: Path, stories: Path) -> None:
    """A terminal sends it to all processes of the command. DuckDB alone would not see it during this query."""
    write_config(
        tmp_path,
        dataset={"name": "dolly", "path": str(DATA / "dolly.jsonl")},
        reference={"name": "trusted", "path": str(DATA / "trusted.jsonl")},
        model={"name": str(stories)},
        flagging={"checks_folder": str(tmp_path)},
    )
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "endless.sql").write_text(
        "-- info: it has no end\nSELECT sample_id, dataset, 'x' AS reason FROM rows, range(10000000) AS a,"
        " range(10000000) AS b WHERE dataset = getvariable('dataset') AND a.range * b.range % 7 = 8"
    )
    command = [sys.executable, "-m", "oresight.flows.cli", "curate", str(tmp_path / "config.yaml")]
    run = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores Ctrl-C
    )  # fmt: skip
    assert run.stderr is not None
    for line in run.stderr:
        if line.startswith("trusted: 60 rows"):
            break
    time.sleep(5)
    os.killpg(run.pid, signal.SIGINT)
    said = run.communicate(timeout=100)[1]
    assert (run.returncode, said.splitlines()[-1]) == (130, "oresight: interrupted; what is stored stays")
    with reading(str(tmp_path / "o.duckdb")) as connection:
        assert connection.execute("SELECT state FROM runs").fetchall() == [("interrupted",)]
