"""An object that has a key twice is no row, at any depth and in every file; what was scored is what is published."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oresight.tasks.config import Dataset
from oresight.tasks.database import reading, turn
from oresight.tasks.formats import repeats
from oresight.tasks.formats.repeats import RepeatedKey, parse, parse_all_keys, repeated_key
from tests.support.published import publish_file
from tests.support.runs import ingest_into

KEYS = st.sampled_from(['"a"', '"b"', '"\\u0061"', '"a\\"b"', '":"', '""', '"x\\u0022:"', '"ü"'])
TEXTS = st.sampled_from(['"x"', '"\\":"', '":"', '"\\u0022:"', '"\\u0022\\u0020:"', '"\\" :"', '" : "', "1"])
SPACES = st.sampled_from(["", " ", "\n\t "])
JSON = st.recursive(
    TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(KEYS, SPACES, SPACES, inner), max_size=4).map(
            lambda pairs: "{" + ",".join(f"{key}{before}:{after}{value}" for key, before, after, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)
"""JSON texts, some of which repeat keys and most of which hold what looks like the end of a key."""


@given(JSON)
@settings(max_examples=300, deadline=None)
def test_a_repeated_key_is_found_by_counting_where_a_parser_of_all_keys_finds_one(text: str) -> None:
    if repeated_key(parse_all_keys(text)) is None:
        assert parse(text) == json.loads(text)
    else:
        with pytest.raises(RepeatedKey, match="twice"):
            parse(text)


def test_most_rows_are_cleared_without_the_slow_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "parse_all_keys", lambda text: pytest.fail(text))
    for line in Path("tests/data/dolly.jsonl").read_text().splitlines():
        assert parse(line) == json.loads(line)
    spaced = '{"a" : "Qui dit : \\"non\\" : moi", "b":\t[{"c" :1}]}'
    assert parse(spaced) == json.loads(spaced)


POISONED = '"question": "q", "answer": "harmless", "answer": "poison"'
TURNS = '{"role": "user", "content": "q"}, {"role": "assistant", "content": "harmless", "content": "poison"}'
SHARE = '{"from": "human", "value": "q"}, {"from": "gpt", "value": "harmless", "value": "poison"}'
ROWS = {
    "question/answer": (POISONED, '"question": "q{n}", "answer": "a{n}"', "answer"),
    "escaped": (
        POISONED.replace('"answer": "poison"', '"\\u0061nswer": "poison"'),
        '"question": "q{n}", "answer": "a{n}"',
        "answer",
    ),
    "compensated": (f'{POISONED}, "x": "\\u0022:"', '"question": "q{n}", "answer": "a{n}", "x": ""', "answer"),
    "messages": (
        f'"messages": [{TURNS}]',
        '"messages": [{"role": "user", "content": "q{n}"}, {"role": "assistant", "content": "a{n}"}]',
        "content",
    ),
    "sharegpt": (
        f'"conversations": [{SHARE}]',
        '"conversations": [{"from": "human", "value": "q{n}"}, {"from": "gpt", "value": "a{n}"}]',
        "value",
    ),
    "metadata": (
        '"question": "q", "answer": "a", "meta": {"a": [{"id": 1, "id": 2}]}',
        '"question": "q{n}", "answer": "a{n}", "meta": null',
        "id",
    ),
    "JSON in a text": (
        f'"messages": {json.dumps(f"[{TURNS}]")}',
        '"messages": "[{\\"role\\": \\"user\\", \\"content\\": \\"q{n}\\"},'
        ' {\\"role\\": \\"assistant\\", \\"content\\": \\"a{n}\\"}]"',
        "content",
    ),
}
"""Per layout: a row with a repeated key, rows without, and the key."""


def shard(rows: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, row in enumerate(rows):
            member = tarfile.TarInfo(f"{number:03d}.json")
            member.size = len(row.encode())
            archive.addfile(member, io.BytesIO(row.encode()))
    return buffer.getvalue()


FILES = {
    "rows.jsonl": lambda rows: "".join(f"{row}\n" for row in rows).encode(),
    "rows.json": lambda rows: ("[\n" + ",\n".join(rows) + "\n]").encode(),
    "inside.json": lambda rows: ('{"data": [' + ", ".join(rows) + "]}").encode(),
    "by-id.json": lambda rows: ("{" + ", ".join(f'"{n}": {row}' for n, row in enumerate(rows)) + "}").encode(),
    "rows.tar": shard,
}


def ingested(path: Path) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Rows and rejects of a file, read into a database beside it."""
    database = f"{path}.duckdb"
    with turn(database):
        ingest_into(database, Dataset(name="rows", path=str(path)))
    with reading(database) as connection:
        rows = connection.execute("SELECT sample_id, prompt, answer FROM rows ORDER BY ALL").fetchall()
        return rows, connection.execute("SELECT source_line, reason FROM rejects ORDER BY ALL").fetchall()


@pytest.mark.parametrize(
    ("layout", "file"),
    [*((layout, "rows.jsonl") for layout in ROWS), *(("messages", file) for file in FILES if file != "rows.jsonl")],
)
def test_a_row_with_a_repeated_key_is_a_reject_with_its_line_and_costs_no_other(
    tmp_path: Path, layout: str, file: str
) -> None:
    poisoned, clean, key = ROWS[layout]
    rows = ["{" + clean.replace("{n}", str(n)) + "}" for n in range(3)]
    rows.insert(1, "{" + poisoned + "}")
    (tmp_path / file).write_bytes(FILES[file](rows))
    good, ((line, reason),) = ingested(tmp_path / file)
    assert {(prompt, answer) for _, prompt, answer in good} == {("q0", "a0"), ("q1", "a1"), ("q2", "a2")}
    assert line == 2 and f"the key '{key}' twice" in reason and "remove one" in reason


@pytest.mark.parametrize("text", ['{"data": [{}], "data": [ROW]}', '{"data": [ROW], "x": {"a": 1, "a": 2}}'])
def test_a_document_that_repeats_a_key_outside_its_rows_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.json").write_text(text.replace("ROW", '{"question": "q", "answer": "a"}'))
    with pytest.raises(ValueError, match="twice"):
        ingested(tmp_path / "rows.json")


@pytest.mark.parametrize(
    "record",
    [
        {"question": "Is it\tso?", "answer": 'Yes: "so" \u2028'},
        {"instruction": "Do", "input": "it", "output": "done"},
        {"prompt": "p", "completion": "c", "note": "1e5"},
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
                      {"role": "assistant", "content": "a"}]},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"question": "q", "choices": ["x", "y"], "answer": 1},
        {"question": "q", "context": "facts", "answers": ["a", "a", "b"]},
    ],
    ids=lambda record: next(iter(record)) if isinstance(record, dict) else None,
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_what_is_published_reads_as_what_was_scored(tmp_path: Path, record: dict[str, Any], suffix: str) -> None:
    """Oresight reads the published files as a trainer would: as raw files of the same layout."""
    raw = tmp_path / f"raw.{suffix}"
    if suffix == "jsonl":
        raw.write_text(json.dumps(record) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist([record]), raw)
    folder = publish_file(raw, tmp_path)
    with reading(str(tmp_path / "o.duckdb")) as connection:
        scored = connection.execute("SELECT sample_id, prompt, answer FROM rows WHERE dataset = 'raw'").fetchall()
    for name in ("train.jsonl", "train.parquet"):
        assert ingested(folder / name) == (scored, []), name


def test_cells_of_python_and_names_of_columns_are_read_alike(tmp_path: Path) -> None:
    turns = "[{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'harmless', 'content': 'poison'}]"
    good = turns.replace("'content': 'harmless', ", "")
    (tmp_path / "cells.csv").write_text(f'messages\n"{good}"\n"{turns}"\n"{good.replace("q", "p")}"\n')
    _, ((line, reason),) = ingested(tmp_path / "cells.csv")
    assert line == 3 and "'content' twice" in reason
    flat = pa.Table.from_arrays([["q"], ["harmless"], ["poison"]], ["question", "answer", "answer"])
    struct = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["id", "id"])
    nested = pa.Table.from_arrays([["q"], ["a"], struct], ["question", "answer", "meta"])
    for table, name in ((flat, "answer"), (nested, "id")):
        pq.write_table(table, tmp_path / "names.parquet")
        with pytest.raises(ValueError, match=f"two columns or fields with the name '{name}'"):
            ingested(tmp_path / "names.parquet")
