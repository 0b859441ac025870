"""One DuckDB file: open it, migrate it, copy it, run a named .sql file.

While a process writes a DuckDB file, no other process can open it, not even to read. So no connection stays open while
a model computes: a step opens the file, reads or commits, and closes it again, and `oresight sql` gets in between.
A run reserves the database with a separate lock on `FILE.lock`, which the operating system releases with the process,
however it ends.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from oresight.tasks.connection import CATALOG as CATALOG
from oresight.tasks.connection import Connection as Connection
from oresight.tasks.connection import DatabaseBusy as DatabaseBusy
from oresight.tasks.connection import DatabaseDamaged as DatabaseDamaged
from oresight.tasks.connection import DatabaseError as DatabaseError
from oresight.tasks.connection import Relation as Relation
from oresight.tasks.connection import Statement as Statement
from oresight.tasks.connection import attach, opened
from oresight.tasks.connection import clear_scratch as clear_scratch
from oresight.tasks.connection import is_select as is_select
from oresight.tasks.connection import limit_memory as limit_memory
from oresight.tasks.connection import statements_that_read as statements_that_read
from oresight.tasks.connection import transaction as transaction

SQL = Path(__file__).parent.parent / "sql"
FIRST = ["0001_raw"]
A_DAY = 86_400.0
LOG = logging.getLogger("oresight")


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
        shutil.rmtree(f"{database}.staging", ignore_errors=True)  # texts that a killed run had read
        clear_scratch(database)
        with writing(database) as connection:
            missing = _missing_migrations(connection)
            has_views = not missing and _has_views(connection)
        if missing[:1] not in ([], FIRST):
            backup = f"{database}.before-{missing[0][:4]}"
            LOG.warning("%s is migrated to this version; a copy of the old one is %s", database, backup)
            copy(database, backup)
        if missing or not has_views:
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


@contextmanager
def writing(database: str, *, guarded: bool = False) -> Iterator[Connection]:
    """A connection that can write, for a step of a run that has its `turn`. Use `transaction` for related changes.

    guarded: the connection reaches no other file, so that SQL from users is safe to run.
    """
    with opened(database, read_only=False) as connection:
        if guarded:
            connection.execute("SET enable_external_access = false")
        yield connection


@contextmanager
def reading(database: str, *, guarded: bool = False) -> Iterator[Connection]:
    """A read-only connection. Raises ValueError if there is no such database.

    guarded: the connection reaches no other file and changes no setting, so that SQL from users is safe to run.
    """
    if not Path(database).is_file():
        where = Path(database).absolute()
        raise ValueError(f"{where}: no such database; run `oresight curate CONFIG.yaml` first, or give --database")
    with opened(database, read_only=True) as connection:
        if guarded:
            connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        yield connection


def copy(database: str, to: str) -> None:
    """Copy a database to a file, completely or not at all. An existing file is replaced once all tables were read.

    Copying the bytes of a damaged file would replace a good backup by one that cannot be restored. The copy gets the
    owner and the permissions of the database. Raises DatabaseDamaged.
    """
    unfinished = _unfinished(to)
    try:
        with writing(str(unfinished)) as connection:
            shutil.copymode(database, unfinished)
            with suppress(PermissionError):
                os.chown(unfinished, Path(database).stat().st_uid, Path(database).stat().st_gid)
            connection.execute("SET preserve_insertion_order = true")  # a row's newest verdict is the one inserted last
            attach(connection, database, "old", read_only=False)  # so that no other process writes to it meanwhile
            connection.execute("CHECKPOINT old")  # leaves no log of the old file beside it
            connection.execute(f"COPY FROM DATABASE old TO {CATALOG}")
            connection.execute("CHECKPOINT")
            with unfinished.open("rb") as stream:
                os.fsync(stream.fileno())
            unfinished.replace(to)  # before another process can write to the old file
    except DatabaseDamaged as damage:
        raise DatabaseDamaged(database, damage.__cause__ or damage) from damage
    finally:
        _unfinished(to)


def snapshot(database: str, to: str) -> None:
    """Copy the bytes of a database to a new file, for an experiment: quickly, and without writing to the database."""
    with reading(database):  # while it is open for reading, no process can write to it
        shutil.copyfile(database, to)
        if (log := Path(f"{database}.wal")).exists():
            shutil.copyfile(log, f"{to}.wal")


def rewrite(database: str) -> None:
    """Write a database to a new file that replaces the old one. Only this removes deleted rows from the disk.

    A link to the database stays a link.
    """
    path = str(Path(database).resolve())
    copy(path, path)


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
            f"the database was made by a newer oresight (migration {newer[-1]}); upgrade this one: git pull &&"
            " make .venv/installed (docs/operate.md, Upgrade)"
        )
    return sorted(available - applied)


def _migrate(connection: Connection, missing: list[str]) -> None:
    """Apply migrations, each committed with its record in one transaction, and then create the views again.

    All migrations of a new database are one transaction, which takes half the time.
    """
    for names in [missing] if missing[:1] == FIRST else [[name] for name in missing]:
        with transaction(connection):
            for name in names:
                connection.execute((SQL / "migrations" / f"{name}.sql").read_text(encoding="utf-8"))
                connection.execute("INSERT INTO store.migrations VALUES (?, now())", [name])
    text, digest = _views()
    with transaction(connection):
        connection.execute(text)
        (views,) = execute(connection, "views_count").fetchone() or (0,)
        connection.execute(f"CREATE OR REPLACE MACRO store.views_digest() AS '{digest} {views}'")


@cache
def _views() -> tuple[str, str]:
    """The text of sql/views, and its digest."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted((SQL / "views").glob("*.sql")))
    return text, hashlib.sha256(text.encode()).hexdigest()


def _has_views(connection: Connection) -> bool:
    """Whether the views are those of this version. Creating them takes three times as long as opening the database."""
    with suppress(DatabaseError):  # there is no digest: an older version made them
        return execute(connection, "views_are_current", {"digest": _views()[1]}).fetchone() == (True,)
    return False


def _holder(note: Path) -> str:
    """The process that has the turn, in words."""
    try:
        holder = json.loads(note.read_text(encoding="utf-8"))
        return f"process {holder['pid']} ({holder['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"
