"""The queue of rows for a person to review, as far as a filter lets them pass.

Queues can be long, so a visitor holds their ids only. Texts and evidence are read for the rows that are shown.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.compute as pc

from oresight.tasks.database import Connection, execute, reading, records
from oresight.tasks.pages.evidence import (
    EvidenceRow,
    add_neighbours,
    add_pictures,
    model_answer,
    token_shares,
)
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import json_pointer

PAGE_ROWS = 50
"""Rows on a page of the list."""
FEW_VALUES = 30
"""Most values of a metadata column that rows can be filtered by."""
VERDICTS = ("undecided", "keep", "drop", "relabel")
MOST_TEXT = 1000
"""Most characters of a text that is searched for."""


@dataclass(frozen=True)
class Filter:
    """Which rows of the queue are shown. An empty field lets every row pass."""

    check: str = ""
    source: str = ""
    """A source file, or a value of the metadata column `column`."""
    column: str = ""
    looks_like: str = ""
    """The planted defect that the row looks like."""
    verdict: str = ""
    """One of VERDICTS."""
    text: str = ""
    """What the prompt or the answer contains, in upper or lower case."""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """The filter that the query of a URL states. Raises ValueError for a verdict that there is not."""
        chosen = cls(**{name: query.get(name, "") for name in cls.__dataclass_fields__})
        if chosen.verdict not in ("", *VERDICTS):
            raise ValueError(f"verdict={chosen.verdict}: the page can show {', '.join(VERDICTS)}")
        if len(chosen.text) > MOST_TEXT:
            raise ValueError(f"text: has {len(chosen.text):,} characters; search for at most {MOST_TEXT:,}")
        return chosen

    @property
    def parts(self) -> dict[str, str]:
        """The fields that are not empty."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def query(self) -> str:
        """The filter as the query of a URL."""
        return urlencode(self.parts)

    @property
    def replaces(self) -> str:
        """The verdict of the rows that a verdict on all of them changes: that of the filter, else undecided."""
        return self.verdict or "undecided"

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.parts.items()) or "all rows"


@dataclass(frozen=True)
class Queue:
    """The rows that pass a filter, in the order of the queue."""

    ids: pa.StringArray = field(default_factory=lambda: pa.array([], pa.string()))
    first: int = 0
    """Position of the first row without a verdict; 0 if each row has one."""

    def __len__(self) -> int:
        return len(self.ids)

    def position(self, sample_id: str) -> int:
        """The position of a row; -1 if it is not among them."""
        return int(pc.index(self.ids, sample_id).as_py())


@dataclass(frozen=True)
class Facets:
    """The values that the whole queue can be filtered by, each with its rows."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    """facet (all, check, looks_like, source), part (the metadata column of a source), value, rows."""

    def of(self, facet: str) -> list[dict[str, Any]]:
        """The values of a facet, those with most rows first."""
        return [row for row in self.rows if row["facet"] == facet]

    @property
    def all_rows(self) -> int:
        """The rows of the queue."""
        return int(self.of("all")[0]["rows"])

    @property
    def are_flagged(self) -> bool:
        """Whether the queue has flagged rows. Else it has the most suspicious rows."""
        return bool(self.of("check"))


def read_queue(run: Run, chosen: Filter) -> tuple[Queue, Facets]:
    """The rows that pass a filter, and what else the queue can be filtered by."""
    with reading(run.config.database) as connection:
        passed = matching(connection, run, chosen)
        values = {"dataset": run.config.dataset.name, "most": FEW_VALUES}
        facets = Facets(records(connection, "review_facets", values))
    return Queue(passed["sample_id"].combine_chunks(), max(pc.index(passed["is_decided"], False).as_py(), 0)), facets


def matching(connection: Connection, run: Run, chosen: Filter) -> pa.Table:
    """sample_id and is_decided of the rows that pass a filter, in the order of the queue.

    The connection gets a temporary table `review_queue` of the whole queue.
    """
    scope = run.scope(connection)
    execute(connection, "review_queue", scope.parameters)
    values = asdict(chosen) | {"pointer": json_pointer(chosen.column) if chosen.column else ""}
    return execute(connection, "review_ids", values | {"dataset": scope.dataset}).to_arrow_table()


def read_rows(run: Run, ids: pa.StringArray) -> list[dict[str, Any]]:
    """The rows with the beginnings of their texts, for a list."""
    with reading(run.config.database) as connection:
        connection.register("rows_to_list", pa.table({"sample_id": ids, "position": range(len(ids))}))
        return records(connection, "review_rows", {"dataset": run.config.dataset.name})


def read_row(run: Run, sample_id: str) -> EvidenceRow:
    """A row with its evidence. Raises ValueError if the dataset has it no more."""
    with reading(run.config.database) as connection:
        scope = run.scope(connection)
        rows = records(connection, "review_row", scope.parameters | {"sample_id": sample_id})
        if not rows:
            raise ValueError(f"{run.config.database}: {scope.dataset!r} has no row {sample_id}; reload the page")
        add_pictures(connection, rows, scope.dataset)
    row = rows[0]
    tokens = row["tokens"]
    row["model_answer"] = model_answer(tokens, row["likeliest"])
    row["token_shares"] = token_shares(tokens, row["token_values"], row["token_logprobs"], most=len(tokens or []))
    return row


def read_neighbours(run: Run, sample_id: str) -> EvidenceRow:
    """The trusted rows that influence a row (`influences`) and the nearest accepted rows (`neighbours`)."""
    with reading(run.config.database) as connection:
        add_neighbours(connection, run.scope(connection), rows := [{"sample_id": sample_id}])
    return rows[0]


def find_row(run: Run, beginning: str) -> str:
    """The sample_id of the dataset that begins so. Raises ValueError if there is none or more than one."""
    name = run.config.dataset.name
    with reading(run.config.database) as connection:
        values = {"dataset": name, "beginning": beginning.lower()}
        rows = execute(connection, "review_find", values).fetchall()
    if len(rows) != 1:
        count = "several rows" if rows else "no row"
        raise ValueError(f"{name!r} has {count} whose sample_id begins with {beginning[:40]!r}")
    return str(rows[0][0])
