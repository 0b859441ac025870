"""Rows of the same content that differ in a column that is not read are no duplicates, and the log says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oresight.tasks.config import Dataset
from oresight.tasks.database import reading, turn
from oresight.tasks.forget import forget
from oresight.tasks.ingest import Ingested, Role
from tests.support.runs import ingest_into

Record = dict[str, Any]
Take = Callable[..., Ingested]


@pytest.fixture
def database(tmp_path: Path) -> str:
    with turn(path := str(tmp_path / "a.duckdb")):
        return path


@pytest.fixture
def take(tmp_path: Path, database: str) -> Take:
    def taken(rows: list[Record], role: Role = "dataset", **columns: Any) -> Ingested:
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        with turn(database):
            return ingest_into(database, Dataset(name="rows", path=str(tmp_path / "a.jsonl"), columns=columns), role)  # type: ignore[arg-type]

    return taken


def same(**more: Any) -> Record:
    return {"prompt": "Is it complete?", "completion": "yes"} | more


def counts(ingested: Ingested) -> tuple[int, int]:
    return ingested.rows, ingested.duplicates


def ids(database: str) -> dict[str, str]:
    """The id of each row by its unread columns."""
    with reading(database) as connection:
        return dict(connection.execute("SELECT metadata::VARCHAR, sample_id FROM rows").fetchall())


@pytest.mark.parametrize(
    ("unread", "expected"),
    [
        ([{"ticket": f"Order {n}"} for n in range(5)], (5, 0)),
        ([{"ticket": "Order 1"}, {"ticket": "Order 1"}, {"ticket": "Order 2"}], (2, 1)),
        ([{"country": "fr"}, {"country": "de"}], (2, 0)),
        ([{"n": 1}, {"n": 2}, {"n": 2}], (2, 1)),
        ([{"cells": ["a", {"b": 1}]}, {"cells": ["a", {"b": 2}]}], (2, 0)),
        ([{"a": "x", "b": "y"}, {"a": "x", "b": "z"}, {"a": "w", "b": "z"}], (3, 0)),
        ([{"a/b~\"c'": "x"}, {"a/b~\"c'": "y"}], (2, 0)),
        ([{"document_id": 7}, {"document_id": 8}], (2, 0)),
        ([{"id": 1}, {"id": 2}], (1, 1)),
        ([{"question_id": 1, "uuid": "a", "Unnamed: 0": 0}, {"question_id": 2, "uuid": "b", "Unnamed: 0": 1}], (1, 1)),
        ([{"note": "x"}, {}], (1, 1)),
        ([{"note": "x"}, {"note": None}], (1, 1)),
        ([{"note": "x", "id": 1}, {"note": "x", "id": 2}], (1, 1)),
        ([{}, {}, {}], (1, 2)),
    ],
)
def test_rows_that_differ_in_an_unread_column_are_rows_of_their_own(
    take: Take, unread: list[Record], expected: tuple[int, int]
) -> None:
    assert counts(take([same(**more) for more in unread])) == expected


def test_labels_of_many_rows_make_no_variants(take: Take, database: str) -> None:
    rows = [{"prompt": f"{n}?", "completion": str(n), "topic": "maths" if n % 2 else "logic"} for n in range(300)]
    twice = [same(topic="maths"), same(topic="logic")]
    assert counts(take([*rows, *twice])) == (301, 1)
    assert counts(take([*rows[:50], *twice])) == (52, 0)
    assert counts(take([*[row | {"topic": f"about {row['topic']}"} for row in rows], *twice])) == (302, 0)


def test_the_ids_do_not_depend_on_the_order_or_on_other_rows(take: Take, database: str) -> None:
    variants = [same(ticket="1", id=1), same(ticket="2", id=2), same(ticket="3", id=3)]
    take(variants)
    first = ids(database)
    assert len(set(first.values())) == 3
    take([{"prompt": "other", "completion": "x"}, *variants[::-1], same(ticket="4", id=4)])
    assert first.items() < ids(database).items()
    take(variants[:1])
    (alone,) = ids(database).values()
    take([same()])
    assert list(ids(database).values()) == [alone] and alone not in first.values()


def test_a_variant_is_read_again_as_the_same_row(take: Take, database: str) -> None:
    variants = [same(ticket="1"), same(ticket="2"), same(ticket="2")]
    take(variants)
    before = ids(database)
    assert counts(take([*variants, {"prompt": "new", "completion": "x"}])) == (3, 1)
    assert before.items() < ids(database).items()
    with reading(database) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT sample_id) FROM store.rows").fetchone() == (3, 3)
        assert connection.execute("SELECT source_line FROM store.duplicates").fetchall() == [(3,)]


def test_a_forgotten_variant_stays_forgotten_when_the_others_leave(take: Take, database: str) -> None:
    variants = [same(ticket="1"), same(ticket="2"), same(ticket="3")]
    take(variants)
    forget(database, ids(database)['{"ticket":"1"}'], "asked for", "a person")
    assert counts(take(variants)) == (2, 0)
    for role in ("dataset", "reference"):
        assert counts(take([*variants[:1], {"prompt": "new", "completion": "x"}], role)) == (1, 0)
        assert '{"ticket":"1"}' not in ids(database)
    assert counts(take(variants[1:2])) == (1, 0)
    forget(database, ids(database)['{"ticket":"2"}'], "the text itself", "a person")
    assert counts(take([*variants, {"prompt": "new", "completion": "x"}])) == (1, 0)


def test_trusted_rows_of_the_same_content_count_once(take: Take, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "oresight")
    assert counts(take([same(level=n) for n in range(3)], "reference")) == (1, 2)
    assert "3 rows differ only in 'level', which is not read; they count as one row" in caplog.text


def test_the_log_names_the_columns_and_a_cure_that_works(
    take: Take, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "oresight")
    rows = [same(ticket=f"Order {n}", level=n, id=n) for n in range(5)]
    take(rows)
    cure = "dataset.columns: {context: ticket} reads 'ticket'"
    assert f"5 rows differ only in 'level' and 'ticket', which are not read; {cure}" in caplog.text
    assert "columns that are not read: id, level, ticket" in caplog.text
    caplog.clear()
    assert counts(take(rows, context="ticket")) == (5, 0)
    assert "differ only" not in caplog.text and "columns that are not read: id, level" in caplog.text
    with reading(database) as connection:
        assert connection.execute("SELECT count(*) FROM rows WHERE prompt LIKE '%Order _'").fetchone() == (5,)


@pytest.mark.parametrize(
    ("more", "end"),
    [
        ({"ticket": "Order {n}"}, "which is not read; dataset.columns: {context: ticket} reads it"),
        ({"passage": "the law", "ticket": "Order {n}"}, "dataset.columns: {context: [passage, ticket]} reads it"),
        ({"one": "{n} a", "two": "{n} b"}, "which are not read; dataset.columns: {context: [one, two]} reads them"),
        ({"full_answer": "yes, {n}"}, "which is not read; each is a row of its own"),
        ({"document_id": "{n}"}, "which is not read; each is a row of its own"),
    ],
)
def test_only_what_may_belong_to_the_question_is_proposed(
    take: Take, caplog: pytest.LogCaptureFixture, more: Record, end: str
) -> None:
    take([same(**{name: text.replace("{n}", str(n)) for name, text in more.items()}) for n in range(3)])
    (line,) = (record.message for record in caplog.records if "differ only" in record.message)
    assert line.endswith(end)


@pytest.mark.parametrize("column", ["split", "Split"])
def test_rows_of_several_splits_in_one_file_are_named(
    take: Take, caplog: pytest.LogCaptureFixture, column: str
) -> None:
    take([same(prompt=str(n), **{column: "test" if n == 2 else "train"}) for n in range(3)])
    assert f"rows: rows of several splits are merged (column {column!r}: train 2, test 1)" in caplog.text
    caplog.clear()
    take([same(prompt=str(n), **{column: ["train", "pea"][n % 2]}) for n in range(3)])
    assert "splits" not in caplog.text


def test_columns_that_differ_in_case_are_named(take: Take, caplog: pytest.LogCaptureFixture) -> None:
    for rows, names in (
        ([same(ID=1, id=2)], "'ID' and 'id'"),
        ([same(ID=1), same(prompt="q", id=2)], "'ID' and 'id'"),
        ([{"Prompt": "x", **same()}], "'prompt' and 'Prompt'"),
    ):
        caplog.clear()
        take(rows)
        assert f"columns {names} differ in case only" in caplog.text
