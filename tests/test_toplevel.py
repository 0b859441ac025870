"""A JSON file that is one object gives the rows in it, in every form that tools write, or names the keys."""

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from oresight.tasks.formats.files import read
from oresight.tasks.formats.line import Line
from oresight.tasks.formats.sources import list_files

ROWS = [{"question": "2+2?", "answer": "4"}, {"question": "3+3?", "answer": "6"}]
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def lines(file: Path, document: Any = None, split: str | None = None, **style: Any) -> list[Line]:
    if document is not None:
        file.write_text(json.dumps(document, **style))
    (listed,), _ = list_files(str(file), split)
    return list(read(listed, lambda _: None))


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize(
    "document",
    [
        {"data": ROWS},
        {"version": "1", "info": {"by": "x"}, "tags": ["a", "b"], "anything": ROWS},
        {"train": ROWS},
        {"rows": ROWS, "page": 3},
        {"features": [{"name": "question"}], "rows": [{"row_idx": i, "row": row} for i, row in enumerate(ROWS)]},
        {"question": ["2+2?", "3+3?"], "answer": ["4", "6"]},
        {"question": {"0": "2+2?", "1": "3+3?"}, "answer": {"0": "4", "1": "6"}},
        {"columns": ["question", "answer"], "index": [0, 1], "data": [["2+2?", "4"], ["3+3?", "6"]]},
    ],
)
def test_the_rows_of_an_object_are_read_with_their_position(
    tmp_path: Path, document: Any, name: str, indent: int | None
) -> None:
    got = lines(tmp_path / name, document, indent=indent)
    assert [(line.number, line.record) for line in got] == [(1, ROWS[0]), (2, ROWS[1])]
    assert [json.loads(line.text) for line in got] == ROWS


@pytest.mark.parametrize("orient", ["records", "columns", "split", "index", "table"])
def test_every_orientation_of_pandas_is_read(tmp_path: Path, orient: Any) -> None:
    pd.DataFrame(ROWS).to_json(tmp_path / "a.json", orient=orient)
    records = [line.record or {} for line in lines(tmp_path / "a.json")]
    assert [{key: record[key] for key in ROWS[0]} for record in records] == ROWS


def test_objects_by_id_keep_their_id(tmp_path: Path) -> None:
    got = lines(tmp_path / "a.json", {"17": ROWS[0], "18": ROWS[1] | {"id": "own"}})
    assert [line.record for line in got] == [{"id": "17", **ROWS[0]}, {"id": "own", **ROWS[1]}]


@pytest.mark.parametrize(
    "row",
    [
        ROWS[0],
        {"messages": TURNS},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"prompt": TURNS[:1], "completion": TURNS[1:]},
        {"messages": [{"system": "s", "input": "q", "output": "a"}]},
        {"messages": [["q", "a"], ["r", "b"]], "source": "x"},
        {"conversation": [{"human": "q", "assistant": "a"}]},
        {"dialogue": TURNS},
        {"question": "q", "answers": [{"answer": "a"}, {"answer": "b"}]},
        {"instruction": "q", "input": "", "output": "a", "history": [["x", "y"]]},
    ],
)
def test_an_object_that_is_a_row_stays_one(tmp_path: Path, row: Any) -> None:
    for indent in (None, 1):
        (line,) = lines(tmp_path / "a.json", row, indent=indent)
        assert line.record == row


def test_columns_of_conversations_are_rows(tmp_path: Path) -> None:
    for document in ({"messages": [TURNS, TURNS]}, {"conversations": [{"messages": TURNS}, {"messages": TURNS}]}):
        assert [line.record for line in lines(tmp_path / "a.json", document)] == [{"messages": TURNS}] * 2


def test_what_is_unclear_names_the_keys(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"a\.json: holds lists of objects under the keys 'images', 'annotations'; write"
    ):
        lines(tmp_path / "a.json", {"images": ROWS, "annotations": ROWS})


@pytest.mark.parametrize(
    "document",
    [{"train": ROWS[:1], "dev": ROWS[1:]}, {"1": ROWS[0] | {"split": "train"}, "2": ROWS[1] | {"split": "val"}}],
)
def test_splits_in_one_object_are_chosen(tmp_path: Path, document: Any) -> None:
    with pytest.raises(ValueError, match=r"a\.json: holds the splits train, (dev|val); set dataset\.split: train"):
        lines(tmp_path / "a.json", document)
    (line,) = lines(tmp_path / "a.json", document, "validation")
    assert line.record and line.record["question"] == "3+3?"
    assert len(lines(tmp_path / "a.json", document, "train+validation")) == 2
    with pytest.raises(ValueError, match=r"holds no split 'test', which dataset\.split asks for"):
        lines(tmp_path / "a.json", document, "test")


def test_an_item_that_is_no_object_costs_itself_only(tmp_path: Path) -> None:
    got = lines(tmp_path / "a.json", {"data": [*ROWS, 3, None]})
    assert [line.reason for line in got] == [
        "",
        "",
        "holds a number (3), not an object with fields",
        "holds null, not an object with fields",
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": 1},', "a comma follows the record; remove the commas at the ends of the lines"),
        ('{"a": 1,}', "trailing comma"),
        ("{'a': 1}", "a Python dict; write it with json.dumps"),
    ],
)
def test_what_is_nearly_json_says_what_it_is(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "a.jsonl").write_text(f"{line}\n{line}\n")
    assert all(reason in line.reason for line in lines(tmp_path / "a.jsonl"))


def test_an_archive_that_is_cut_off_after_its_first_record_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(ROWS[0]).encode() + b"\n")[:-8])
    first, last = lines(tmp_path / "a.jsonl.gz")
    assert first.record == ROWS[0] and "cut off after line 1" in last.reason
