"""Any table of texts, in any layout and any kind of file, is read back as it was written."""

import csv
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oresight.tasks.formats import recognise
from oresight.tasks.formats.files import read
from oresight.tasks.formats.sample import turn_text
from oresight.tasks.formats.sources import list_files

Record = dict[str, Any]
Turns = list[tuple[str, str]]
# No NUL, which is a reject, and no <, which may begin a mark.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0<"), min_size=1).filter(str.strip)


def turns(prompt: str, answer: str, system: str) -> Turns:
    return [("system", system), ("user", prompt), ("assistant", answer)]


# By layout: a record from a prompt, an answer and a third text, and the turns that it is read as.
FLAT: dict[str, tuple[Callable[[str, str, str], Record], Callable[[str, str, str], Turns]]] = {
    "alpaca": (
        lambda p, a, s: {"instruction": p, "input": s, "output": a},
        lambda p, a, s: [("user", f"{p}\n{s}"), ("assistant", a)],
    ),
    "prompt/completion": (lambda p, a, s: {"prompt": p, "completion": a, "system": s}, turns),
    "question/answer with context": (
        lambda p, a, s: {"answer": a, "context": f"context: {s}", "question": p},
        lambda p, a, s: [("user", f"{p}\ncontext: {s}"), ("assistant", a)],
    ),
    "question/answer with A, B": (
        lambda p, a, s: {"question": p, "A": a, "B": s, "answer": "A"},
        lambda p, a, s: [("user", f"{p}\nA. {a}\nB. {s}"), ("assistant", "A")],
    ),
}
NESTED: dict[str, tuple[Callable[[str, str, str], Record], Callable[[str, str, str], Turns]]] = {
    "messages": (
        lambda p, a, s: {"messages": [{"role": r, "content": c} for r, c in turns(p, a, s)], "id": 3},
        turns,
    ),
    "sharegpt": (
        lambda p, a, s: {"conversations": [{"from": "human", "value": p}, {"from": "gpt", "value": a}], "system": s},
        turns,
    ),
    "messages in pairs": (
        lambda p, a, s: {"messages": [{"system": s, "input": p, "output": a}]},
        turns,
    ),
    "query/response with history": (
        lambda p, a, s: {"query": p, "response": a, "history": [[s, p]]},
        lambda p, a, s: [("user", s), ("assistant", p), ("user", p), ("assistant", a)],
    ),
}


def write_csv(path: Path, rows: list[Record]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)


WRITERS: dict[str, Callable[[Path, list[Record]], object]] = {
    "rows.jsonl": lambda path, rows: path.write_text("".join(json.dumps(row) + "\n" for row in rows)),
    "plain.jsonl": lambda path, rows: path.write_bytes(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    ),
    "rows.json": lambda path, rows: path.write_text(json.dumps(rows)),
    "pretty.json": lambda path, rows: path.write_bytes(json.dumps(rows, indent=2, ensure_ascii=False).encode()),
    "rows.csv": write_csv,
    "rows.parquet": lambda path, rows: pq.write_table(pa.Table.from_pylist(rows), path),
}
KINDS = [(name, layout) for name in WRITERS for layout in (FLAT if name.endswith(".csv") else FLAT | NESTED)]


@pytest.mark.parametrize(("name", "layout"), KINDS)
@settings(deadline=None, max_examples=25)
@given(texts=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=5))
def test_every_text_is_read_back_as_it_was_written(name: str, layout: str, texts: list[tuple[str, str, str]]) -> None:
    record_of, turns_of = (FLAT | NESTED)[layout]
    records = [record_of(*row) for row in texts]
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[name](Path(folder) / name, records)
        (file,), _ = list_files(folder)
        lines = list(read(file, lambda _: None))
    read_back = [line.record for line in lines if line.record is not None]
    assert read_back == records
    rows = recognise(read_back, {})
    assert rows.name == layout.removesuffix(" in pairs")
    for record, row in zip(read_back, texts, strict=True):
        assert [(turn["role"], turn["content"]) for turn in rows.read(record).messages] == turns_of(*row)


NAMES = [
    "messages",
    "conversations",
    "data",
    "prompt",
    "completion",
    "question",
    "answer",
    "answers",
    "A",
    "B",
    "choices",
]
NAMES += ["system", "history", "context", "input", "tools", "image", "image_2", "reasoning", "video", "note"]
KEYS = ["role", "content", "type", "text", "value", "from", "weight", "tool_calls", "image", "url", "bytes", "label"]
WORDS = ["user", "assistant", "text", "image", "tool_result", "<image>", "<image 2>", "<img>a.png</img>", "[]", "{}"]
INTEGERS = st.integers(-(2**63), 2**64 - 1)
"""What orjson reads as whole numbers; it rounds larger ones to floats."""
LEAVES = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | st.sampled_from(WORDS) | TEXT
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=12,
)
TURN = st.fixed_dictionaries({"role": st.sampled_from(WORDS[:2]), "content": VALUES})
RECORDS = st.dictionaries(
    st.sampled_from(NAMES), VALUES | st.lists(TURN, min_size=1, max_size=3), min_size=1, max_size=6
)


@settings(deadline=None, max_examples=150)
@given(records=st.lists(RECORDS, min_size=1, max_size=3))
def test_whatever_a_record_holds_it_is_a_row_or_has_a_reason(records: list[Record]) -> None:
    try:
        rows = recognise(records[:1], {})
    except ValueError as error:
        assert str(error)
        return
    for record in records:
        try:
            sample = rows.read(record)
        except ValueError as error:
            assert str(error)
        else:
            assert sample.messages[-1]["role"] == "assistant" and turn_text(sample.messages[-1]).strip()
            shown = [part for turn in sample.messages for part in turn["content"] if isinstance(part, dict)]
            assert len(sample.pictures) == sum(part["type"] == "image" for part in shown)
