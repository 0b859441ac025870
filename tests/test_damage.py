"""Damaged and replaced databases: a backup is whole or the old one stays, and no verdict is written to a lost file."""

import os
import re
import shutil
from pathlib import Path

import pytest

from oresight.tasks import connection as connection_module
from oresight.tasks.connection import DatabaseDamaged
from oresight.tasks.database import copy, reading, rewrite, turn, writing
from oresight.tasks.publishing.gate import record_answer
from oresight.tasks.review import decide
from tests.support.processes import oresight, start_process
from tests.support.runs import config_of
from tests.support.store import Store, new_store


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a few blocks of rows."""
    store = new_store(str(tmp_path_factory.mktemp("filled") / "o.duckdb"))
    store.rows("raw", *({"answer": os.urandom(2000).hex()} for _ in range(500)))
    return Path(store.database)


def placed(filled: Path, folder: Path) -> str:
    return str(shutil.copy(filled, folder / "o.duckdb"))


def damage(database: str, how: str) -> None:
    """Destroy the rows, not the catalog: such a file opens."""
    with Path(database).open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if how == "cut":
            file.truncate(size - (300 << 10))
        else:
            file.seek(size // 2)
            file.write(os.urandom(64) if how == "bytes" else bytes(300 << 10))


@pytest.mark.parametrize("how", ["bytes", "zeros", "cut"])
def test_a_backup_of_a_damaged_database_leaves_the_old_backup_and_names_the_cure(
    filled: Path, tmp_path: Path, how: str
) -> None:
    database, backup = placed(filled, tmp_path), tmp_path / "backup.duckdb"
    assert oresight("backup", str(backup), "--database", database).returncode == 0
    good = backup.read_bytes()
    damage(database, how)
    (tmp_path / "o.duckdb.before-0007").write_bytes(b"")
    for command in (
        ("backup", str(backup), "--database", database),
        ("sql", "--database", database, "SELECT count(DISTINCT hash(r)) FROM store.rows AS r"),
    ):
        done = oresight(*command)
        assert done.returncode == 3, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("oresight: ")]
        assert line.startswith(f"oresight: {database}: the file is damaged (")
        assert f"mv {database} {database}.broken; rm -f {database}.wal; cp BACKUP" in line
        assert f"{database}.before-0007" in line and "run again" not in line
    assert backup.read_bytes() == good
    assert [file.name for file in tmp_path.iterdir() if "unfinished" in file.name] == []
    shutil.move(database, f"{database}.broken")
    Path(f"{database}.wal").unlink(missing_ok=True)
    shutil.copy(backup, database)
    with reading(database) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT answer) FROM store.rows").fetchone() == (500, 500)


def test_a_backup_is_complete_and_as_private_as_the_database(filled: Path, tmp_path: Path) -> None:
    database, backup = placed(filled, tmp_path), tmp_path / "backup.duckdb"
    Path(database).chmod(0o600)
    with turn(database):
        copy(database, str(backup))
    assert backup.stat().st_mode & 0o777 == 0o600
    questions = (
        "SELECT table_name, estimated_size FROM duckdb_tables() WHERE database_name = current_database() ORDER BY ALL",
        "SELECT count(*) FROM duckdb_views() WHERE NOT internal",
        "FROM rows ORDER BY ALL",
    )
    answers = []
    for file in (database, str(backup)):
        with reading(file) as connection:
            answers.append([connection.execute(question).fetchall() for question in questions])
    assert answers[0] == answers[1]


def test_a_backup_that_cannot_be_finished_leaves_the_old_one(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, backup = placed(filled, tmp_path), tmp_path / "backup.duckdb"
    backup.write_text("the old one")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("No space left on device")))
    with pytest.raises(OSError, match="No space"):
        copy(database, str(backup))
    assert backup.read_text() == "the old one" and [f.name for f in tmp_path.glob("*unfinished*")] == []


def _decide(database: str) -> None:
    config = config_of(database, "raw")
    decide(config, f"{1:032x}", "drop", who="Ada")
    record_answer(config, 1, "approved", "Ada")


def _rewrite(database: str, pause: str) -> None:
    """Rewrite the database, with a pause before the new file replaces the old one."""
    replace = Path.replace

    def replace_late(path: Path, target: str) -> Path:
        Path(pause).touch()
        while Path(pause).exists():
            pass
        return replace(path, target)

    Path.replace = replace_late  # type: ignore[method-assign,assignment]
    rewrite(database)


def test_a_verdict_and_an_approval_given_while_forget_rewrites_the_file_are_kept(filled: Path, tmp_path: Path) -> None:
    database, pause = placed(filled, tmp_path), tmp_path / "pause"
    rewriting = start_process(_rewrite, database, str(pause))
    while not pause.exists():
        assert rewriting.process.is_alive(), rewriting.output()
    deciding = start_process(_decide, database)
    deciding.process.join(3)
    assert deciding.process.is_alive(), "the verdict waits"
    pause.unlink()
    assert rewriting.wait(60).returncode == 0 and deciding.wait(60).returncode == 0, deciding.output()
    with reading(database) as connection:
        assert connection.execute("SELECT verdict, who FROM verdicts").fetchall() == [("drop", "Ada")]
        assert connection.execute("SELECT decision FROM store.approvals").fetchall() == [("approved",)]


def test_a_file_that_is_replaced_while_it_is_opened_is_opened_again(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the opening and the lock, the file can be replaced by another process."""
    database, other = placed(filled, tmp_path), tmp_path / "other.duckdb"
    Store(str(shutil.copy(filled, other))).execute("DELETE FROM store.rows")
    real, calls = connection_module._file_id, list[str]()

    def replaced_before_the_second_look(path: str) -> tuple[int, int] | None:
        calls.append(path)
        if len(calls) == 2:
            other.replace(database)
        return real(path)

    monkeypatch.setattr(connection_module, "_file_id", replaced_before_the_second_look)
    with writing(database) as connection:
        assert connection.execute("SELECT count(*) FROM store.rows").fetchone() == (0,)


def test_damage_of_the_header_is_told_alike_and_another_file_is_no_database(filled: Path, tmp_path: Path) -> None:
    database = placed(filled, tmp_path)
    with Path(database).open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))
    with pytest.raises(DatabaseDamaged, match="the file is damaged"), reading(database):
        pass
    Path(database).write_text("no database" * 1000)
    with pytest.raises(ValueError, match=re.escape("cannot be opened as a DuckDB file")), reading(database):
        pass
