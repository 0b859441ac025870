"""A folder is read as its makers meant it: splits apart, the hub's card first, questions with their annotations."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from oresight.tasks.formats.files import read
from oresight.tasks.formats.sources import list_files
from oresight.tasks.formats.splits import split_of

ROW = {"prompt": "a", "completion": "b"}


def write(path: Path, content: Any = ROW) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([content]), path)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def names(path: Path, split: str | None = None) -> list[str]:
    return [str(Path(file.path).relative_to(path)) for file in list_files(str(path), split)[0]]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.jsonl", "train"), ("my_train.csv", "train"), ("TRAIN.json", "TRAIN"),
        ("data-training-1.jsonl", "training"),
        ("train2014.json", "train"), ("train-00001-of-00003.parquet", "train"), ("valid.jsonl", "valid"),
        ("val.json", "val"),
        ("dev.tsv", "dev"), ("gsm8k.test.jsonl.gz", "test"), ("train_sft-00000-of-00002.parquet", "train_sft"),
        ("rows.jsonl", None), ("latest.jsonl", None), ("training_and_test.jsonl", None), ("devices.json", None),
        ("trained.csv", None), ("contest.csv", None),
    ],
)  # fmt: skip
def test_a_name_tells_its_split(name: str, split: str | None) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(
    "files",
    [
        ("train.jsonl", "valid.jsonl", "test.jsonl"),
        ("rows-train.csv", "rows-val.csv"),
        ("train/0.jsonl", "train/1.jsonl", "dev/0.jsonl"),
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("train_sft-00000-of-00001.parquet", "train_gen-00000-of-00001.parquet"),
    ],
)
def test_splits_are_merged_on_request_only(tmp_path: Path, files: tuple[str, ...]) -> None:
    for file in files:
        write(tmp_path / file)
    for path in (tmp_path, *([tmp_path / "*.*"] if "/" not in files[0] else [])):
        with pytest.raises(ValueError, match=r": holds the splits .*; set reference\.split: ") as raised:
            list_files(str(path), None, "reference.split")
        advised = str(raised.value).split("reference.split: ")
        single, every = advised[1].split(",")[0], advised[2].split()[0]
        assert 0 < len(list_files(str(path), single)[0]) < len(files)
        assert len(list_files(str(path), every)[0]) == len(files)


def test_a_split_may_be_spelled_in_any_way_but_must_be_there(tmp_path: Path) -> None:
    for name in ("train.jsonl", "valid.jsonl", "notes.jsonl"):
        write(tmp_path / name)
    assert names(tmp_path, "validation") == names(tmp_path, "dev") == ["valid.jsonl"]
    with pytest.raises(ValueError, match=r"holds no split 'test', which dataset.split asks for; .* are train, valid"):
        names(tmp_path, "test")
    assert names(tmp_path / "train.jsonl", "train") == ["."]
    with pytest.raises(ValueError, match="holds no split 'train'"):
        names(tmp_path / "valid.jsonl", "train")
    with pytest.raises(ValueError, match=r"is one file without splits; leave out dataset\.split"):
        names(write(tmp_path / "rows.csv", "prompt,completion\n1,2\n"), "train")
    with pytest.raises(ValueError, match=r"holds no splits; leave out dataset\.split"):
        (file,) = list_files(str(tmp_path / "notes.jsonl"), "train")[0]
        list(read(file, lambda _: None))


def test_files_of_one_split_and_files_of_none_are_read_together(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl", "train.jsonl", "train-2.jsonl"):
        write(tmp_path / name)
    assert len(names(tmp_path)) == 4


CARD = """---
license: mit
configs:
{configs}
---
# A card
"""


def card(**configs: str) -> str:
    return CARD.format(configs="\n".join(f"- config_name: {name}\n{text}" for name, text in configs.items()))


def test_the_card_says_which_files_are_data(tmp_path: Path) -> None:
    for name in ("parts/a-1.parquet", "parts/a-2.parquet", "parts/b.parquet", "stats.json", "outside.parquet"):
        write(tmp_path / "hub" / name)
    splits = (
        "  data_files:\n  - split: train\n    path: parts/a-*\n  - {split: extra, path: [parts/b.parquet, /x, ../*]}"
    )
    write(tmp_path / "hub" / "README.md", card(default=splits, other="  data_files: stats.json"))
    with pytest.raises(ValueError, match="holds the splits train, extra"):
        names(tmp_path / "hub")
    assert names(tmp_path / "hub", "train") == ["parts/a-1.parquet", "parts/a-2.parquet"]
    assert names(tmp_path / "hub", "extra") == ["parts/b.parquet"]


def test_a_card_of_several_configurations_names_files_that_can_be_given(tmp_path: Path) -> None:
    write(tmp_path / "en" / "rows.jsonl")
    write(tmp_path / "fr" / "rows.jsonl")
    write(tmp_path / "README.md", card(en="  data_files: en/*.jsonl", fr="  data_files: fr/*.jsonl"))
    with pytest.raises(ValueError, match="its card names the configurations en, fr; give") as raised:
        names(tmp_path)
    assert list_files(str(raised.value).split("for instance ")[1])[0]


@pytest.mark.parametrize(
    "text", ["", "# no head", "---\n---\n", "---\nconfigs: [\n---\n", "---\nconfigs:\n- data_files: x/*\n---"]
)
def test_without_a_useful_card_the_data_folder_is_read(tmp_path: Path, text: str) -> None:
    write(tmp_path / "README.md", text)
    write(tmp_path / "dataset_infos.json", {"default": {}})
    write(tmp_path / "data" / "train-00000-of-00001.parquet")
    assert names(tmp_path) == ["data/train-00000-of-00001.parquet"]


def test_the_hubs_cache_is_read_through_its_newest_snapshot(tmp_path: Path) -> None:
    for commit in ("old", "new"):
        write(tmp_path / "snapshots" / commit / "data" / "train.jsonl")
    write(tmp_path / "refs" / "main", "new\n")
    assert names(tmp_path) == ["snapshots/new/data/train.jsonl"]


def test_missing_shards_are_remarked(tmp_path: Path) -> None:
    for number in (0, 2):
        write(tmp_path / f"train-0000{number}-of-00003.parquet")
    assert [file.remark for file in list_files(str(tmp_path))[0]] == ["is one of 3 shards, of which 2 are there", ""]
    write(tmp_path / "train-00001-of-00003.parquet")
    assert not any(file.remark for file in list_files(str(tmp_path))[0])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "a.jsonl",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "a Git LFS pointer.*git lfs pull",
        ),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        ("a.json.gz", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        ("a.json", b"\n<!DOCTYPE HTML><html>", "a web page"),
        ("a.csv", b"PK\x03\x04rest", "a zip archive or a workbook.*save the sheet as CSV"),
        ("a.jsonl", gzip.compress(b"{}", mtime=0), "compressed by gzip; add .gz"),
        ("a.tsv", pa.compress(b"{}", "zstd", asbytes=True), "compressed by zstd; add .zst"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(ValueError, match=f"{name}: is {reason}"):
            list_files(str(path))


def vqa(folder: Path, split: str) -> None:
    """The files of VQAv2 for one split, with one question more than annotations."""
    questions = [{"image_id": 9, "question": f"{split} {n}?", "question_id": 9000 + n} for n in range(3)]
    annotations = [{"image_id": 9, "question_id": 9000 + n, "multiple_choice_answer": str(n)} for n in (1, 0)]
    about = {"info": {}, "license": {"name": "x"}, "data_subtype": split}
    write(folder / f"v2_OpenEnded_mscoco_{split}_questions.json", about | {"questions": questions})
    write(folder / f"v2_mscoco_{split}_annotations.json", about | {"annotations": annotations})
    Image.new("RGB", (8, 8)).save(folder / f"COCO_{split}_000000000009.jpg")


def test_questions_are_read_with_their_annotations(tmp_path: Path) -> None:
    vqa(tmp_path, "train2014")
    vqa(tmp_path, "val2014")
    with pytest.raises(ValueError, match="holds the splits train, val"):
        list_files(str(tmp_path))
    (file,), others = list_files(str(tmp_path), "val")
    assert not others and file.answers and "val2014_annotations" in file.answers.path
    told: list[int] = []
    records = [line.record or {} for line in read(file, told.append)]
    assert [(record["question"], record.get("multiple_choice_answer")) for record in records] == [
        ("val2014 0?", "0"), ("val2014 1?", "1"), ("val2014 2?", None)
    ]  # fmt: skip
    assert {record["image"] for record in records} == {"COCO_val2014_000000000009.jpg"}
    assert sum(told) == file.bytes + file.answers.bytes


def test_what_is_wrong_with_annotations_is_told(tmp_path: Path) -> None:
    write(tmp_path / "questions.jsonl", '{"question_id": "1", "question": "a?"}\n{"question": "b?"}\n')
    write(tmp_path / "annotations.jsonl", '{"question_id": 1, "answer": "x"}\n{"answer": "y"}\nno\n')
    ((file,), _) = list_files(str(tmp_path))
    got = list(read(file, lambda _: None))
    assert [(line.number, line.record and line.record.get("answer")) for line in got] == [
        (3, None),
        (1, "x"),
        (2, None),
    ]
    write(tmp_path / "annotations.jsonl", '{"answer": "y"}\n')
    with pytest.raises(ValueError, match=r"annotations\.jsonl: no record has a question_id"):
        list(read(list_files(str(tmp_path))[0][0], lambda _: None))
    write(tmp_path / "tables" / "questions.parquet")
    write(tmp_path / "tables" / "annotations.parquet")
    assert len(list_files(str(tmp_path / "tables"))[0]) == 2


@pytest.mark.parametrize("held", ["questions", "annotations"])
def test_one_of_both_files_names_the_other(tmp_path: Path, held: str) -> None:
    vqa(tmp_path, "train2014")
    (path,) = tmp_path.glob(f"*{held}.json")
    (file,), _ = list_files(str(path))
    with pytest.raises(ValueError, match=f"holds {held} without the .* that belong to them; give the folder"):
        list(read(file, lambda _: None))
