"""One DuckDB file: open it, migrate it, run a named .sql file. The only `import duckdb`.

DuckDB lets one process in while that process writes, and then not even readers. So nothing here stays open while a
model computes: a step opens the file, reads or commits, and closes it again, and `oresight sql` gets in between.
That a whole run has the database to itself is a second, separate lock on `FILE.lock`, which the operating system
drops with the process, however it ended.
"""

import json
import logging
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock, Timeout

CATALOG = "oresight"
ROW_GROUP = 8192
"""Rows that DuckDB keeps together. A commit makes it merge the last row group with the one before: with its own 122,880
a commit of a few vectors needs half a GB every now and then (tests/bench/bench_scale.py); with a few thousand rows
blocks are left half empty."""
STORAGE = "v1.2.0"
"""The DuckDB from which on the file can be read: the first that knows Zstandard."""
SQL = Path(__file__).parent.parent / "sql"
FIRST = ["0001_raw"]
A_DAY = 86_400.0
LOG = logging.getLogger("oresight")
OPEN = threading.RLock()
"""Held while this process has a database open: DuckDB lets it in once, either to read or to write."""
Connection = duckdb.DuckDBPyConnection
DatabaseError = duckdb.Error


class DatabaseBusy(RuntimeError):
    """Another process holds the database; the message names it."""


@cache
def query(name: str) -> str:
    """The text of sql/queries/NAME.sql."""
    return (SQL / "queries" / f"{name}.sql").read_text(encoding="utf-8")


@cache
def parameters_of(name: str) -> frozenset[str]:
    """The $parameters that sql/queries/NAME.sql takes."""
    text = re.sub(r"--[^\n]*|'(?:[^']|'')*'", "", query(name))
    return frozenset(re.findall(r"\$([a-z_][a-z_0-9]*)", text))


def execute(connection: Connection, name: str, values: Mapping[str, Any] | None = None, table: str = "") -> Connection:
    """Run sql/queries/NAME.sql. Of the values it gets those that its $parameters name.

    table: stands for the word TABLE, in the few queries that are the same for several tables of ours.
    """
    values, text = values or {}, query(name)
    return connection.execute(
        text.replace("TABLE", table) if table else text, {key: values[key] for key in parameters_of(name)}
    )


def records(connection: Connection, name: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The answer of sql/queries/NAME.sql, a dict a row."""
    rows: list[dict[str, Any]] = execute(connection, name, values).to_arrow_table().to_pylist()
    return rows


def newest_version(database: str, split: str) -> int:
    """The newest version of a split. Raises ValueError if there is none."""
    with reading(database) as connection:
        (version,) = execute(connection, "newest_version", {"split": split}).fetchone() or (None,)
    if version is None:
        raise ValueError(f"{database}: has no split {split!r}; run `oresight split CONFIG.yaml` first")
    return int(version)


def let(connection: Connection, **variables: str | int | float | None) -> None:
    """Set variables that SQL reads with getvariable."""
    for name, value in variables.items():
        connection.execute(f"SET VARIABLE {name} = $value", {"value": value})


@contextmanager
def turn(database: str, wait_s: float = A_DAY) -> Iterator[None]:
    """Have the database to ourselves for a whole run: runs that meet take turns, and those that wait say for whom.

    After wait_s raises DatabaseBusy, naming the holder. A database of an older version is copied before it is changed.
    """
    Path(database).parent.mkdir(parents=True, exist_ok=True)
    note, lock = Path(f"{database}.holder"), FileLock(f"{database}.lock")
    try:
        with lock.acquire(timeout=0):
            pass
    except Timeout:
        LOG.warning("waiting for %s, which is writing %s", _holder(note), database)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise DatabaseBusy(f"{database}: {_holder(note)} is writing it; run again when that is done") from None
    try:
        note.write_text(json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv)}), encoding="utf-8")
        with writing(database) as connection:
            lacking = _lacking(connection)
        if lacking[:1] not in ([], FIRST):
            before = f"{database}.before-{lacking[0][:4]}"
            LOG.warning("%s is brought to this version; as it was it stays in %s", database, before)
            copy(database, before)
        with writing(database) as connection:
            _migrate(connection, lacking)
        yield
        note.unlink(missing_ok=True)
    finally:
        lock.release()


def bring_up_to_date(database: str) -> None:
    """Make views and tables those of this version, for a command that has no turn of its own. Whoever has the turn now
    has done it already.
    """
    with suppress(DatabaseBusy), turn(database, wait_s=1):
        pass


def is_select(connection: Connection, text: str) -> bool:
    """Whether a text is one SELECT and nothing else. Raises DatabaseError if it is not SQL."""
    statements = connection.extract_statements(text)
    return len(statements) == 1 and statements[0].type == duckdb.StatementType.SELECT


@contextmanager
def writing(database: str, *, guarded: bool = False) -> Iterator[Connection]:
    """A connection that may write, for a step that has its `turn`. Wrap what belongs together in `transaction`.

    guarded, it reaches no file but the database, so that it may run what users have written.
    """
    with _open(database, read_only=False) as connection:
        if guarded:
            connection.execute("SET enable_external_access = false")
        yield connection


@contextmanager
def reading(database: str, *, guarded: bool = False) -> Iterator[Connection]:
    """A read-only connection; guarded, it can reach no file and no setting, so that it may run what a user typed.

    Raises ValueError if there is no such database.
    """
    if not Path(database).is_file():
        raise ValueError(f"{database}: no such database; run `oresight curate CONFIG.yaml` first, or give --database")
    with _open(database, read_only=True) as connection:
        if guarded:
            connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        yield connection


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All of it or none of it."""
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def _open(database: str, *, read_only: bool, wait_s: float = 60) -> Iterator[Connection]:
    """Connect, waiting for whoever has the file open just now. Raises DatabaseBusy after wait_s."""
    with OPEN:
        connection = _connected(database, read_only=read_only, wait_s=wait_s)
        try:
            connection.execute("SET enable_progress_bar = false")
            yield connection
        finally:
            connection.close()


def _connected(database: str, *, read_only: bool, wait_s: float) -> Connection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": False,
        "memory_limit": "2GB",
        "temp_directory": f"{database}.tmp",
        "disabled_compression_methods": "dict_fsst",  # texts in Zstandard instead, which takes a third less room ...
        "zstd_min_string_length": 64,  # ... but not what is joined by
        "max_temp_directory_size": "500GB",
    }
    place = database.replace("'", "''")
    how = "READ_ONLY" if read_only else f"READ_WRITE, STORAGE_VERSION '{STORAGE}'"
    deadline, told = time.monotonic() + wait_s, False
    while True:
        connection = duckdb.connect(config=settings)
        try:
            connection.execute(f"ATTACH '{place}' AS {CATALOG} ({how}, ROW_GROUP_SIZE {ROW_GROUP})")
            connection.execute(f"USE {CATALOG}")
            return connection
        except duckdb.IOException as error:
            connection.close()
            holder = re.search(r"Conflicting lock is held in (.*?) \(PID (\d+)\)", str(error))
            if holder is None:
                raise ValueError(
                    f"{database}: cannot be opened as a DuckDB file ({str(error).splitlines()[0]})"
                ) from error
            if int(holder[2]) == os.getpid():
                raise
            if time.monotonic() > deadline:
                raise DatabaseBusy(
                    f"{database}: process {holder[2]} ({holder[1]}) has it open; end it, then run again"
                ) from None
            if not told and time.monotonic() > deadline - wait_s + 2:
                told = True
                LOG.warning("waiting for process %s (%s), which has %s open", holder[2], holder[1], database)
            time.sleep(0.05)


def copy(database: str, to: str) -> None:
    """Copy a database that nobody writes to a file, whole or not at all; what stood there is replaced."""
    unfinished = _unfinished(to)
    with reading(database) as connection:  # as long as it is open for reading, no process writes it
        shutil.copyfile(database, unfinished)
        if (log := Path(f"{database}.wal")).exists():
            shutil.copyfile(log, f"{unfinished}.wal")
    with writing(str(unfinished)) as connection:
        connection.execute("CHECKPOINT")
    unfinished.replace(to)


def rewrite(database: str) -> None:
    """Write a database to a new file, which takes the old one's place: only so what was deleted leaves the disk.

    A link stays one, and the new file is as open to others as the old one: `replace` alone would see to neither.
    """
    place = Path(database).resolve()
    with writing(database) as connection:
        shutil.rmtree(f"{database}.tmp", ignore_errors=True)  # what a killed process had no memory for
        connection.execute("CHECKPOINT")  # nothing stays beside the file that belongs to the old one
    unfinished = _unfinished(str(place))
    quoted = str(place).replace("'", "''")
    with writing(str(unfinished)) as connection:
        shutil.copymode(place, unfinished)
        with suppress(PermissionError):
            os.chown(unfinished, place.stat().st_uid, place.stat().st_gid)
        connection.execute("SET preserve_insertion_order = true")  # the newest verdict of a row is its last one
        connection.execute(f"ATTACH '{quoted}' AS old (READ_ONLY)")
        connection.execute(f"COPY FROM DATABASE old TO {CATALOG}")
        connection.execute("DETACH old")
        connection.execute("CHECKPOINT")
    unfinished.replace(place)


def _unfinished(of: str) -> Path:
    """Where a new file grows until it takes its place; what a killed process left there, and its log, is gone."""
    place = Path(f"{of}.unfinished")
    for left in (place, Path(f"{place}.wal")):
        left.unlink(missing_ok=True)
    return place


def _lacking(connection: Connection) -> list[str]:
    """The migrations that the database has not seen, in their order. Raises ValueError if it has seen newer ones."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS store")
    connection.execute("CREATE TABLE IF NOT EXISTS store.migrations (migration VARCHAR, applied_at TIMESTAMPTZ)")
    applied = {name for (name,) in connection.execute("SELECT migration FROM store.migrations").fetchall()}
    known = {file.stem for file in (SQL / "migrations").glob("*.sql")}
    if newer := sorted(applied - known):
        raise ValueError(
            f"the database was made by a newer oresight (migration {newer[-1]}); upgrade: pip install -U oresight"
        )
    return sorted(known - applied)


def _migrate(connection: Connection, lacking: list[str]) -> None:
    """Bring the database to this version: each migration commits with its own record, then the views are made anew."""
    for name in lacking:
        with transaction(connection):
            connection.execute((SQL / "migrations" / f"{name}.sql").read_text(encoding="utf-8"))
            connection.execute("INSERT INTO store.migrations VALUES (?, now())", [name])
    views = sorted((SQL / "views").glob("*.sql"))
    text = "\n".join(file.read_text(encoding="utf-8") for file in views)
    with transaction(connection):
        connection.execute(text)


def _holder(note: Path) -> str:
    """Who has the turn, in words."""
    try:
        holder = json.loads(note.read_text(encoding="utf-8"))
        return f"process {holder['pid']} ({holder['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"
