"""A full disk, a read-only one, too little memory, no network: one sentence, nothing lost, and the next run goes on."""

import errno
import importlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from oresight.flows import cli
from oresight.tasks.database import reading
from oresight.tasks.runs.faults import ResourceExhausted, explain_faults
from oresight.tasks.runs.record import Refused
from tests.support.kills import COMPARED, small_steps, tables, texts
from tests.support.processes import start_process

ROOT = Path(__file__).parents[1]
STEPS = "ingest", "score", "flag", "split", "publish"


def _commands(folder: str, commands: Sequence[list[str]], moment: str, times: int, fault: str) -> None:
    """Commands one after another, each in small shards; the fault strikes when the function `moment` is called for the
    so-manieth time.
    """
    small_steps()
    if moment:
        place, name = moment.rsplit(".", 1)
        module, called = importlib.import_module(place), 0
        real = getattr(module, name)

        def until(*arguments: Any, **more: Any) -> Any:
            nonlocal called
            called += 1
            if called == times:
                FAULTS[fault](folder)
            return real(*arguments, **more)

        setattr(module, name, until)
    for command in commands:
        sys.argv = ["oresight", *command]
        logging.getLogger("oresight").handlers.clear()
        try:
            cli.main()
        except SystemExit as end:
            print("exit", end.code or 0, flush=True)


def _full(folder: str) -> None:
    with Path(folder, "filling").open("wb", buffering=0) as file:
        while free := shutil.disk_usage(folder).free:
            file.write(bytes(min(free, 1 << 20)))


def _unallocated(*_: Any) -> None:
    raise RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"
        " allocate 4096 bytes. Error code 12 (Cannot allocate memory)"
    )


def _short(_folder: str) -> None:
    import oresight.tasks.scoring.forward

    oresight.tasks.scoring.forward._answers = _unallocated  # type: ignore[assignment]


def _denied(folder: str) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", f"{folder}/o.duckdb.lock")


FAULTS = {"full": _full, "denied": _denied, "unallocated": _unallocated, "short": _short}


@dataclass
class Ended:
    """How commands ended: their exit codes, what they printed, and the lines in which they complained."""

    codes: list[int]
    output: str
    complaints: list[str]


def ran(folder: Path, *commands: list[str], moment: str = "", times: int = 1, fault: str = "full") -> Ended:
    """Run commands in one process, with a fault from the moment that a function is called for the so-manieth time."""
    run = start_process(_commands, str(folder), commands, moment, times, fault).wait(240)
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr and "Logging error" not in run.stderr, run.stderr
    codes = [int(line.split()[1]) for line in run.stdout.splitlines() if line.startswith("exit ")]
    return Ended(codes, run.stdout, [line for line in run.stderr.splitlines() if line.startswith("oresight: ")])


@dataclass
class Work:
    """A configuration, with a database and an output folder of its own."""

    config: Path
    database: Path
    out: Path

    def step(self, name: str) -> list[str]:
        sets = f"database={self.database}", f"publishing.folder={self.out}", "flagging.canaries=0"
        return [name, str(self.config), *(word for one in sets for word in ("--set", one))]

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        with reading(str(self.database)) as connection:
            return connection.execute(question).fetchall()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, stories: Path) -> Work:
    """Curated without a fault; o.duckdb.ingest and o.duckdb.split are the database as it was after these steps."""
    folder = tmp_path_factory.mktemp("undisturbed")
    texts(folder / "work", stories)
    work = Work(folder / "work" / "config.yaml", folder / "o.duckdb", folder / "out")
    for steps in (STEPS[:1], STEPS[1:4], STEPS[4:]):
        assert ran(folder, *map(work.step, steps)).codes == [0] * len(steps)
        shutil.copyfile(work.database, f"{work.database}.{steps[-1]}")
    return work


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "oresight-test", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def placed(undisturbed: Work, place: Path, after: str) -> Work:
    """The same work in another place, done up to a step."""
    work = Work(undisturbed.config, place / "o.duckdb", place / "out")
    if after:
        shutil.copyfile(f"{undisturbed.database}.{after}", work.database)
    return work


def same(work: Work, undisturbed: Work, *names: str) -> None:
    found, expected = tables(work.database), tables(undisturbed.database)
    for name in names or COMPARED:
        assert found[name] == expected[name], name


def freed(disk: Path) -> None:
    (disk / "filling").unlink()


def full_disk(ended: Ended, folder: Path) -> None:
    assert ended.codes == [3], ended
    (complaint,) = ended.complaints
    assert complaint == f"oresight: {folder}: the disk is full; free some space there, then run again to continue" + (
        " (what was stored stays)"
    )


def test_a_disk_that_fills_up_during_ingest_keeps_the_dataset_that_was_read(undisturbed: Work, disk: Path) -> None:
    work = placed(undisturbed, disk, after="")
    full_disk(ran(disk, work.step("ingest"), moment="oresight.tasks.ingest._commit", times=2), disk)
    assert work.ask("SELECT dataset, count(*) FROM rows GROUP BY ALL") == [("dolly", 120)]
    freed(disk)
    ended = ran(disk, work.step("ingest"))
    assert ended.codes == [0]
    assert "dolly: 120 rows, 0 rejected, 0 duplicates (unchanged)" in ended.output
    same(work, undisturbed, "rows")


def test_a_run_whose_database_may_take_too_little_memory_names_the_key(undisturbed: Work, tmp_path: Path) -> None:
    work = placed(undisturbed, tmp_path, after="")
    ended = ran(tmp_path, [*work.step("ingest"), "--set", "memory_limit=1MB"], work.step("ingest"))
    assert ended.codes == [3, 0]
    assert ended.complaints == [
        "oresight: memory_limit: the database needs more memory than it may take; raise it, for instance to 8GB, then"
        " run again to continue (what was stored stays)"
    ]


def test_a_disk_that_is_full_before_a_run_begins_refuses_it_in_one_line(undisturbed: Work, disk: Path) -> None:
    work = placed(undisturbed, disk, after="split")
    full_disk(ran(disk, work.step("publish"), moment="oresight.tasks.runs.record.journal"), disk)
    same(work, undisturbed)


def test_a_disk_that_fills_up_during_scoring_keeps_the_scores_that_were_committed(
    undisturbed: Work, disk: Path
) -> None:
    work = placed(undisturbed, disk, after="ingest")
    full_disk(ran(disk, work.step("score"), moment="oresight.tasks.score.commit_scores", times=3), disk)
    ((committed,),) = work.ask("SELECT count(*) FROM scores")
    assert 0 < committed < 180
    freed(disk)
    ended = ran(disk, *map(work.step, STEPS[1:]))
    assert ended.codes == [0] * 4
    assert f"{180 - committed} rows scored, {committed} reused" in ended.output
    same(work, undisturbed)


@pytest.mark.parametrize("database_too", [True, False])
def test_a_disk_that_fills_up_during_publishing_leaves_no_part_of_a_version(
    undisturbed: Work, disk: Path, tmp_path: Path, *, database_too: bool
) -> None:
    work = placed(undisturbed, disk if database_too else tmp_path, after="split")
    work.out = disk / "out"
    home = work.out / "kept"
    full_disk(
        ran(disk, work.step("publish"), moment="oresight.tasks.publish._write"), disk if database_too else work.out
    )
    assert list(home.iterdir()) == []
    freed(disk)
    assert ran(disk, work.step("publish")).codes == [0]
    same(work, undisturbed)
    whole = undisturbed.out / "kept" / "v1"
    assert sorted(file.name for file in (home / "v1").iterdir()) == sorted(file.name for file in whole.iterdir())
    assert (home / "v1" / "train.jsonl").read_bytes() == (whole / "train.jsonl").read_bytes()


def test_a_read_only_database_is_named_and_can_still_be_asked(undisturbed: Work, disk: Path) -> None:
    work = placed(undisturbed, disk, after="split")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    question = ["sql", "--database", str(work.database), "--format", "csv", "SELECT count(*) AS n FROM scores"]
    ended = ran(disk, *map(work.step, ("ingest", "flag", "split", "publish")), question)
    assert ended.codes == [2, 2, 2, 2, 0]
    told = f"database: {work.database} cannot be written (Read-only file system); make it writable"
    assert ended.complaints == [f"oresight: {told}, or give another database"] * 4
    assert "n\n180\n" in ended.output
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert ran(disk, work.step("publish")).codes == [0]


def test_too_little_memory_for_a_row_or_the_model_keeps_the_scores_that_were_committed(
    undisturbed: Work, tmp_path: Path
) -> None:
    work = placed(undisturbed, tmp_path, after="ingest")
    ended = ran(tmp_path, work.step("score"), moment="oresight.tasks.score.commit_scores", times=3, fault="short")
    assert ended.codes == [2], ended
    (complaint,) = ended.complaints
    for what in ("fit into memory", "scoring.batch_tokens", "scoring.max_tokens", "model.dtype", "smaller model"):
        assert what in complaint
    ((committed,),) = work.ask("SELECT count(*) FROM scores")
    assert 0 < committed < 180
    ended = ran(
        tmp_path, work.step("score"), work.step("score"), moment="oresight.tasks.score.load", fault="unallocated"
    )
    assert ended.codes == [3, 0]
    (complaint,) = ended.complaints
    assert complaint.startswith("oresight: the memory is full; ") and "a smaller model" in complaint
    assert f"{180 - committed} rows scored, {committed} reused" in ended.output
    same(work, undisturbed, "scores", "scored once")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/data/out/kept"),
            "publishing.folder: /data/out cannot be",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/rows/of/somebody.jsonl"), None),
        (ValueError("an answer says: No space left on device"), None),
        (Refused("out of memory is what the answer is about"), None),
    ],
)
def test_only_what_the_machine_lacks_is_told_so(error: Exception, told: str | None) -> None:
    with pytest.raises(Exception, match=told) as raised, explain_faults(publishing__folder="/data/out"):
        raise error
    assert (raised.value is error) == (told is None)


def test_a_file_that_may_not_be_opened_is_named(undisturbed: Work) -> None:
    folder = undisturbed.database.parent
    command = ["backup", str(folder / "backup.duckdb"), "--database", str(undisturbed.database)]
    ended = ran(folder, command, moment="oresight.flows.commands.operations.turn", fault="denied")
    lock = folder / "o.duckdb.lock"
    complaint = f"oresight: {lock}: Permission denied; give this user the permission, or name another path"
    assert (ended.codes, ended.complaints) == ([2], [complaint])


def test_without_a_home_that_can_be_written_the_temporary_server_gets_a_folder_that_is_deleted() -> None:
    ask = "import os, oresight.flows as _; home = os.environ['PREFECT_HOME']; print(home, os.access(home, os.W_OK))"
    environment = os.environ | {"PREFECT_HOME": "/dev/null/prefect"}  # also root cannot make it
    home, is_writable = subprocess.check_output([sys.executable, "-c", ask], env=environment, text=True).split()
    assert Path(home).name.startswith("oresight-prefect-") and is_writable == "True" and not Path(home).exists()


def test_what_a_library_says_while_a_disk_is_full_is_explained_by_the_disk(disk: Path) -> None:
    with pytest.raises(RuntimeError, match="404"), explain_faults(database=str(disk / "o.duckdb")):
        raise RuntimeError("404 Flow run not found")
    _full(str(disk))
    with (
        pytest.raises(ResourceExhausted, match=f"{disk}: the disk is full"),
        explain_faults(database=str(disk / "o.duckdb")),
    ):
        raise RuntimeError("404 Flow run not found")


DENIED = """
import errno, socket, sys
from oresight.flows import cli
try:
    socket.create_connection(("192.0.2.1", 443), timeout=3)
except OSError as error:
    print("denied:", errno.errorcode.get(error.errno, error), flush=True)
sys.argv[0] = "oresight"
cli.main()
"""


def test_curate_needs_no_network(tmp_path: Path) -> None:
    alone = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a process cannot be cut off from the network here")
    pictures = ROOT / "tests" / "data" / "easy_vqa"
    (tmp_path / "few.json").write_text(json.dumps(json.loads((pictures / "rows.json").read_text())[:60]))
    sets = [f"database={tmp_path / 'o.duckdb'}", f"publishing.folder={tmp_path / 'out'}"]
    sets += [f"dataset.path={tmp_path / 'few.json'}", f"dataset.root={pictures}"]
    run = subprocess.run(
        [*alone, sys.executable, "-c", DENIED, "curate", str(ROOT / "tests" / "data" / "demo-vqa.yaml")]
        + [word for one in sets for word in ("--set", one)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "denied: ENETUNREACH" in run.stdout
    assert (tmp_path / "out" / "curated" / "latest" / "manifest.json").is_file()
