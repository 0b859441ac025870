"""Any table of texts comes back from a published folder equal to what went in, whatever the layout and the file."""

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.support.published import publish_file, published_lines
from tests.test_publish import loaded

Record = dict[str, Any]
NASTY = ["2020-01-01", "1e5", "-0", "null", "NaN", "{}", "[1]", '"', "'", "\\n", ",", ";", "#"]
NASTY += ["\u2028", "\x85", "\x1f", "\ufeff", "💧"]
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.text(CHARACTERS, max_size=20) | st.sampled_from(NASTY)
FILLED = TEXTS.filter(str.strip)
"""What a question or an answer may be: a row without one is rejected."""


def turns(asks: str, answers: str, role: str, content: str) -> st.SearchStrategy[list[Record]]:
    """A conversation that ends with an answer."""
    turn = st.fixed_dictionaries({role: st.sampled_from([asks, answers]), content: FILLED})
    ends = [st.fixed_dictionaries({role: st.just(who), content: FILLED}) for who in (asks, answers)]
    return st.builds(lambda before, ask, answer: [*before, ask, answer], st.lists(turn, max_size=2), *ends)


LAYOUTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "question/answer": {"question": FILLED, "answer": FILLED},
    "prompt/completion": {"prompt": FILLED, "completion": FILLED},
    "alpaca": {"instruction": FILLED, "input": TEXTS, "output": FILLED},
    "messages": {"messages": turns("user", "assistant", "role", "content")},
    "sharegpt": {"conversations": turns("human", "gpt", "from", "value")},
}
FLAT = ("question/answer", "prompt/completion", "alpaca")


@st.composite
def tables(draw: st.DrawFn, layouts: tuple[str, ...]) -> list[Record]:
    """Rows of a layout with further columns of texts, no row twice."""
    layout = LAYOUTS[draw(st.sampled_from(layouts))]
    names = [f"x{name}x" for name in draw(st.lists(TEXTS, max_size=3, unique=True))]
    row = st.fixed_dictionaries(layout | dict.fromkeys(names, TEXTS))
    key = next(iter(layout))
    return draw(st.lists(row, min_size=1, max_size=12, unique_by=lambda r: json.dumps(r[key])))


def write(rows: list[Record], file: Path, indent: int | None, *, ascii_only: bool) -> None:
    """Write rows to a file of the kind that its suffix names."""
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif file.suffix == ".csv":
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows, indent=indent, ensure_ascii=ascii_only), newline="")
    else:
        lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
        file.write_text("".join(f"{line}\n" for line in lines), newline="")


def in_order(rows: list[Record]) -> list[Record]:
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_a_table_of_texts_comes_back_as_it_went_in(suffix: str) -> None:
    @given(data=st.data())
    @settings(max_examples=4, deadline=None, phases=[Phase.reuse, Phase.generate])
    def comes_back(data: st.DataObject) -> None:
        rows = data.draw(tables(FLAT if suffix == ".csv" else tuple(LAYOUTS)))
        if suffix in (".csv", ".parquet"):  # all rows have the order of the header
            rows = [{name: row[name] for name in rows[0]} for row in rows]
        indent, ascii_only = data.draw(st.sampled_from([None, 0, 2])), data.draw(st.booleans())
        with tempfile.TemporaryDirectory() as name:
            raw = Path(name) / f"raw{suffix}"
            write(rows, raw, indent, ascii_only=ascii_only)
            compare(rows, publish_file(raw, Path(name)), Path(name) / "cache")

    comes_back()


def compare(rows: list[Record], folder: Path, cache: Path) -> None:
    """Compare rows with what each reader of a published folder reads."""
    lines = published_lines(folder)
    assert [list(line.items()) for line in in_order(lines)] == [list(row.items()) for row in in_order(rows)]
    assert pq.read_table(folder / "train.parquet").to_pylist() == lines
    assert loaded(folder, cache) == lines
    as_tuples = [tuple(line[name] for name in lines[0]) for line in lines]
    with duckdb.connect() as connection:
        parquet, jsonl = str(folder / "train.parquet"), str(folder / "train.jsonl")
        assert connection.execute("FROM read_parquet(?)", [parquet]).fetchall() == as_tuples
        objects = connection.execute("SELECT json FROM read_ndjson_objects(?)", [jsonl]).fetchall()
        assert [json.loads(text) for (text,) in objects] == lines
        assert connection.execute("SELECT count(*) FROM read_json_auto(?)", [jsonl]).fetchone() == (len(rows),)
    texts = pd.read_json(folder / "train.jsonl", lines=True, dtype=False, convert_dates=False)
    assert texts.to_dict("records") == lines
    flat = [name for name, value in rows[0].items() if isinstance(value, str)]
    table = pd.read_parquet(folder / "train.parquet", columns=flat)
    assert table.to_dict("records") == [{name: line[name] for name in flat} for line in lines]
