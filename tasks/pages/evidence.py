"""Collects the evidence for and against a row, which the report shows and a reviewer decides on."""

import base64
import json
from collections import defaultdict
from typing import Any

import pyarrow as pa

from oresight.tasks.database import Connection, execute, records
from oresight.tasks.scope import Scope
from oresight.tasks.scoring.picture import smaller

SHOWN_TOKENS = 400
"""Most tokens of an answer that are shown with their values."""
EvidenceRow = dict[str, Any]


def rows_with_evidence(
    connection: Connection, scope: Scope, *, flagged: bool, n: int, thumbnail: int | None = None
) -> list[EvidenceRow]:
    """The first n flagged rows of the scope's dataset, or the n most suspicious rows without a flag.

    thumbnail: longest side of their pictures, in pixels; by default as stored.
    """
    rows = records(connection, "evidence_rows", scope.parameters | {"flagged": flagged, "n": n})
    add_pictures(connection, rows, scope.dataset, thumbnail)
    add_neighbours(connection, scope, rows)
    for row in rows:
        row["model_answer"] = model_answer(row["tokens"], row["likeliest"])
        row["token_shares"] = token_shares(row["tokens"], row["token_values"], row["token_logprobs"])
        row["metadata"] = json.loads(row["metadata"])
    return rows


def add_neighbours(connection: Connection, scope: Scope, rows: list[EvidenceRow]) -> None:
    """Give rows the trusted rows that influence them (`influences`) and the nearest accepted rows (`neighbours`)."""
    sample_ids = pa.array([row["sample_id"] for row in rows], pa.string())
    connection.register("rows_to_explain", pa.table({"sample_id": sample_ids}))
    influences = _by_row(records(connection, "evidence_influences", scope.parameters))
    neighbours = _by_row(records(connection, "evidence_nearest", scope.parameters))
    for row in rows:
        row["influences"], row["neighbours"] = influences[row["sample_id"]], neighbours[row["sample_id"]]


def add_pictures(connection: Connection, rows: list[EvidenceRow], dataset: str, side: int | None = None) -> None:
    """Give rows with `paths` their `pictures`: path and thumbnail of each, as the text of a data: URL.

    side: longest side of the thumbnails, in pixels; by default as stored.
    """
    paths = sorted({path for row in rows for path in row["paths"] or []})
    stored = execute(connection, "evidence_thumbnails", {"dataset": dataset, "paths": paths}).fetchall()
    sized = {path: smaller(data, side) if side else data for path, data in stored if data}
    thumbnails = {path: base64.b64encode(data).decode() for path, data in sized.items()}
    for row in rows:
        row["pictures"] = [{"path": path, "data": thumbnails.get(path)} for path in row["paths"] or []]


def _by_row(evidence: list[EvidenceRow]) -> defaultdict[str, list[EvidenceRow]]:
    """Evidence grouped by the sample_id that it belongs to."""
    by_row = defaultdict[str, list[EvidenceRow]](list)
    for item in evidence:
        by_row[item["sample_id"]].append(item)
    return by_row


def model_answer(tokens: list[str] | None, likeliest: list[str] | None) -> str | None:
    """The model's own answer up to the first token that differs from the given answer; None for a long answer.

    It is not known beyond that token, because each token was predicted after the given ones.
    """
    if tokens is None or likeliest is None:
        return None
    text = ""
    for position, (given, predicted) in enumerate(zip(tokens, likeliest, strict=True)):
        if not (predicted.startswith("<") and predicted.endswith(">")):  # else the model would have ended its turn
            text += predicted
        if predicted != given:
            return text.strip() + (" ..." if position < len(tokens) - 2 else "")
    return text.strip()


def token_shares(
    tokens: list[str] | None, values: list[float] | None, logprobs: list[float] | None, most: int = SHOWN_TOKENS
) -> list[dict[str, Any]]:
    """Tokens with their value, log-probability, and value as a share of the largest absolute value, from -1 to 1.

    most: tokens that are taken, from the first on.
    """
    if not tokens or not values or not logprobs:
        return []
    shown = _with_text(list(zip(tokens, values, logprobs, strict=True))[:most])
    largest = max((abs(value) for _, value, _ in shown), default=0.0) or 1.0
    return [
        {"token": token, "value": value, "logprob": logprob, "share": value / largest}
        for token, value, logprob in shown
    ]


def _with_text(columns: list[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Tokens as people can see them: one without a text counts with the next that has one, at the end with the last.

    Such tokens are special ones, and all but the last of a character that is several tokens.
    """
    shown: list[tuple[str, float, float]] = []
    value, logprob = 0.0, 0.0
    for token, token_value, token_logprob in columns:
        value, logprob = value + token_value, logprob + token_logprob
        if token:
            shown.append((token, value, logprob))
            value, logprob = 0.0, 0.0
    if shown and (value or logprob):
        token, last_value, last_logprob = shown[-1]
        shown[-1] = token, last_value + value, last_logprob + logprob
    return shown
