"""What is advised works: proposed columns read the rows. Without any, the sentence says what the file is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from oresight.tasks.config import Dataset
from oresight.tasks.database import turn
from oresight.tasks.formats import recognise
from tests.support.runs import ingest_into

Record = dict[str, Any]


def refusal(records: list[Record]) -> str:
    with pytest.raises(ValueError, match=r"\S") as raised:
        recognise(records, {})
    return str(raised.value)


@pytest.mark.parametrize(
    ("record", "columns"),
    [
        ({"Frage": "Was?", "Antwort": "Das"}, {"prompt": "Frage", "answer": "Antwort"}),
        ({"id": "7", "answer_text": "a", "the_question": "q"}, {"prompt": "the_question", "answer": "answer_text"}),
        ({"sentence": "a b", "label": 1}, {"prompt": "sentence", "answer": "label"}),
        ({"source": "hi", "is_greeting": True}, {"prompt": "source", "answer": "is_greeting"}),
        ({"good": "x", "instruct": "y", "bad": "z"}, {"prompt": "good", "answer": "instruct"}),
        ({"q: a": "x", "{b}": "y"}, {"prompt": "q: a", "answer": "{b}"}),
        ({"talk": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, {"messages": "talk"}),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, {"prompt": "prompt", "answer": "chosen"}),
        ({"picture_file": "a.jpg", "query_text": "q", "verdict": "yes"}, {"prompt": "query_text", "answer": "verdict"}),
    ],
)
def test_proposed_columns_are_there_and_read_the_rows(tmp_path: Path, record: Record, columns: dict[str, str]) -> None:
    sentence = refusal([record])
    proposed = yaml.safe_load(re.search(r"dataset\.columns: (\{.*\})", sentence)[1])  # type: ignore[index]
    assert proposed == columns
    assert recognise([record], proposed).read(record)
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    if "picture_file" not in record:
        with turn(str(tmp_path / "a.duckdb")):
            dataset = Dataset(name="rows", path=str(tmp_path / "a.jsonl"), columns=proposed)
            assert ingest_into(str(tmp_path / "a.duckdb"), dataset).rows == 1


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"text": "Once upon a time"}, "'text' holds plain text, and no column holds an answer"),
        ({"text": "<|im_start|>user\nq<|im_end|>"}, "'text' holds plain text, in which no answer .*{messages: "),
        ({"text": "### Instruction:\nq\n### Response:\na"}, "plain text, in which no answer"),
        ({"id": 1, "content": "Once"}, "'content' holds plain text"),
        ({"id": 1, "question": "What?"}, "'question' holds questions, and no column holds answers"),
        ({"input_ids": [1, 2, 3], "labels": [1, 2, 3]}, "'input_ids' holds a list of numbers"),
        ({"embedding": [0.5, 0.25]}, "'embedding' holds a list of numbers"),
        ({"title": "t", "qas": [{"q": "x", "a": "y"}]}, "'qas' holds a list of objects; write each as a row"),
        ({"id": "a", "idx": 3}, "'id' holds plain text"),
        ({"a": 1, "b": None}, "no column holds text"),
        ({}, r"the columns \(none\) .*no column holds text"),
        ({"What is a bee?": "And a cow?", "An insect": "A mammal"}, "the names look like a row; add a first line"),
    ],
)
def test_where_no_columns_work_the_kind_of_file_is_named(record: Record, sentence: str) -> None:
    assert re.search(sentence, refusal([record] * 3)) and "dataset.columns:" not in refusal([record] * 3)


def test_labels_are_not_proposed_as_prompts() -> None:
    rows = [{"file": f"{n}.jpg", "kind": "cat", "part": "train"} for n in range(9)]
    assert "no column reads like prompts" in refusal(rows)


def test_columns_that_read_a_few_rows_only_are_not_proposed() -> None:
    rows = [{"title": f"t{n}", "body": f"b{n}" if n < 5 else None} for n in range(10)]
    assert "dataset.columns" not in refusal(rows)


def test_no_advice_to_learn_disliked_answers(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n}", "completion": "a", "label": n % 2 == 0} for n in range(4)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with turn(str(tmp_path / "a.duckdb")), pytest.raises(ValueError, match=r"keep the liked answers only$"):
        ingest_into(str(tmp_path / "a.duckdb"), Dataset(name="rows", path=str(tmp_path / "a.jsonl")))
