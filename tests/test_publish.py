"""What is published is whole and is never changed; a kill at any step is made good."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import oresight.tasks.publish
import oresight.tasks.publishing.rows
from oresight.tasks.config import Curate
from oresight.tasks.database import reading
from oresight.tasks.publish import Published, publish
from oresight.tasks.runs.record import Run
from tests.test_split import divide, fill, open_run, row, settings


def release(config: Curate, rows: list[dict[str, Any]] | None = None, flags: Any = ()) -> Published:
    """Split and publish, after filling the database if there are rows."""
    with open_run(config) as run:
        if rows is not None:
            fill(config.database, rows, flags)
        done = divide(run)
        return publish(Run(config), done.version)


def some(count: int = 10) -> list[dict[str, Any]]:
    return [row(n, float(n)) for n in range(count)]


def content(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in sorted(folder.iterdir())}


def loaded(folder: Path, cache: Path, **arguments: Any) -> list[dict[str, Any]]:
    """What a trainer reads, with no network."""
    import datasets

    datasets.disable_progress_bars()
    return list(datasets.load_dataset(str(folder), cache_dir=str(cache), split="train", **arguments))


def recorded_folder(config: Curate, version: int = 1) -> tuple[str, str]:
    with reading(config.database) as connection:
        question = "SELECT folder, manifest_sha256 FROM splits WHERE version = ?"
        (found,) = connection.execute(question, [version]).fetchall()
    return found  # type: ignore[return-value]


def test_the_manifest_names_every_file_with_its_digest(tmp_path: Path) -> None:
    config = settings(tmp_path, keep=0.8)
    done = release(config, some())
    assert (done.folder, done.new) == (tmp_path / "out" / "chosen" / "v1", True)
    text = (done.folder / "manifest.json").read_bytes()
    manifest = json.loads(text)
    files = {file["path"]: (file["bytes"], file["sha256"]) for file in manifest["files"]}
    there = {
        n: (len(b), hashlib.sha256(b).hexdigest()) for n, b in content(done.folder).items() if n != "manifest.json"
    }
    assert files == there and {"train.parquet", "train.jsonl", "dropped.parquet", "README.md"} <= files.keys()
    assert (manifest["rows_kept"], manifest["rows_dropped"], manifest["tokens_kept"]) == (8, 2, 80)
    assert manifest["parents"][0]["files"] == [{"path": "f.jsonl", "sha256": "ab", "bytes": 3}]
    assert manifest["config"] == config.model_dump(mode="json")
    assert recorded_folder(config) == (str(done.folder), hashlib.sha256(text).hexdigest())
    assert (done.folder.parent / "latest").readlink() == Path("v1")


def test_the_files_are_the_same_bytes_when_published_again(tmp_path: Path) -> None:
    config = settings(tmp_path, keep=0.8)
    done = release(config, some(200))
    before = content(done.folder)
    shutil.rmtree(done.folder)
    again = release(config)
    after = content(again.folder)
    assert again.new and {n for n in before if before[n] != after[n]} <= {"manifest.json"}


def test_a_dropped_row_is_published_with_its_reason_and_its_flags(tmp_path: Path) -> None:
    rows = some(5)
    flags = [(rows[4]["sample_id"], "b", "warning"), (rows[4]["sample_id"], "a", "info")]
    done = release(settings(tmp_path, rows=3), rows, flags)
    dropped = {r["sample_id"]: r for r in pq.read_table(done.folder / "dropped.parquet").to_pylist()}
    assert set(dropped) == {rows[4]["sample_id"], rows[0]["sample_id"]}
    assert dropped[rows[4]["sample_id"]] | {"prompt": 0, "answer": 0} == {
        "sample_id": rows[4]["sample_id"],
        "prompt": 0,
        "answer": 0,
        "images": None,
        "reason": "flagged by b: why b",
        "rank": None,
        "value": 4.0,
        "flags": ["a", "b"],
    }
    assert dropped[rows[0]["sample_id"]]["reason"] == "over budget: rank 4 of 4 by value, 3 kept"
    assert dropped[rows[0]["sample_id"]]["flags"] is None
    card = (done.folder / "README.md").read_text()
    for told in (
        "tiny@0",
        "`trusted`",
        "A low value does not mean that a row is wrong",
        "| flagged by b | 1 |",
        "| over budget | 1 |",
        "0.1",
    ):
        assert told in card


def test_rows_are_published_with_the_flags_of_any_number_of_checks(tmp_path: Path) -> None:
    rows, checks = some(3), [f"check {n:03d}" for n in range(150)]
    flags = [(rows[n % 2]["sample_id"], check, "warning") for n, check in enumerate(checks)]
    done = release(settings(tmp_path), rows, [*flags, *flags[:3]])
    dropped = {r["sample_id"]: r["flags"] for r in pq.read_table(done.folder / "dropped.parquet").to_pylist()}
    assert dropped == {rows[n]["sample_id"]: checks[n::2] for n in (0, 1)}


def test_a_split_that_drops_nothing_has_an_empty_list_of_the_dropped(tmp_path: Path) -> None:
    done = release(settings(tmp_path), some(3))
    table = pq.read_table(done.folder / "dropped.parquet")
    assert table.num_rows == 0 and "reason" in table.column_names


def test_nothing_is_written_twice(tmp_path: Path) -> None:
    config = settings(tmp_path)
    first = release(config, some())
    before = {f: f.stat().st_mtime_ns for f in first.folder.parent.rglob("*")}
    assert release(config) == Published(first.folder, False)
    assert {f: f.stat().st_mtime_ns for f in first.folder.parent.rglob("*")} == before


def test_a_new_version_leaves_the_old_one_as_it_is(tmp_path: Path) -> None:
    first = release(settings(tmp_path, keep=0.8), some())
    before = content(first.folder)
    second = release(settings(tmp_path, keep=0.5))
    assert (second.folder.name, second.new, content(first.folder)) == ("v2", True, before)
    assert (first.folder.parent / "latest").resolve() == second.folder.resolve()


def test_latest_stays_on_the_newest_when_an_old_version_is_written_again(tmp_path: Path) -> None:
    old = settings(tmp_path, keep=0.8)
    first = release(old, some())
    release(settings(tmp_path, keep=0.5))
    shutil.rmtree(first.folder)
    with open_run(old):
        assert publish(Run(old), 1).new
    assert (first.folder.parent / "latest").readlink() == Path("v2")


class Killed(BaseException):
    """Stands for kill -9, as far as one process can act it out."""


@pytest.mark.parametrize("step", ["write_columns", "card_text", "sha256_of", "flush_to_disk", "rename"])
def test_a_publish_killed_before_the_rename_leaves_nothing_that_looks_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    config = settings(tmp_path)
    with monkeypatch.context() as patch:
        homes = {"rename": os, "write_columns": oresight.tasks.publishing.rows}
        patch.setattr(homes.get(step, oresight.tasks.publish), step, killed)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a killed process tidies nothing up
        with pytest.raises(Killed):
            release(config, some())
    home = tmp_path / "out" / "chosen"
    assert [f.name for f in home.iterdir() if not f.name.startswith(".")] == []
    assert recorded_folder(config) == (None, None)
    assert release(config).new
    assert sorted(f.name for f in home.iterdir()) == ["latest", "v1"]
    assert len(loaded(home / "v1", tmp_path / "cache")) == 10


@pytest.mark.parametrize("step", ["point_to_newest", "transaction"])
def test_a_publish_killed_after_the_rename_is_taken_up_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    config = settings(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(oresight.tasks.publish, step, killed)
        with pytest.raises(Killed):
            release(config, some())
    folder = tmp_path / "out" / "chosen" / "v1"
    before = content(folder)
    assert release(config) == Published(folder, False)
    assert content(folder) == before
    assert recorded_folder(config) == (str(folder), hashlib.sha256(before["manifest.json"]).hexdigest())
    assert (folder.parent / "latest").resolve() == folder.resolve()


def test_what_another_database_published_is_not_taken_for_ours(tmp_path: Path) -> None:
    first = release(settings(tmp_path), some())
    before = content(first.folder)
    other = settings(tmp_path, seed=1)
    other.database = str(tmp_path / "other.duckdb")
    with pytest.raises(ValueError, match=r"publishing.folder: .*v1.*give another folder or splitting.name"):
        release(other, some())
    assert content(first.folder) == before


@pytest.mark.parametrize("damage", ["manifest.json", "train.jsonl", "gone", "no manifest"])
def test_a_folder_that_is_not_as_it_was_published_is_refused(tmp_path: Path, damage: str) -> None:
    config = settings(tmp_path)
    folder = release(config, some()).folder
    if damage == "gone":
        (folder / "train.parquet").unlink()
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        (folder / damage).write_text("{")
    with pytest.raises(ValueError, match=r"publishing.folder: .*v1"):
        release(config)


def test_a_folder_deleted_by_hand_is_published_again(tmp_path: Path) -> None:
    config = settings(tmp_path)
    folder = release(config, some()).folder
    shutil.rmtree(folder)
    assert release(config) == Published(folder, True)
    assert len(loaded(folder, tmp_path / "cache")) == 10


def test_another_folder_gets_its_own_copy(tmp_path: Path) -> None:
    config = settings(tmp_path)
    release(config, some())
    config.publishing.folder = str(tmp_path / "elsewhere")
    done = release(config)
    assert (done.folder, done.new) == (tmp_path / "elsewhere" / "chosen" / "v1", True)


def test_a_split_decided_with_other_settings_is_not_published_as_if_by_these(tmp_path: Path) -> None:
    config = settings(tmp_path, keep=0.8)
    release(config, some())
    changed = settings(tmp_path, keep=0.5)
    with open_run(changed), pytest.raises(ValueError, match=r"v1 was decided with another .*run `oresight split"):
        publish(Run(changed), 1)


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with open_run(config), pytest.raises(ValueError, match="no version 7 of the split 'chosen'"):
        publish(Run(config), 7)
