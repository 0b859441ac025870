"""A query of the user ends whatever it computes: by Ctrl-C at once, and with a sentence when it takes too much."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from oresight.flows.commands import separate
from oresight.tasks import connection
from oresight.tasks.config import Dataset
from oresight.tasks.database import limit_memory, reading, turn
from tests.support.processes import Process, command, oresight, start_process
from tests.support.runs import ingest_into

ROWS = "SELECT * FROM range(1000000000) AS a, range(1000000000) AS b, range(1000000000) AS c"
ENDLESS = {
    "a cross join": ROWS.replace("*", "count(*)") + " WHERE hash(a.range, b.range, c.range) = 7",
    "a recursion": "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT 1 FROM t) SELECT sum(n) FROM t",
    "a slow call": f"SELECT levenshtein(repeat('a', 400000), repeat('b', 400000)) FROM ({ROWS})",
    "endless rows": f"COPY_TO_JSON {ROWS}",
}
"""Queries that would take days."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("separate")
    (folder / "rows.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    with turn(path := str(folder / "o.duckdb")):
        ingest_into(path, Dataset(name="rows", path=str(folder / "rows.jsonl")))
    return path


def small(arguments: list[str], seconds: float, memory: int) -> None:
    """The command line with other limits."""
    separate.QUERY_S, separate.QUERY_MEMORY = seconds, memory
    command(arguments)


def started(database: str, question: str, seconds: float = 3600, memory: int = 6_000_000_000) -> Process:
    more = ["--format", "json"] if question.startswith("COPY_TO_JSON") else []
    sql = question.removeprefix("COPY_TO_JSON ")
    return start_process(small, ["sql", sql, "--database", database, *more], seconds, memory)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_query_ends_at_once_with_its_command(database: str, name: str, number: int) -> None:
    process = started(database, ENDLESS[name])
    pid = process.process.pid
    while not children(pid):
        time.sleep(0.05)
    (child,) = children(pid)
    time.sleep(1)
    os.kill(pid, number)
    sent = time.monotonic()
    done = process.wait(10)
    while Path(f"/proc/{child}").exists() and time.monotonic() < sent + 10:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists(), "nothing computes on"
    assert done.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number], done.stderr
    assert done.stderr == ("oresight: interrupted; what is stored stays\n" if number == signal.SIGINT else "")


def test_a_query_that_takes_too_long_is_a_sentence(database: str) -> None:
    done = started(database, ENDLESS["a cross join"], seconds=1).wait(20)
    assert done.returncode == 2 and "did not end within" in done.stderr and done.stderr.count("\n") == 1, done


FAT = [
    "SELECT repeat('x', 3000000000)",
    "SELECT lpad('x', 2000000000, 'y')",
    "SELECT list(range) FROM range(1000000000)",
    "SELECT string_agg(range, ',') FROM range(1000000000)",
    "COPY_TO_JSON SELECT repeat('x', 3000000000)",
]


@pytest.mark.parametrize("question", FAT)
def test_a_query_that_takes_too_much_memory_is_a_sentence(database: str, question: str) -> None:
    done = started(database, question, memory=1_500_000_000).wait(120)
    assert done.returncode == 2 and done.stderr.startswith("oresight: ") and done.stderr.count("\n") == 1, done


def little(arguments: list[str], share: float) -> None:
    """The command line with little memory, and little of the disk for what does not fit into it."""
    connection.SCRATCH = share
    limit_memory("30MB")
    command(arguments)


@pytest.mark.parametrize(
    "question, share, lacks",
    [
        ("SELECT count(x) FROM (SELECT list(hash(i)) AS x FROM range(30000000) t(i) GROUP BY i % 3)", 0.9, "memory"),
        ("SELECT count(DISTINCT hash(i)) FROM range(10000000) t(i)", 1e-6, "disk"),
    ],
)
def test_a_query_that_needs_more_than_the_database_may_take_is_a_sentence(
    database: str, question: str, share: float, lacks: str
) -> None:
    done = start_process(little, ["sql", question, "--database", database], share).wait(120)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done
    assert f"the query needs more {lacks}" in done.stderr and "ask for less" in done.stderr, done


def spill(database: str, question: str) -> None:
    """Print the answer to a question, with so little memory that most of the data moves to the disk."""
    limit_memory("60MB")
    with reading(database) as connection:
        print(connection.execute(question).fetchall())


def crash() -> None:
    def work() -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    with pytest.raises(ValueError, match=r"the query ended its process \(SIGSEGV\)"):
        separate.run_separately(work)
    print("nothing else ended")


def test_a_crash_of_the_library_is_a_sentence() -> None:
    assert start_process(crash).wait(30).stdout == "nothing else ended\n"


def test_a_long_text_does_not_make_the_table_slow(database: str) -> None:
    done = oresight("sql", "SELECT repeat('x', 50000000) AS text, 1 AS n, ['a'] AS list", "--database", database)
    assert done.returncode == 0 and "xxxx" in done.stdout and "text" in done.stdout and len(done.stdout) < 50_000
    twice = oresight("sql", "SELECT 'a' AS a, 'b' AS a", "--database", database)
    assert twice.returncode == 0, twice


def test_json_is_one_document_of_all_rows(database: str) -> None:
    for n in (0, 1, 2500):
        done = oresight("sql", f"FROM range({n})", "--database", database, "--format", "json")
        assert [row["range"] for row in json.loads(done.stdout)] == list(range(n)) and done.stderr == ""


@pytest.mark.parametrize("path", ["y/" * 3000, "a\nb/c", "", "["])
def test_a_path_that_cannot_be_is_one_sentence(path: str) -> None:
    done = oresight("sql", "SELECT 1", "--database", path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done


def test_the_exit_code_of_a_query_is_that_of_its_command(database: str) -> None:
    for question, words in (("SELECT 1/'a'", "Conversion"), ("DELETE FROM store.runs", "read"), ("SELEC", "SELEC")):
        done = oresight("sql", question, "--database", database)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1) and words in done.stderr, done


SPILLING = (
    "SELECT max(x) FROM (SELECT md5(a.range::VARCHAR) || repeat('x', 300) AS x FROM range(100000000) AS a ORDER BY x)"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_a_killed_query_moved_to_the_disk_is_deleted(database: str, number: int) -> None:
    def scratch() -> list[Path]:
        return list(Path(database).parent.glob("*.tmp*"))

    process = started(database, SPILLING)
    while not scratch():
        time.sleep(0.05)
    os.kill(process.process.pid, number)
    process.wait(10)
    if number == signal.SIGKILL:  # its child may be a zombie for a moment
        (folder,) = scratch()
        while Path(f"/proc/{folder.suffix[1:]}").exists():
            time.sleep(0.05)
        with turn(database):
            pass
    assert scratch() == []


def test_processes_that_move_data_to_the_disk_at_once_do_not_meet(database: str) -> None:
    """They crashed when they used one folder."""
    texts = "SELECT md5(range::VARCHAR) || repeat('x', 99) AS x FROM range({}) ORDER BY x"
    sums = f"SELECT sum(hash(x) % 1000) FROM ({texts})"
    rows = 300_000, 400_000
    alone = [start_process(spill, database, sums.format(n)).wait(120).stdout for n in rows]
    both = [start_process(spill, database, sums.format(n)) for n in rows * 2]
    assert [process.wait(240).stdout for process in both] == alone * 2 and all(alone)
