"""One DuckDB file: open it, migrate it, run a named .sql file. The only `import duckdb`.

While a process writes a DuckDB file, no other process can open it, not even to read. So no connection stays open while
a model computes: a step opens the file, reads or commits, and closes it again, and `oresight sql` gets in between.
A run reserves the database with a separate lock on `FILE.lock`, which the operating system releases with the process,
however it ends.
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
"""Rows per row group. A commit can merge the last two row groups: with DuckDB's default of 122,880 rows, a commit of a
few vectors sometimes needs half a GB (tests/bench/bench_scale.py); with a few thousand, blocks stay half empty."""
STORAGE = "v1.2.0"
"""The oldest DuckDB that can read the file: the first with Zstandard."""
SQL = Path(__file__).parent.parent / "sql"
FIRST = ["0001_raw"]
A_DAY = 86_400.0
LOG = logging.getLogger("oresight")
OPEN = threading.RLock()
"""Held while this process has a database open: DuckDB opens a file once per process, to read or to write."""
Connection = duckdb.DuckDBPyConnection
DatabaseError = duckdb.Error


class DatabaseBusy(RuntimeError):
    """Another process holds the database. The message names it."""


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
    """Run sql/queries/NAME.sql with those of the values that its $parameters name.

    table: replaces the word TABLE, in the few queries that several tables share.
    """
    values, text = values or {}, query(name)
    return connection.execute(
        text.replace("TABLE", table) if table else text, {key: values[key] for key in parameters_of(name)}
    )


def records(connection: Connection, name: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The result of sql/queries/NAME.sql, one dict per row."""
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
    """Reserve the database for a run, and migrate it. Concurrent runs take turns, and a waiting run logs for whom.

    Raises DatabaseBusy with the holder after wait_s. A database of an older version is copied before it is migrated.
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
        raise DatabaseBusy(f"{database}: {_holder(note)} is writing to it; run again when it has ended") from None
    try:
        note.write_text(json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv)}), encoding="utf-8")
        with writing(database) as connection:
            missing = _missing_migrations(connection)
        if missing[:1] not in ([], FIRST):
            backup = f"{database}.before-{missing[0][:4]}"
            LOG.warning("%s is migrated to this version; a copy of the old one is %s", database, backup)
            copy(database, backup)
        with writing(database) as connection:
            _migrate(connection, missing)
        yield
        note.unlink(missing_ok=True)
    finally:
        lock.release()


def bring_up_to_date(database: str) -> None:
    """Migrate the database, for a command that takes no turn. A run that has the turn has already migrated it."""
    with suppress(DatabaseBusy), turn(database, wait_s=1):
        pass


def is_select(connection: Connection, text: str) -> bool:
    """Whether a text is one SELECT and nothing else. Raises DatabaseError if it is not SQL."""
    statements = connection.extract_statements(text)
    return len(statements) == 1 and statements[0].type == duckdb.StatementType.SELECT


@contextmanager
def writing(database: str, *, guarded: bool = False) -> Iterator[Connection]:
    """A connection that can write, for a step of a run that has its `turn`. Use `transaction` for related changes.

    guarded: the connection reaches no other file, so that SQL from users is safe to run.
    """
    with _open(database, read_only=False) as connection:
        if guarded:
            connection.execute("SET enable_external_access = false")
        yield connection


@contextmanager
def reading(database: str, *, guarded: bool = False) -> Iterator[Connection]:
    """A read-only connection. Raises ValueError if there is no such database.

    guarded: the connection reaches no other file and changes no setting, so that SQL from users is safe to run.
    """
    if not Path(database).is_file():
        raise ValueError(f"{database}: no such database; run `oresight curate CONFIG.yaml` first, or give --database")
    with _open(database, read_only=True) as connection:
        if guarded:
            connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        yield connection


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Commit all changes together, or none of them."""
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def _open(database: str, *, read_only: bool, wait_s: float = 60) -> Iterator[Connection]:
    """Connect, after waiting for another process that has the file open. Raises DatabaseBusy after wait_s."""
    with OPEN:
        connection = _connect(database, read_only=read_only, wait_s=wait_s)
        try:
            connection.execute("SET enable_progress_bar = false")
            yield connection
        finally:
            connection.close()


def _connect(database: str, *, read_only: bool, wait_s: float) -> Connection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": False,
        "memory_limit": "2GB",
        "temp_directory": f"{database}.tmp",
        "disabled_compression_methods": "dict_fsst",  # Zstandard stores texts in a third less space ...
        "zstd_min_string_length": 64,  # ... but not the short texts that tables are joined by
        "max_temp_directory_size": "500GB",
    }
    path = database.replace("'", "''")
    mode = "READ_ONLY" if read_only else f"READ_WRITE, STORAGE_VERSION '{STORAGE}'"
    deadline, has_logged = time.monotonic() + wait_s, False
    while True:
        connection = duckdb.connect(config=settings)
        try:
            connection.execute(f"ATTACH '{path}' AS {CATALOG} ({mode}, ROW_GROUP_SIZE {ROW_GROUP})")
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
            if not has_logged and time.monotonic() > deadline - wait_s + 2:
                has_logged = True
                LOG.warning("waiting for process %s (%s), which has %s open", holder[2], holder[1], database)
            time.sleep(0.05)


def copy(database: str, to: str) -> None:
    """Copy a database that no run is using to a file, completely or not at all. An existing file is replaced."""
    unfinished = _unfinished(to)
    with reading(database):  # while it is open for reading, no process can write to it
        shutil.copyfile(database, unfinished)
        if (log := Path(f"{database}.wal")).exists():
            shutil.copyfile(log, f"{unfinished}.wal")
    with writing(str(unfinished)) as connection:
        connection.execute("CHECKPOINT")
    unfinished.replace(to)


def rewrite(database: str) -> None:
    """Write a database to a new file that replaces the old one. Only this removes deleted rows from the disk.

    A link to the database stays a link, and the new file gets the old one's owner and permissions.
    """
    path = Path(database).resolve()
    with writing(database) as connection:
        shutil.rmtree(f"{database}.tmp", ignore_errors=True)  # data that a killed process moved out of memory
        connection.execute("CHECKPOINT")  # leaves no log of the old file beside it
    unfinished = _unfinished(str(path))
    quoted = str(path).replace("'", "''")
    with writing(str(unfinished)) as connection:
        shutil.copymode(path, unfinished)
        with suppress(PermissionError):
            os.chown(unfinished, path.stat().st_uid, path.stat().st_gid)
        connection.execute("SET preserve_insertion_order = true")  # a row's newest verdict is the one inserted last
        connection.execute(f"ATTACH '{quoted}' AS old (READ_ONLY)")
        connection.execute(f"COPY FROM DATABASE old TO {CATALOG}")
        connection.execute("DETACH old")
        connection.execute("CHECKPOINT")
    unfinished.replace(path)


def _unfinished(target: str) -> Path:
    """The path where a file is written before it is renamed to its target. A killed process's leftovers are deleted."""
    path = Path(f"{target}.unfinished")
    for leftover in (path, Path(f"{path}.wal")):
        leftover.unlink(missing_ok=True)
    return path


def _missing_migrations(connection: Connection) -> list[str]:
    """The migrations that the database lacks, in their order. Raises ValueError if it has newer ones than we know."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS store")
    connection.execute("CREATE TABLE IF NOT EXISTS store.migrations (migration VARCHAR, applied_at TIMESTAMPTZ)")
    applied = {name for (name,) in connection.execute("SELECT migration FROM store.migrations").fetchall()}
    available = {file.stem for file in (SQL / "migrations").glob("*.sql")}
    if newer := sorted(applied - available):
        raise ValueError(
            f"the database was made by a newer oresight (migration {newer[-1]}); upgrade: pip install -U oresight"
        )
    return sorted(available - applied)


def _migrate(connection: Connection, missing: list[str]) -> None:
    """Apply migrations, each committed with its record in one transaction, and then create the views again."""
    for name in missing:
        with transaction(connection):
            connection.execute((SQL / "migrations" / f"{name}.sql").read_text(encoding="utf-8"))
            connection.execute("INSERT INTO store.migrations VALUES (?, now())", [name])
    views = sorted((SQL / "views").glob("*.sql"))
    text = "\n".join(file.read_text(encoding="utf-8") for file in views)
    with transaction(connection):
        connection.execute(text)


def _holder(note: Path) -> str:
    """The process that has the turn, in words."""
    try:
        holder = json.loads(note.read_text(encoding="utf-8"))
        return f"process {holder['pid']} ({holder['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"
