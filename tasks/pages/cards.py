"""Rows as short cards: what the row is, why it is shown, and by what a reader can filter."""

from collections import Counter, defaultdict
from typing import Any

from oresight.tasks.database import Connection, records
from oresight.tasks.pages.evidence import EvidenceRow, rows_with_evidence
from oresight.tasks.scope import Scope

THUMBNAIL = 144
"""Longest side of a picture, in pixels. An open card shows it in this size, a closed one smaller."""
CHOICES = 30
"""Most values of a facet. A column with more is no facet; the search finds its values."""


def card_rows(
    connection: Connection, scope: Scope, *, split: str, version: int | None, flagged: bool, n: int
) -> list[EvidenceRow]:
    """The rows of `rows_with_evidence`, each with its decision in the version: 'keep', 'drop' or None."""
    rows = rows_with_evidence(connection, scope, flagged=flagged, n=n, thumbnail=THUMBNAIL)
    decisions = records(connection, "report_decisions", {"split": split, "version": version})
    by_id = {row["sample_id"]: row for row in decisions}
    for row in rows:
        row["decision"] = by_id.get(row["sample_id"], {}).get("decision")
        row["decision_reason"] = by_id.get(row["sample_id"], {}).get("reason")
    return rows


def add_facets(rows: list[EvidenceRow]) -> dict[str, list[str]]:
    """The values of each facet that tells the rows apart. Each row gets its `facets`: the positions of its values.

    Facets are the checks that flag a row, its decision, the defect that it looks like, its file, and the columns of its
    metadata. A column in which each row has another value, as an id, is none.
    """
    values = [_facet_values(row) for row in rows]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for facets in values:
        for name, of_row in facets.items():
            counts[name].update(of_row)
    choices = {
        name: sorted(count) for name, count in counts.items() if 1 < len(count) <= CHOICES and max(count.values()) > 1
    }
    for row, facets in zip(rows, values, strict=True):
        row["facets"] = [[options.index(value) for value in facets.get(name, [])] for name, options in choices.items()]
    return choices


def _facet_values(row: EvidenceRow) -> dict[str, list[str]]:
    """The values of a row by facet."""
    facets: dict[str, list[str]] = {
        "check": [flag["check"] for flag in row["flags"] or []] or ["no flag"],
        "decision": [row["decision"] or "none"],
        "looks like": [row["looks_like"]] if row["looks_like"] else [],
        "file": [row["source_file"]],
    }
    columns = {name: [str(value)] for name, value in row["metadata"].items() if _is_short(value)}
    return facets | {name: value for name, value in columns.items() if name not in facets}


def _is_short(value: Any) -> bool:
    """Whether a value of a metadata column is a word or a number that a reader can choose."""
    return isinstance(value, bool | int) or (isinstance(value, str) and 0 < len(value) <= 60)
