"""Opens a DuckDB file, and waits for other processes that have it open. The only `import duckdb`."""

import glob
import logging
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import shorten

import duckdb

CATALOG = "oresight"
ROW_GROUP = 8192
"""Rows per row group. A commit can merge the last two row groups: with DuckDB's default of 122,880 rows, a commit of a
few vectors sometimes needs half a GB (tests/bench/bench_scale.py); with a few thousand, blocks stay half empty."""
STORAGE = "v1.2.0"
"""The oldest DuckDB that can read the file: the first with Zstandard."""
MEMORY = 2_000_000_000
"""Bytes that DuckDB takes at most where nothing else is set. It writes to the disk what does not fit."""
SCRATCH = 0.9
"""Share of the free disk that a connection may fill with what does not fit into memory."""
CGROUP = Path("/sys/fs/cgroup/memory.max")
"""Where Linux says how much memory a container may take."""
LOG = logging.getLogger("oresight")
_HOST = socket.gethostname()
OPEN = threading.RLock()
"""Held while this process has a database open: DuckDB opens a file once per process, to read or to write."""
Connection = duckdb.DuckDBPyConnection
DatabaseError = duckdb.Error
Relation = duckdb.DuckDBPyRelation
Statement = duckdb.Statement
DAMAGE = re.compile("Corrupt database file|Could not read enough bytes")
"""What DuckDB says of a block whose checksum is wrong, and of a file that was cut off."""

READS = {
    getattr(duckdb.StatementType, name)
    for name in ("SELECT", "EXPLAIN", "SET", "CREATE", "DROP", "INSERT", "UPDATE", "DELETE", "PREPARE", "EXECUTE")
}
"""Statements that read or change what a read-only connection keeps for itself: a variable, a temporary table."""
SWITCH = re.compile(r"\b(enable|disable)_(logging|profiling)\W*\(", re.IGNORECASE)
"""Functions that write files, and end the process if they must not."""


def automatic_memory() -> str:
    """MEMORY, or a quarter of what this machine or container has, if that is less. As DuckDB's setting."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # there is no such file, or it says `max`
        total = min(total, int(CGROUP.read_text()))
    return f"{min(MEMORY, total // 4) // 1_000_000}MB"


_memory_limit = automatic_memory()


def limit_memory(setting: str) -> None:
    """Let DuckDB take so much memory in this process from now on: `auto`, or a size such as 8GB."""
    global _memory_limit
    _memory_limit = automatic_memory() if setting == "auto" else setting


class DatabaseBusy(RuntimeError):
    """Another process holds the database. The message names it."""


class DatabaseDamaged(RuntimeError):
    """The file cannot be read as it was written. The message says how to restore a backup."""

    def __init__(self, database: str, error: BaseException) -> None:
        copies = sorted(map(str, Path(database).parent.glob(f"{Path(database).name}.before-*")))
        backup = f"BACKUP (perhaps {copies[-1]}, from before an upgrade)" if copies else "BACKUP"
        super().__init__(
            f"{database}: the file is damaged ({str(error).splitlines()[0]}); restore the newest file that `oresight"
            f" backup` wrote: mv {database} {database}.broken; rm -f {database}.wal; cp {backup} {database}"
        )


@contextmanager
def opened(database: str, *, read_only: bool, wait_s: float = 60) -> Iterator[Connection]:
    """Connect, after waiting for another process that has the file open. Raises DatabaseBusy after wait_s."""
    with OPEN:
        connection = _connect(database, read_only=read_only, wait_s=wait_s)
        try:
            connection.execute("SET enable_progress_bar = false")
            free = shutil.disk_usage(Path(database).absolute().parent).free
            # DuckDB obeys this only after it is connected.
            connection.execute(f"SET max_temp_directory_size = '{int(free * SCRATCH)}B'")
            yield connection
        except DatabaseError as error:
            if DAMAGE.search(str(error)):
                raise DatabaseDamaged(database, error) from error
            raise
        except RuntimeError as error:
            if str(error) == "Query interrupted":  # DuckDB's word for Ctrl-C
                raise KeyboardInterrupt from error
            raise
        finally:
            connection.close()


def _connect(database: str, *, read_only: bool, wait_s: float) -> Connection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        # A commit writes the file itself, in which one header is valid at any moment. DuckDB's log, which is replayed
        # after a kill, gave rows of a transaction that had not ended (duckdb/duckdb#25931).
        "checkpoint_threshold": "0KB",
        "preserve_insertion_order": False,
        "memory_limit": _memory_limit,
        "temp_directory": f"{database}.tmp.{_HOST}.{os.getpid()}",  # two processes that use one folder crash
        "disabled_compression_methods": "dict_fsst",  # Zstandard stores texts in a third less space ...
        "zstd_min_string_length": 64,  # ... but not the short texts that tables are joined by
    }
    connection = duckdb.connect(config=settings)
    try:
        attach(connection, database, CATALOG, read_only=read_only, wait_s=wait_s)
        connection.execute(f"USE {CATALOG}")
    except BaseException:
        connection.close()
        raise
    return connection


def clear_scratch(database: str) -> None:
    """Delete what killed processes of this host had moved out of memory."""
    path = Path(database)
    with suppress(OSError, ValueError):  # the path of the database may be anything
        for folder in path.absolute().parent.glob(f"{glob.escape(path.name)}.tmp.{glob.escape(_HOST)}.*"):
            try:
                os.kill(int(folder.suffix[1:]), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
            except PermissionError:  # a process of another user has it
                continue


def attach(connection: Connection, database: str, name: str, *, read_only: bool, wait_s: float = 60) -> None:
    """Open a file as a catalog, after waiting for another process that has it open. Raises DatabaseBusy after wait_s.

    A process that replaces the file (`rewrite`) may do so after we opened it and before we have its lock. Then we would
    write to a file without a name, so we open again.
    """
    if "?" in database:
        raise ValueError(f"database: {database} has a question mark, which DuckDB takes for options; give another path")
    path = database.replace("'", "''")
    mode = "READ_ONLY" if read_only else f"READ_WRITE, STORAGE_VERSION '{STORAGE}'"
    deadline, has_logged = time.monotonic() + wait_s, False
    while True:
        try:
            file = _file_id(database)
            connection.execute(f"ATTACH '{path}' AS {name} ({mode}, ROW_GROUP_SIZE {ROW_GROUP})")
            if file in (None, _file_id(database)):
                return
            connection.execute(f"DETACH {name}")
        except duckdb.IOException as error:
            holder = re.search(r"Conflicting lock is held in (.*?) \(PID (\d+)\)", str(error))
            if holder is None and DAMAGE.search(str(error)):
                raise DatabaseDamaged(database, error) from error
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


def _file_id(path: str) -> tuple[int, int] | None:
    """What identifies a file, whatever its name; None if there is none."""
    with suppress(FileNotFoundError):
        status = Path(path).stat()
        return status.st_dev, status.st_ino
    return None


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


def statements_that_read(connection: Connection, text: str) -> Iterator[Statement]:
    """The statements of a text, one after the other. Raises DatabaseError if it is not SQL.

    Raises ValueError before a statement that is no query: some of these end the process where no file may be reached.
    """
    for statement in connection.extract_statements(text):
        if statement.type not in READS or SWITCH.search(text):
            query = shorten(statement.query or text, 60)
            raise ValueError(f"sql: `{query}` is refused; this command only runs queries, such as SELECT ...")
        yield statement


def is_select(connection: Connection, text: str) -> bool:
    """Whether a text is one SELECT and nothing else. Raises DatabaseError if it is not SQL."""
    statements = connection.extract_statements(text)
    return len(statements) == 1 and statements[0].type == duckdb.StatementType.SELECT
