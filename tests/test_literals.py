"""Lists and objects in the cells of CSV files: as JSON, and as Python, numpy and pandas write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oresight.tasks.config import Dataset
from oresight.tasks.database import reading, turn
from oresight.tasks.formats.literals import structure_in
from tests.support.runs import ingest_into

LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text("ab'\"", max_size=3), v))


@settings(deadline=None)
@given(st.lists(VALUES, max_size=4) | st.dictionaries(st.text("xyz' ", max_size=3), VALUES, max_size=4))
def test_a_list_or_an_object_is_read_as_json_and_as_python_writes_it(value: Any) -> None:
    assert structure_in(json.dumps(value)) == structure_in(repr(value)) == value


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-99, 99), min_size=1, max_size=9))
def test_items_of_an_array_are_not_joined(items: list[Any]) -> None:
    array = np.array(items, dtype=object)
    assert structure_in(str(array)) == items
    assert structure_in(str({"text": array})) == {"text": items}
    assert structure_in(str(np.array([{"a": item} for item in items]))) == [{"a": item} for item in items]


@pytest.mark.parametrize(
    "text",
    ["", "[", "[1, 2", "it's", "{a: 1}", "{1, 2}", "[f()]", "[__import__('os')]", "[1 if 1 else 2]", "['a' ... 'b']",
     "[b'x']", "(1, 2)", "'text'", "12", "[" * 100_000 + "]" * 100_000, "['" + "a" * 2_000_000 + "']", "[x for x in y]",
     "['\ud800']"],
    ids=lambda text: text[:20].encode("ascii", "replace").decode(),
)  # fmt: skip
def test_other_texts_are_no_structure(text: str) -> None:
    assert structure_in(text) is None


TURNS = [{"role": "user", "content": 'It\'s a\n"b"?'}, {"role": "assistant", "content": "yes"}]
CELLS: dict[str, tuple[dict[str, Any], str, str]] = {
    "messages": ({"messages": TURNS}, TURNS[0]["content"], "yes"),
    "choices": ({"question": "q", "choices": ["a cat", "a dog"], "answer": "a dog"}, "q\nA. a cat\nB. a dog", "a dog"),
    "answers": ({"question": "q", "answers": ["a cat", "a cat"]}, "q", "a cat"),
    "squad": ({"question": "q", "context": "c", "answers": {"text": ["a cat"], "start": [0]}}, "q\nc", "a cat"),
    "tools": ({"prompt": "q", "tools": [{"name": "f"}], "completion": "x"}, "q", "x"),
}


@pytest.mark.parametrize("through_parquet", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_tables_that_pandas_saves_as_csv_are_read(name: str, through_parquet: bool, tmp_path: Path) -> None:
    record, prompt, answer = CELLS[name]
    table = pd.DataFrame([record])
    if through_parquet:  # lists are numpy arrays then
        table.to_parquet(tmp_path / "t.parquet")
        table = pd.read_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    with turn(database := str(tmp_path / "o.duckdb")):
        assert ingest_into(database, Dataset(name="rows", path=str(tmp_path / "t.csv"))).rows == 1
    with reading(database) as connection:
        assert connection.execute("SELECT prompt, answer FROM rows").fetchall() == [(prompt, answer)]


def test_an_answer_that_is_a_list_by_itself_stays_text(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"question": "Three animals, as JSON", "answer": '["a cat"]'}) + "\n")
    with turn(database := str(tmp_path / "o.duckdb")):
        ingest_into(database, Dataset(name="rows", path=str(tmp_path / "t.jsonl")))
    with reading(database) as connection:
        assert connection.execute("SELECT answer FROM rows").fetchall() == [('["a cat"]',)]
