"""A row with all that speaks for and against it: what the report shows and a reviewer decides on."""

import base64
import json
from collections import defaultdict
from typing import Any

import pyarrow as pa

from oresight.tasks.database import Connection, execute, records
from oresight.tasks.scope import Scope

SHOWN_TOKENS = 400
Shown = dict[str, Any]


def rows_with_evidence(connection: Connection, scope: Scope, *, flagged: bool, n: int) -> list[Shown]:
    """The first n rows of the scope's dataset that have flags, or the n most suspicious ones without."""
    names = scope.parameters
    found = records(connection, "evidence_rows", names | {"flagged": flagged, "n": n})
    paths = sorted({path for row in found for path in row["paths"] or []})
    thumbnails = execute(connection, "evidence_thumbnails", names | {"paths": paths}).fetchall()
    shown = {path: base64.b64encode(data).decode() for path, data in thumbnails if data}
    ids = pa.array([row["sample_id"] for row in found], pa.string())
    connection.register("rows_to_explain", pa.table({"sample_id": ids}))
    pulls = _by_row(records(connection, "evidence_influences", names))
    near = _by_row(records(connection, "evidence_nearest", names))
    for row in found:
        row["pictures"] = [{"path": path, "data": shown.get(path)} for path in row["paths"] or []]
        row["said"] = said(row["tokens"], row["likeliest"])
        row["weights"] = weights(row["tokens"], row["token_values"], row["token_logprobs"])
        row["metadata"] = json.loads(row["metadata"])
        row["pulls"], row["near"] = pulls[row["sample_id"]], near[row["sample_id"]]
    return found


def _by_row(found: list[Shown]) -> defaultdict[str, list[Shown]]:
    each = defaultdict[str, list[Shown]](list)
    for one in found:
        each[one["sample_id"]].append(one)
    return each


def said(tokens: list[str] | None, likeliest: list[str] | None) -> str | None:
    """What the model would have answered, as far as that is known: up to where it parts from the answer that was given.

    None for an answer that is not short.
    """
    if tokens is None or likeliest is None:
        return None
    text = ""
    for place, (given, own) in enumerate(zip(tokens, likeliest, strict=True)):
        if not (own.startswith("<") and own.endswith(">")):  # else it would have ended its turn
            text += own
        if own != given:
            return text.strip() + (" ..." if place < len(tokens) - 2 else "")
    return text.strip()


def weights(tokens: list[str] | None, values: list[float] | None, logprobs: list[float] | None) -> list[dict[str, Any]]:
    """Tokens with their value as a share of the largest, from -1 to 1."""
    if not tokens or not values or not logprobs:
        return []
    largest = max(map(abs, values)) or 1.0
    every = zip(tokens, values, logprobs, strict=True)
    return [
        {"token": token, "value": value, "logprob": logprob, "share": value / largest}
        for token, value, logprob in list(every)[:SHOWN_TOKENS]
    ]
