"""The rows of a published folder are those that came in, whatever file they came from and whoever reads them."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import oresight.tasks.publishing.lines
from oresight.tasks.publishing.columns import CHANGES
from tests.support.published import default_file, publish_file, publish_rows, published_lines
from tests.test_publish import loaded, release, some
from tests.test_split import row, sample_id, settings

Record = dict[str, Any]


def test_the_jsonl_lines_are_the_records_that_came_in(tmp_path: Path) -> None:
    rows = [row(n, float(n), question=f'q "{n}", ü\t☃\\ \u2028', answer={"n": [n, None]}) for n in range(9)]
    done = release(settings(tmp_path, keep=0.7), rows)
    kept = sorted(rows[3:], key=lambda r: r["sample_id"])
    assert (done.folder / "train.jsonl").read_bytes() == "".join(f"{r['record']}\n" for r in kept).encode()


@pytest.mark.parametrize("formats", [["parquet", "jsonl"], ["jsonl"], ["parquet"]])
def test_the_folder_loads_as_a_dataset_with_the_columns_that_came_in(tmp_path: Path, formats: list[str]) -> None:
    config = settings(tmp_path, rows=6)
    config.publishing.formats = formats  # type: ignore[assignment]
    rows = some()
    done = release(config, rows)
    wanted = [json.loads(r["record"]) for r in sorted(rows[4:], key=lambda r: r["sample_id"])]
    assert loaded(done.folder, tmp_path / "cache") == wanted
    assert loaded(done.folder.parent / "latest", tmp_path / "cache") == wanted
    assert {f"train.{f}" for f in formats} == {f.name for f in done.folder.glob("train.*")}


EXACT = (
    '"float": 1.0, "power": 1e5, "tenth": 0.1, "long": 0.1000000000000000055511151231257827, "minus": -0, "z": {},'
    ' "big": 123456789012345678901, "list": [1, 2.50], "raw": "\u2028\u0085\U0001f600ü",'
    ' "escaped": "\\u2028\\ud83d\\ude00\\u00fc\\n\\/", "a": "b"'
)
BROKEN = EXACT.replace(", ", ",\r\n\t").replace("[", "[\n\n ").replace("{}", "{\n }")


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_record_of_many_lines_is_published_as_one_and_its_texts_and_numbers_are_not_touched(
    tmp_path: Path, line_end: str
) -> None:
    items = [f'  {{"instruction": "do {n}",\n"output": "done",\n {BROKEN}\n}}' for n in range(3)]
    (tmp_path / "raw.json").write_text(("[\n" + ",\n".join(items) + "\n]\n").replace("\n", line_end), newline="")
    lines = (publish_file(tmp_path / "raw.json", tmp_path) / "train.jsonl").read_bytes().decode()
    assert "\r" not in lines and lines.count("\n") == 3
    tokens = EXACT.replace(", ", ",")
    expected = {f'{{"instruction": "do {n}","output": "done",{tokens}}}' for n in range(3)}
    assert set(lines.strip("\n").split("\n")) == expected


def test_an_indented_llava_file_gives_a_list_and_lines(tmp_path: Path, shared: Path) -> None:
    raw = shared / "cases" / "02-pretty-llava.json"
    folder = publish_file(raw, tmp_path)
    rows = json.loads((folder / "train.json").read_text())
    assert sorted(rows, key=str) == sorted(json.loads(raw.read_text()), key=str)
    assert [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()] == rows


def test_a_folder_loads_its_own_rows_although_the_cache_holds_those_of_its_namesake(tmp_path: Path) -> None:
    config = settings(tmp_path, keep=0.8)
    latest = release(config, some()).folder.parent / "latest"
    assert len(loaded(latest, tmp_path / "cache")) == 8
    release(settings(tmp_path, keep=0.5))
    assert len(loaded(latest, tmp_path / "cache")) == 5


@pytest.mark.parametrize("formats", [["parquet", "jsonl"], ["jsonl"], ["parquet"]])
def test_indented_rows_with_data_urls_are_published_with_them(tmp_path: Path, shared: Path, formats: list[str]) -> None:
    raw = shared / "cases" / "03-pretty-data-url.json"
    folder = publish_file(raw, tmp_path, formats=formats)
    rows = loaded(folder, tmp_path / "cache")
    if formats == ["parquet"]:  # some contents are texts and some are lists
        rows = [row | {"messages": json.loads(row["messages"])} for row in rows]
    assert sorted(rows, key=str) == sorted(json.loads(raw.read_text()), key=str)
    assert not (folder / "images").exists()


def without_nulls(value: Any) -> Any:
    """A value without the keys that are null."""
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


def test_fields_of_one_shape_survive_in_parquet(tmp_path: Path) -> None:
    """Each with the type of its values, and texts that look like something else as texts."""
    columns: dict[str, tuple[str, list[Any]]] = {
        "question": ("string", ["2020-01-01", "12:30", "null"]),
        "answer": ("string", ["ü☃😀\u2028", "1", "{}"]),
        "nothing": ("string", [None, None, None]),
        "nested": ("list<element: list<element: int64>>", [[[1, 2], [3], []], [], None]),
        "count": ("int64", [3, 4, None]),
        "share": ("double", [1.5, 2, 0.1]),
        "yes": ("bool", [True, False, None]),
        "empty": ("list<element: string>", [[], [], None]),
        "late": ("list<element: string>", [None, [], ["a"]]),
        "unsigned": ("uint64", [2**64 - 1, 1, None]),
        "fixed": ("struct<k: string, a.b*: struct<z: int64>>", [{"k": k, "a.b*": {"z": 1}} for k in ("v", "", None)]),
        "": ("int64", [1, 2, 3]),
        'a "b"\\.c': ("int64", [1, 2, 3]),
        "Answer": ("string", ["differs", "in", "case"]),
    }
    records = [{name: values[n] for name, (_, values) in columns.items()} for n in range(3)]
    folder = release(settings(tmp_path), [row(n, **record) for n, record in enumerate(records)]).folder
    assert loaded(folder, tmp_path / "cache") == [records[n] for n in sorted(range(3), key=sample_id)]
    types = {field.name: str(field.type) for field in pq.read_schema(folder / "train.parquet")}
    assert types == {name: data_type for name, (data_type, _) in columns.items()}
    assert "differ in train.parquet" not in (folder / "README.md").read_text()


@pytest.mark.parametrize("rows_a_batch", [1, 1000])
def test_values_of_several_types_become_texts_and_the_card_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_a_batch: int
) -> None:
    columns: dict[str, tuple[list[Any], list[Any]]] = {
        "words": ([1, "x", None], ["1", "x", None]),
        "flags": ([1.5, True, 1], ["1.5", "true", "1"]),
        "flags in lists": ([[1.5, True], [1], None], ["[1.5, true]", "[1]", None]),
        "flags in objects": ([{"k": 1.5}, {"k": None}, {"k": False}], ['{"k": 1.5}', '{"k": null}', '{"k": false}']),
        "huge": ([2**70, -1, None], ["1180591620717411303424", "-1", None]),
        "beyond unsigned": ([2**63, -1, None], ["9223372036854775808", "-1", None]),
        "beyond double": ([2**60 + 1, 0.5, None], ["1152921504606846977", "0.5", None]),
        "parts": (["ü", ["ü", 1], {"k": None}], ["ü", '["ü", 1]', '{"k": null}']),
        "list": ([[1, "a"], [], None], ['[1, "a"]', "[]", None]),
        "object": ([{"k": 1}, {"k": "x"}, {}], ['{"k": 1}', '{"k": "x"}', "{}"]),
        "no keys": ([{}, {}, None], ["{}", "{}", None]),
        "many keys": ([{f"{n}.{i}": i for i in range(99)} for n in range(3)], []),
        "deep": ([json.loads("[" * 60 + "]" * 60)] * 3, ["[" * 60 + "]" * 60] * 3),
    }
    columns["many keys"] = (columns["many keys"][0], [json.dumps(value) for value in columns["many keys"][0]])
    rows = [
        {"question": f"q{n}", "answer": "a"} | {k: values[n] for k, (values, _) in columns.items()} for n in range(3)
    ]
    monkeypatch.setattr(oresight.tasks.publishing.lines, "BATCH_ROWS", rows_a_batch)
    folder = publish_rows(rows, tmp_path)
    table = sorted(pq.read_table(folder / "train.parquet").to_pylist(), key=lambda row: row["question"])
    assert {name: [row[name] for row in table] for name in columns} == {k: texts for k, (_, texts) in columns.items()}
    assert default_file(folder) == "train.parquet"
    card = (folder / "README.md").read_text()
    for name in columns:
        is_scalar = name in ("words", "flags", "huge", "beyond unsigned", "beyond double")
        assert f"| {name} | {CHANGES['text' if is_scalar else 'json']} |" in card
    assert sorted(published_lines(folder), key=lambda row: row["question"]) == rows


def test_columns_that_differ_in_case_only_are_both_published(tmp_path: Path) -> None:
    rows = [{"question": f"q{n}", "answer": "a", "ID": n, "id": f"x{n}"} for n in range(3)]
    folder = publish_rows(rows, tmp_path)
    assert sorted(loaded(folder, tmp_path / "cache"), key=str) == rows
    assert sorted(pq.read_table(folder / "train.parquet").to_pylist(), key=str) == rows


def talk(n: int, *turns: Record, **more: Any) -> Record:
    return {"messages": [{"role": "user", "content": f"q{n}"}, *turns, {"role": "assistant", "content": "a"}], **more}


def date(role: str, n: int, **more: Any) -> Record:
    return {"role": role, "content": f"2020-01-0{n + 1}", **more}


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}
RESULT = {"role": "tool", "content": "18", "tool_call_id": "c"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "t"}]}


@pytest.mark.parametrize(
    ("rows", "file"),
    [
        # A turn without a key must not get it as null: chat templates print nulls.
        ([talk(n, CALL, RESULT) for n in range(3)], "train.jsonl"),
        ([talk(n, tools=[{"name": "f", "parameters": {f"p{n}": "string"}}]) for n in range(3)], "train.jsonl"),
        # Turns as JSON text are no turns.
        ([talk(n, PARTS) for n in range(3)], "train.jsonl"),
        ([talk(n, {**CALL, "tool_calls": [{"function": {"arguments": {}}}]}) for n in range(3)], "train.jsonl"),
        # Not every release of `datasets` would load the lines, or load texts as texts.
        ([talk(n, CALL, RESULT, id=["x", 1][n % 2]) for n in range(3)], "train.parquet"),
        ([{"messages": [date("user", n), date("assistant", n, weight=1)]} for n in range(3)], "train.parquet"),
        # Nobody trains on metadata.
        ([talk(n, about={f"k{n}": 1}) for n in range(3)], "train.parquet"),
        ([talk(n, about=["x", ["x"]][n % 2]) for n in range(3)], "train.parquet"),
        ([talk(n) for n in range(3)], "train.parquet"),
    ],
)  # fmt: skip
def test_the_card_names_the_file_that_gives_a_trainer_the_rows_that_came_in(
    tmp_path: Path, rows: list[Record], file: str
) -> None:
    folder = publish_rows(rows, tmp_path)
    assert default_file(folder) == file
    read = loaded(folder, tmp_path / "cache")
    if file == "train.jsonl":
        assert read == published_lines(folder)
    assert sorted((without_nulls(row["messages"]) for row in read), key=str) == sorted(
        (without_nulls(row["messages"]) for row in rows), key=str
    )


def test_lines_are_not_the_default_where_a_piece_that_datasets_reads_at_a_time_has_other_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [talk(n, *([CALL] if n == 7 else [])) for n in range(9)]
    assert default_file(publish_rows(rows, tmp_path)) == "train.jsonl"
    monkeypatch.setattr(oresight.tasks.publishing.lines, "PIECE", 100)
    (tmp_path / "small").mkdir()
    assert default_file(publish_rows(rows, tmp_path / "small")) == "train.parquet"
