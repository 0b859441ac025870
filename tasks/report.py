"""What was found, as one HTML file that needs nothing from outside.

Flagged rows are shown with their pictures, their answer, what the model would have answered and the tokens that weigh
most. What rows say is escaped.
"""

import base64
import json
from pathlib import Path
from typing import Any

from tasks.config import Curate
from tasks.database import Connection, let, query, reading, records
from tasks.page import write_page
from tasks.progress import log

ROWS = 100
"""Flagged rows that are shown, at most; as many again of those that surprise the model, up to SURPRISING."""
SURPRISING = 24
SHOWN_TOKENS = 400


def report(config: Curate, model_key: str, model: str) -> Path:
    """Write FOLDER/SPLIT/report.html and give its path. Raises ValueError if there is nothing to report on."""
    names = {"dataset": config.dataset.name, "reference": config.reference.name}
    with reading(config.database) as connection:
        known = {name: content for name, content, _ in connection.execute(query("score_datasets")).fetchall()}
        for name in names.values():
            if name not in known:
                raise ValueError(f"{config.database}: holds no {name!r}; run `oresight ingest CONFIG.yaml` first")
        variables = names | {"model_key": model_key, "reference_hash": known[names["reference"]]}
        let(connection, **variables)
        flagged = _rows(connection, names["dataset"], flagged=True, n=ROWS)
        surprising = _rows(connection, names["dataset"], flagged=False, n=SURPRISING)
        datasets = records(connection, "report_datasets", names)
        checks = records(connection, "report_flagged", {"dataset": names["dataset"]})
    page = Path(config.publishing.folder) / config.splitting.name / "report.html"
    found = {"datasets": datasets, "checks": checks, "flagged": flagged, "surprising": surprising}
    write_page(page, "report.html", names=names, model=model, **found)
    log().info("report: %d flagged rows shown in %s", len(flagged), page)
    return page


def _rows(connection: Connection, dataset: str, *, flagged: bool, n: int) -> list[dict[str, Any]]:
    rows = records(connection, "report_rows", {"flagged": flagged, "n": n})
    paths = sorted({path for row in rows for path in row["paths"] or []})
    found = connection.execute(query("report_thumbnails"), {"dataset": dataset, "paths": paths}).fetchall()
    shown = {path: base64.b64encode(data).decode() for path, data in found if data}
    for row in rows:
        row["pictures"] = [{"path": path, "data": shown.get(path)} for path in row["paths"] or []]
        row["said"] = said(row["tokens"], row["likeliest"])
        row["weights"] = weights(row["tokens"], row["token_values"], row["token_logprobs"])
        row["metadata"] = json.loads(row["metadata"])
    return rows


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
