"""A copied picture is the one that was scored, whatever stands at its path by then."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oresight.tasks.publish import publish
from oresight.tasks.runs.record import Run
from oresight.tasks.scoring.picture import Unreadable
from tests.support.published import png, publish_file, qa

SECRET = b"root:x:0:0"


def link(file: Path, target: Path) -> None:
    file.unlink()
    file.symlink_to(target)


def pipe(file: Path, _: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def folder_link(file: Path, secret: Path) -> None:
    shutil.rmtree(file.parent)
    (secret.parent / file.name).write_bytes(SECRET)
    file.parent.symlink_to(secret.parent)


SWAPS: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "other content": (lambda file, _: file.write_bytes(png(9)), "has changed since it was ingested"),
    "a link": (link, "is a link now"),
    "a link to its copy": (
        lambda file, _: link(file, Path(shutil.copy(file, file.with_name("b")))),
        "is a link",
    ),
    "a dangling link": (lambda file, secret: link(file, secret / "no"), "is a link now"),
    "a pipe": (pipe, "has changed since it was ingested"),
    "a folder": (lambda file, _: file.unlink() or file.mkdir(), "cannot be read"),
    "a link of the folder": (folder_link, "has changed since it was ingested"),
    "nothing": (lambda file, _: file.unlink(), "cannot be read (No such file"),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_a_picture_that_was_swapped_after_scoring_is_not_copied(
    tmp_path: Path, swap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    picture, secret = tmp_path / "pictures" / "a.png", tmp_path / "other" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(SECRET)
    picture.write_bytes(png(1))
    (tmp_path / "rows.jsonl").write_text(json.dumps(qa(1, image="pictures/a.png")) + "\n")
    change, reason = SWAPS[swap]
    real = publish

    def publish_late(run: Run, version: int) -> Any:
        change(picture, secret)
        return real(run, version)

    monkeypatch.setattr("tests.support.published.publish", publish_late)
    with pytest.raises(Unreadable) as refused:
        publish_file(tmp_path / "rows.jsonl", tmp_path, copy_images=True)
    assert str(picture) in str(refused.value) and reason in str(refused.value)
    assert "run ingest again" in str(refused.value)
    assert [file.name for file in (tmp_path / "out" / "chosen").iterdir()] == []


def test_a_stored_picture_that_was_swapped_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [qa(n, image={"bytes": png(n), "path": None}) for n in range(2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    real = publish

    def publish_late(run: Run, version: int) -> Any:
        for file in tmp_path.glob("*/o.duckdb.images/*/*"):
            file.write_bytes(png(99))
        return real(run, version)

    monkeypatch.setattr("tests.support.published.publish", publish_late)
    for formats in (["parquet"], ["jsonl"]):
        with pytest.raises(Unreadable, match="has changed since it was ingested"):
            publish_file(tmp_path / "rows.parquet", tmp_path / formats[0], formats=formats)


def test_two_pictures_of_one_name_are_refused_and_one_picture_of_two_rows_is_not(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "raw" / str(number)).mkdir(parents=True)
        (tmp_path / "raw" / str(number) / "a.png").write_bytes(png(number))
        rows = [qa(number, image="a.png"), qa(number + 10, image="a.png")]
        (tmp_path / "raw" / str(number) / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=r"rows call two pictures 'a.png' .*rename one of them"):
        publish_file(tmp_path / "raw" / "*" / "rows.jsonl", tmp_path, copy_images=True)
    (tmp_path / "raw" / "2" / "a.png").write_bytes(png(1))
    folder = publish_file(tmp_path / "raw" / "*" / "rows.jsonl", tmp_path / "alike", copy_images=True)
    assert (folder / "images" / "a.png").read_bytes() == png(1)
