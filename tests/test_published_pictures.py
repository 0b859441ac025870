"""Pictures that came inside rows are published so that all read them, whatever rows stand beside theirs."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import oresight.tasks.publishing.lines
from tests.support.published import default_file, png, publish_file, published_lines, qa
from tests.test_publish import loaded

Record = dict[str, Any]


def by_question(rows: list[Record]) -> list[Record]:
    return sorted(rows, key=lambda row: str(row["question"]))


@pytest.mark.parametrize("rows_a_batch", [1, 1000])
def test_pictures_in_some_rows_load_as_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_a_batch: int
) -> None:
    monkeypatch.setattr(oresight.tasks.publishing.lines, "BATCH_ROWS", rows_a_batch)
    rows = [qa(n, image={"bytes": png(n), "path": None} if n % 4 == 3 else None, tags=["x"]) for n in range(8)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "raw.parquet")
    folder = publish_file(tmp_path / "raw.parquet", tmp_path)
    pictures = [row["image"] for row in by_question(loaded(folder, tmp_path / "cache"))]
    assert [picture and picture.size for picture in pictures] == [(8 + n, 6) if n % 4 == 3 else None for n in range(8)]
    names = [row["image"] and row["image"]["path"] for row in by_question(published_lines(folder))]
    files = [name and (folder / name).read_bytes() for name in names]
    assert files == [png(n) if n % 4 == 3 else None for n in range(8)]


def test_a_column_of_texts_beside_pictures_copies_no_pictures(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist([qa(n, image={"bytes": png(n), "path": None}, about="x") for n in range(3)])
    raw = tmp_path / "raw"
    raw.mkdir()
    pq.write_table(rows, raw / "a.parquet")
    (raw / "b.jsonl").write_text(json.dumps(qa(3, about=1)) + "\n")
    folder = publish_file(raw, tmp_path, formats=["parquet"])
    assert sorted(pq.read_table(folder / "train.parquet")["about"].to_pylist()) == ["1", "x", "x", "x"]
    assert not (folder / "images").exists()


def test_pictures_of_a_column_that_is_not_read_are_named_with_a_setting_that_publishes_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [qa(n, image={"bytes": png(n), "path": None}, mask={"bytes": png(n + 9), "path": None}) for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "raw.parquet")
    publish_file(tmp_path / "raw.parquet", tmp_path)
    assert "raw: pictures in mask are not read, and published rows hold only their SHA-256" in caplog.text
    caplog.clear()
    (tmp_path / "both").mkdir()
    both = {"image": ["image", "mask"]}
    folder = publish_file(tmp_path / "raw.parquet", tmp_path / "both", columns=both)
    assert "are not read" not in caplog.text
    assert [row["mask"].size for row in by_question(loaded(folder, tmp_path / "cache"))] == [
        (17 + n, 6) for n in range(3)
    ]


def test_lists_of_pictures_load_as_pictures(tmp_path: Path) -> None:
    rows = [qa(n, images=[{"bytes": png(m), "path": "p"} for m in (n, n + 9)]) for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "raw.parquet")
    folder = publish_file(tmp_path / "raw.parquet", tmp_path)
    for n, row in enumerate(by_question(loaded(folder, tmp_path / "cache"))):
        assert [picture.size for picture in row["images"]] == [(8 + n, 6), (17 + n, 6)]
    for n, row in enumerate(by_question(published_lines(folder))):
        assert [(folder / image["path"]).read_bytes() for image in row["images"]] == [png(n), png(n + 9)]


@pytest.mark.parametrize("as_object", [True, False])
@pytest.mark.parametrize("formats", [["parquet", "jsonl"], ["parquet"]])
def test_pictures_inside_rows_beside_paths_become_names_of_files(
    tmp_path: Path, as_object: bool, formats: list[str]
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "3.png").write_bytes(png(3))
    rows = [qa(n, image={"bytes": png(n), "path": "a.png"} if as_object else png(n)) for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), raw / "a.parquet")
    (raw / "b.jsonl").write_text(json.dumps(qa(3, image="3.png")) + "\n")
    folder = publish_file(raw, tmp_path, formats=formats)
    *images, path = [row["image"] for row in by_question(pq.read_table(folder / "train.parquet").to_pylist())]
    assert path == "3.png"
    for n, image in enumerate(images):
        assert (folder / (json.loads(image)["path"] if as_object else image)).read_bytes() == png(n)
    assert default_file(folder) == ("train.jsonl" if as_object and "jsonl" in formats else "train.parquet")
