"""A row with all that speaks for and against it: what the report shows and a reviewer decides on."""

import base64
import json
from collections import defaultdict
from typing import Any

import pyarrow as pa

from tasks.config import Curate
from tasks.database import Connection, let, query, records
from tasks.run import stored

SHOWN_TOKENS = 400
Shown = dict[str, Any]


def standing(connection: Connection, config: Curate, model_key: str) -> dict[str, str]:
    """What the queries ask for, set as variables too. Raises ValueError if dataset or reference is not there."""
    known = stored(connection, config.database, config.dataset.name, config.reference.name)
    names = {"dataset": config.dataset.name, "reference": config.reference.name, "model_key": model_key}
    let(connection, **names, reference_hash=known[config.reference.name].content_hash)
    return names


def rows_with_evidence(connection: Connection, names: dict[str, str], *, flagged: bool, n: int) -> list[Shown]:
    """The first n rows with flags, or the most suspicious without, as `standing` has set."""
    found = records(connection, "evidence_rows", {"flagged": flagged, "n": n})
    paths = sorted({path for row in found for path in row["paths"] or []})
    thumbnails = connection.execute(
        query("evidence_thumbnails"), {"dataset": names["dataset"], "paths": paths}
    ).fetchall()
    shown = {path: base64.b64encode(data).decode() for path, data in thumbnails if data}
    connection.register("asked", pa.table({"sample_id": pa.array([row["sample_id"] for row in found], pa.string())}))
    key = names["model_key"]
    pulls = _by_row(records(connection, "evidence_influences", {"model_key": key, "reference": names["reference"]}))
    near = _by_row(records(connection, "evidence_nearest", {"model_key": key, "dataset": names["dataset"]}))
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
