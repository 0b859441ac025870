"""The files of shared/data/cases, each a fault that was reported, and what a user must get (README.md there says why).

A further case is a further row of the table.
"""

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from oresight.tasks.config import Dataset
from oresight.tasks.database import reading, turn
from tests.support.runs import ingest_into

CASES = Path(__file__).parents[2] / "shared" / "data" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside this checkout")


@dataclass
class Rows:
    """The rows in the database, in the order of their lines, and what the log says."""

    answers: list[str]
    prompts: list[str] = field(default_factory=list)
    """Each prompt, as a regular expression; empty: not looked at."""
    pictures: int = 0
    duplicates: int = 0
    log: str = ""


@dataclass
class Refused:
    """The sentence, as a regular expression."""

    sentence: str


NAMED_34 = {"columns": {"prompt": "question, in full, with detail", "answer": "answer"}}
TABLE: list[tuple[str, dict[str, Any], Rows | Refused]] = [
    ("05-question-context.jsonl", {}, Rows(["yes"] * 5, [rf"complete\?\nOrder {n}: {n} of" for n in range(1, 6)])),
    ("28-pandas-index.csv", {}, Rows(["An insect", "A mammal"], log="not read: Unnamed: 0$")),
    ("30-spaces-in-header.csv", {}, Rows(["An insect"])),
    ("32-utf16.csv", {}, Rows(["An insect", "A mammal"])),
    ("33-sep-line.csv", {}, Rows(["An insect"])),
    ("34-quoted-header.csv", {}, Rows(["x"], ["^What; is\\?$"])),
    ("34-quoted-header.csv", NAMED_34, Rows(["x"], ["^What; is\\?$"])),
    ("47-messages-beside-pair.jsonl", {}, Refused(r"preference pair.*dataset\.columns: {messages: messages} reads")),
    ("47-messages-beside-pair.jsonl", {"columns": {"messages": "messages"}}, Rows(["An insect."])),
    ("49-text-only.jsonl", {}, Refused("'text' holds plain text, in which no answer")),
    ("50-top-level-data.json", {}, Rows(["x", "y"])),
    ("52-answers-list.jsonl", {}, Rows(["1/8/93"], ["^Date\\?$"], pictures=1)),
    ("54-answer-number.jsonl", {}, Rows(["4", "6"])),
    ("55-trailing-commas.jsonl", {}, Refused("a comma follows the record; remove the commas")),
    ("56-utf16.jsonl", {}, Rows(["x0", "x1", "x2"])),
    ("58-columns-of-lists.json", {}, Rows(["x", "y"], ["^a$", "^b$"])),
    ("59-splits", {}, Refused("holds the splits test, train, valid; set dataset.split: train")),
    ("59-splits", {"split": "train"}, Rows(["x"], ["train question"])),
    ("59-splits", {"split": "valid+test"}, Rows(["x", "x"], ["test question", "valid question"])),
    ("60-hub-snapshot", {}, Refused("60-hub-snapshot/data: holds the splits test, train; set dataset.split: train")),
    ("60-hub-snapshot", {"split": "train"}, Rows(["x", "y"], log="one of 2 shards, of which 1 are there")),
    ("61-case-columns.jsonl", {}, Rows([f"a{n}" for n in range(4)], log="columns 'ID' and 'id' differ in case only")),
]


@pytest.mark.parametrize(
    ("name", "settings", "right"), TABLE, ids=[f"{name}{'-set' * bool(given)}" for name, given, _ in TABLE]
)
def test_what_people_hold_is_read_right_or_refused_in_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, settings: dict[str, Any], right: Rows | Refused
) -> None:
    caplog.set_level(logging.INFO, "oresight")
    dataset = Dataset(name="rows", path=str(CASES / name), **settings)
    with turn(database := str(tmp_path / "cases.duckdb")):
        if isinstance(right, Refused):
            with pytest.raises(ValueError, match=right.sentence) as raised:
                ingest_into(database, dataset)
            assert "\n" not in str(raised.value)
            return
        ingested = ingest_into(database, dataset)
    with reading(database) as connection:
        rows = connection.execute(
            "SELECT answer, prompt, len(images) FROM rows ORDER BY source_file, source_line"
        ).fetchall()
    assert (ingested.rejected, ingested.duplicates) == (0, right.duplicates)
    assert [answer for answer, _, _ in rows] == right.answers
    assert all(re.search(text, prompt) for text, (_, prompt, _) in zip(right.prompts, rows, strict=bool(right.prompts)))
    assert sum(pictures or 0 for _, _, pictures in rows) == right.pictures
    assert any(re.search(right.log, record.getMessage()) for record in caplog.records)
