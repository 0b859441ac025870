"""kill -9 at any moment: the next run continues, and ends with what an uninterrupted run ends with."""

import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.support.kills import WORKS, Tables, Work, tables
from tests.support.processes import start_process

KILLS = int(os.environ.get("ORESIGHT_KILLS", "0"))
"""Kills of each kind of work. Without it, a run over texts is killed twice."""
RAW_TRIAL = re.compile(r"o\.duckdb\.evaluation/dolly-[^/]+/\d+\.jsonl")
"""A file that an evaluation that goes on needs for the trials that are left only."""
IN_A_ROW = 4
"""Kills until the work may end and starts anew."""


class Folder:
    """A folder with what stands before the work. It always has the same path, which the database holds."""

    def __init__(self, work: Work, path: Path, model: Path) -> None:
        self.work, self.path, self.original = work, path, path.with_name("original")
        path.mkdir()
        made = start_process(work.make, path, model).wait()
        assert made.returncode == 0, made.stderr
        shutil.copytree(path, self.original, symlinks=True)

    def reset(self) -> None:
        shutil.rmtree(self.path)
        shutil.copytree(self.original, self.path, symlinks=True)

    def tables(self) -> Tables:
        database = self.path / "o.duckdb"
        return tables(database, self.work.compared) if database.exists() else {}

    def files(self) -> set[str]:
        """All files but the logs, whose names are those of runs."""
        paths = (path.relative_to(self.path) for path in self.path.rglob("*"))
        return {str(path) for path in paths if path.parent.suffix != ".logs"}


@pytest.mark.parametrize("name", WORKS if KILLS else ["text"])
def test_killed_work_is_continued_and_nothing_is_lost_or_done_twice(name: str, tmp_path: Path, stories: Path) -> None:
    work = WORKS[name]
    folder = Folder(work, tmp_path / "work", stories)
    before, begin = folder.tables(), time.monotonic()
    assert start_process(work.run, folder.path).wait().returncode == 0
    duration, after, files = time.monotonic() - begin, folder.tables(), folder.files()
    moments, struck, missed = random.Random(1), 0, 0
    while struck < (KILLS or 2):
        folder.reset()
        for _ in range(min(IN_A_ROW, (KILLS or 2) - struck)):
            run = start_process(work.run, folder.path)
            time.sleep(moments.uniform(0.05, 0.95) * duration)
            run.process.kill()
            if run.wait().returncode != -signal.SIGKILL:
                missed += 1
                break
            struck += 1
            work.inspect(folder.path, before, after)
        last = start_process(work.run, folder.path).wait()
        assert last.returncode == 0, last.stderr
        found = folder.tables()
        for table in work.compared:
            assert found[table] == after[table], table
        there = folder.files()
        assert there <= files, "files of a killed process are deleted by the next"
        assert {file for file in files - there if not RAW_TRIAL.fullmatch(file)} == set()
        assert missed <= KILLS + 2, "the work ends before it is killed"
    print(f"{name}: {struck} kills, {missed} too late, {duration:.1f} s undisturbed")
