"""Every kind of file gives its records with their place; what cannot be read costs itself only and says why."""

import datetime
import decimal
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oresight.tasks.formats.files import read
from oresight.tasks.formats.line import Line
from oresight.tasks.formats.sources import list_files

GOOD = '{"prompt": "2+2?", "completion": "4"}'


def lines(path: Path) -> list[Line]:
    files, _ = list_files(str(path))
    return [line for file in files for line in read(file, lambda _: None)]


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "numbers"),
    [
        ("a.jsonl", f"{GOOD}\n\n  \n{GOOD}\n", [1, 4]),
        ("a.jsonl", f"\ufeff{GOOD}\r\n{GOOD}", [1, 2]),
        ("a.ndjson", GOOD, [1]),
        ("a.json", f"{GOOD}\n\n{GOOD}\n", [1, 3]),
        ("a.json", f"[{GOOD},\n{GOOD}]", [1, 2]),
        ("a.json", f"\ufeff[\n {GOOD}\n ,{GOOD}\n]\n", [1, 2]),
        ("a.jsonl", f"[{GOOD},{GOOD}]", [1, 2]),
        ("a.json", GOOD, [1]),
        ("a.json", f"{GOOD}{GOOD} {GOOD}", [1, 2, 3]),
        ("a.json", "\n".join(json.dumps(json.loads(GOOD), indent=2) for _ in range(3)), [1, 2, 3]),
        ("a.jsonl", "\n".join(json.dumps(json.loads(GOOD), indent=2) for _ in range(3)), [1, 2, 3]),
        ("a.csv", 'prompt,completion\n2+2?,4\n\n"2+2?",4\n', [2, 4]),
        ("a.csv", "\ufeffprompt;completion\r\n2+2?;4\r\n", [2]),
        ("a.tsv", "prompt\tcompletion\n2+2?\t4\n", [2]),
    ],
)
@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
def test_text_files_give_records_with_their_line_or_position(
    tmp_path: Path, name: str, content: str, numbers: list[int], packed: str
) -> None:
    codec = {"": bytes, ".gz": gzip.compress, ".zst": lambda data: pa.compress(data, "zstd", asbytes=True)}[packed]
    got = lines(written(tmp_path / (name + packed), codec(content.encode())))
    assert [(line.number, line.record, line.reason) for line in got] == [(n, json.loads(GOOD), "") for n in numbers]
    assert all(json.loads(line.text) == json.loads(GOOD) for line in got)


@pytest.mark.parametrize(
    ("name", "content", "number", "reason"),
    [
        ("a.jsonl", b'{"a": 1\n', 2, "is not JSON: .* \\(column 8\\)"),
        ("a.jsonl", b'{"a": "\xff"}\n', 2, "is not UTF-8 \\(byte 8 of the line\\)"),
        ("a.jsonl", b'{"a": "\x00"}\n', 2, "is not JSON: unexpected control character"),
        ("a.jsonl", b'{"a": "\\ud800"}\n', 2, "is not JSON: no low surrogate"),
        ("a.jsonl", b'{"a": NaN}\n', 2, "is not JSON"),
        ("a.jsonl", b'["a"]\n', 2, "holds a list, not an object"),
        ("a.jsonl", b"null\n", 2, "holds null, not an object"),
        ("a.jsonl", b'{"a": 1} {"a": 2}\n', 2, "is not JSON"),
        ("a.csv", b'x,"y\n\n', 2, "is not CSV \\(lines 2 to 3\\): unexpected end of data"),
        ("a.csv", b'x,"y"z\n', 2, "is not CSV"),
        ("a.csv", b"x\n", 2, "has 1 fields where the header has 2"),
        ("a.csv", b"x,y,z\n", 2, "has 3 fields where the header has 2"),
        ("a.csv", b"x,\xff\n", 2, "is not UTF-8"),
    ],
)
def test_a_line_that_cannot_be_read_keeps_its_number_and_its_reason(
    tmp_path: Path, name: str, content: bytes, number: int, reason: str
) -> None:
    first = b"a,b\n" if name.endswith("csv") else b'{"a": 0}\n'
    (bad,) = [line for line in lines(written(tmp_path / name, first + content)) if line.record is None]
    assert bad.number == number
    assert re.match(reason, bad.reason)


def test_lines_after_a_bad_one_are_read(tmp_path: Path) -> None:
    got = lines(written(tmp_path / "a.jsonl", f"{GOOD}\nnot json\n{GOOD}\n"))
    assert [line.reason == "" for line in got] == [True, False, True]
    got = lines(written(tmp_path / "a.csv", 'p,q\n1,2\n"3"x,4\n"5\n6",7\n8,9\n'))
    assert [(line.number, line.reason == "") for line in got] == [(2, True), (3, False), (4, True), (6, True)]


def test_an_item_of_a_list_that_is_bad_costs_itself_only(tmp_path: Path) -> None:
    bad = b'{"a": "\\ud800"}, {"a": "\xff"}, 3, {"a": NaN}, {"a": "\x01"}, {"a": 123456789012345678901234567890}'
    got = lines(written(tmp_path / "a.json", b"[" + GOOD.encode() + b", " + bad + b", " + GOOD.encode() + b"]"))
    assert [line.number for line in got] == list(range(1, 9))
    assert [line.record is not None for line in got] == [True, False, False, False, False, False, True, True]
    assert got[2].reason == "is not UTF-8"


def test_a_list_that_breaks_or_is_cut_off_gives_what_came_before(tmp_path: Path) -> None:
    for end, reason in [
        (b', {"a" 1}, {"a": 2}]', "rest of the file is not read"),
        (b', {"a": 1', "rest of the file is not read"),
        (b"", "cut off"),
        (b"] x", "ends before"),
    ]:
        got = lines(written(tmp_path / "a.json", b"[" + GOOD.encode() + end))
        assert [line.record is None for line in got] == [False, True]
        assert reason in got[1].reason and got[1].number == 2


def test_items_longer_than_what_is_read_at_once_are_whole(tmp_path: Path) -> None:
    long = {"prompt": "é" * 2_000_000, "completion": "\\" * 300_001}
    for name, content in [("a.json", json.dumps([long, long])), ("a.jsonl", json.dumps(long, ensure_ascii=False))]:
        assert all(line.record == long for line in lines(written(tmp_path / name, content)))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_cut_off_archive_gives_the_rows_so_far_and_says_so(tmp_path: Path, suffix: str) -> None:
    content = "".join(
        json.dumps({"prompt": f"{n * 7919}?", "completion": str(n**9)}) + "\n" for n in range(30_000)
    ).encode()
    packed = gzip.compress(content) if suffix == ".gz" else pa.compress(content, "zstd", asbytes=True)
    *good, last = lines(written(tmp_path / f"a.jsonl{suffix}", packed[: len(packed) * 2 // 3]))
    assert len(good) > 10_000 and not any(line.reason for line in good)
    assert f"cut off after line {len(good)}" in last.reason and last.number == len(good) + 1
    (only,) = lines(written(tmp_path / f"b.jsonl{suffix}", b"no archive"))
    assert "from its beginning" in only.reason


def test_tables_keep_what_json_does_not_know_as_text(tmp_path: Path) -> None:
    table = pa.table(
        {"prompt": ["p"], "day": [datetime.date(2024, 2, 29)], "price": [decimal.Decimal("1.50")], "raw": [b"\xff"]}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    (line,) = lines(tmp_path / "a.parquet")
    assert json.loads(line.text) == {"prompt": "p", "day": "2024-02-29", "price": "1.50", "raw": "/w=="}


def test_a_damaged_table_says_so(tmp_path: Path) -> None:
    (line,) = lines(written(tmp_path / "a.parquet", b"PAR1 nothing"))
    assert line.number is None and "damaged" in line.reason


def test_a_text_of_a_table_that_is_not_utf8_costs_its_row_only(tmp_path: Path) -> None:
    texts = pa.array([b"good", b"\xff", b"good"]).view(pa.string())
    pq.write_table(pa.table({"prompt": texts}), tmp_path / "a.parquet")
    assert [(line.number, line.reason) for line in lines(tmp_path / "a.parquet")] == [
        (1, ""),
        (2, "is not UTF-8"),
        (3, ""),
    ]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, 2**61], pa.timestamp("us")),
        pa.array([0, -(2**62)], pa.timestamp("ms")),
        pa.array([0, 2**31 - 1], pa.date32()),
        pa.array([0, 2**62], pa.duration("s")),
        pa.StructArray.from_arrays([pa.array([0, 2**61], pa.timestamp("us"))], ["inner"]),
    ],
    ids=lambda values: str(values.type),
)
def test_a_value_of_a_table_that_python_has_not_costs_its_row_only(tmp_path: Path, values: pa.Array) -> None:
    pq.write_table(pa.table({"a": ["x", "y"], "b": values}), tmp_path / "a.parquet", coerce_timestamps=None)
    first, second = lines(tmp_path / "a.parquet")
    assert first.record is not None and first.record["a"] == "x"
    assert second.record is None and second.reason.startswith("holds a value that cannot be read (")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_row_with_a_million_columns_costs_itself_only(tmp_path: Path, name: str) -> None:
    columns = [f"c{i}" for i in range(1_000_000)]
    wide = json.dumps(dict.fromkeys(columns, 1))
    text = {"a.jsonl": f'{{"a": 1}}\n{wide}\n', "a.json": f'[{{"a": 1}}, {wide}]'}
    (tmp_path / name).write_text(text.get(name) or ",".join(columns) + "\n" + ",".join("1" * len(columns)) + "\n")
    *before, last = lines(tmp_path / name)
    assert [line.record for line in before] == [{"a": 1}] * (name != "a.csv")
    assert (last.record, last.reason) == (None, "has 1,000,000 columns; at most 100,000 are read")


def test_folders_and_globs_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.csv", "README.md", ".hidden.jsonl"):
        written(tmp_path / name, "x\n1\n" if name == "a.csv" else GOOD)
    files, others = list_files(str(tmp_path))
    assert [Path(file.path).name for file in files] == ["a.csv", "b.jsonl"]
    assert others == [str(tmp_path / "README.md")]
    assert [Path(file.path).name for file in list_files(str(tmp_path / "*.jsonl"))[0]] == ["b.jsonl"]
    strange = written(tmp_path / "[1].jsonl", GOOD)
    assert [file.path for file in list_files(str(strange))[0]] == [str(strange)]


def test_arrow_folders_are_read_and_several_splits_are_named(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([json.loads(GOOD)] * 3)
    rows.save_to_disk(str(tmp_path / "one"))
    assert [(line.number, line.record) for line in lines(tmp_path / "one")] == [
        (n, json.loads(GOOD)) for n in (1, 2, 3)
    ]
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(str(tmp_path / "two"))
    with pytest.raises(ValueError, match=r"two: holds the splits train, test; set dataset.split: train"):
        list_files(str(tmp_path / "two"))
    assert [Path(file.path).name for file in list_files(str(tmp_path / "two"), "test")[0]] == ["test"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.jsonl", "no such file"),
        ("*.parquet", "no such file"),
        ("README.md", "a type that is not read"),
        ("sub", "nothing to read"),
    ],
)
def test_a_path_that_leads_to_nothing_says_what_would_work(tmp_path: Path, name: str, reason: str) -> None:
    written(tmp_path / "README.md", "text")
    (tmp_path / "sub").mkdir()
    with pytest.raises(ValueError, match=f"{reason}.*; give"):
        list_files(str(tmp_path / name))


def test_the_hub_without_a_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"hf:a/b: cannot be read from the hub .*; download it"):
        list_files("hf:a/b")


def test_progress_adds_up_to_the_size(tmp_path: Path) -> None:
    told: list[Any] = []
    path = written(tmp_path / "a.jsonl", f"{GOOD}\n" * 1000)
    (file,), _ = list_files(str(path))
    assert len(list(read(file, told.append))) == 1000
    assert sum(told) == file.bytes == path.stat().st_size
