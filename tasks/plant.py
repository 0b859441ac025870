"""Trusted rows -> canaries: copies with a known defect. They are scored like rows and show what can be detected."""

import json
from typing import Any

import orjson
import pyarrow as pa

from oresight.tasks.database import execute, reading, records, transaction, writing
from oresight.tasks.detection.defects import Row, planted
from oresight.tasks.detection.detector import MIN_EXAMPLES
from oresight.tasks.formats.sample import content_id
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import stored_datasets

MIN_PER_KIND = 50
"""Fewest canaries of each kind, if enough trusted rows can carry the defect."""
Canary = dict[str, Any]


def plant(run: Run) -> int:
    """Store the canaries of the current reference in the database, and return their number.

    There are none if `flagging.canaries` is 0 or there are too few trusted rows to learn from. Raises ValueError if the
    reference is not in the database.
    """
    config, reference = run.config, run.config.reference_name
    with reading(config.database) as connection:
        stored = stored_datasets(connection, config.database, reference)
        rows = records(connection, "plant_rows", {"reference": reference})
        parameters = {"reference": reference, "reference_hash": stored[reference].content_hash, "run_id": run.run_id}
        before = set(execute(connection, "plant_stored", parameters).fetchall())
    share = config.flagging.canaries
    if share and 0 < len(rows) < MIN_EXAMPLES:
        log().info("plant: no canaries: %d trusted rows are too few, %d would do", len(rows), MIN_EXAMPLES)
    per_kind = max(MIN_PER_KIND, round(share * len(rows))) if share and len(rows) >= MIN_EXAMPLES else 0
    canaries = _copies(rows, per_kind)
    if before != {(canary["sample_id"], canary["canary"]) for canary in canaries}:
        with writing(config.database) as connection, transaction(connection):
            execute(connection, "plant_clear", parameters)
            if canaries:
                connection.register("new_canaries", pa.Table.from_pylist(canaries))
                execute(connection, "plant_insert", parameters)
    if canaries:
        kinds = sorted({canary["canary"] for canary in canaries})
        log().info("plant: %d canaries in copies of %d trusted rows: %s", len(canaries), len(rows), ", ".join(kinds))
    return len(canaries)


def _copies(rows: list[dict[str, Any]], per_kind: int) -> list[Canary]:
    """The canaries of trusted rows. None has the content of a trusted row or of another canary of the same kind."""
    twins = {row["sample_id"]: row for row in rows}
    pictures = {tuple(image["sha256"] for image in row["images"] or []): row["images"] for row in rows}
    plain = [
        Row(row["sample_id"], row["prompt"], row["answer"], tuple(image["sha256"] for image in row["images"] or []))
        for row in rows
    ]
    canaries: dict[tuple[str, str], Canary] = {}
    for kind, copy in planted(plain, per_kind) if per_kind else []:
        twin, images = twins[copy.sample_id], pictures[copy.images]
        messages = json.loads(twin["messages"])
        if copy.answer != twin["answer"]:
            messages[-1]["content"] = copy.answer
        turns = orjson.dumps(messages, option=orjson.OPT_SORT_KEYS).decode()
        content = [
            f"grey {image['width']} x {image['height']}" if copy.is_blank else image["sha256"] for image in images or []
        ]
        sample_id = content_id(turns, twin["tools"], content)
        if sample_id not in twins:
            canaries[kind, sample_id] = {
                "sample_id": sample_id,
                "twin": copy.sample_id,
                "canary": kind,
                "prompt": copy.prompt,
                "answer": copy.answer,
                "messages": turns,
                "images": images,
                "is_blank": copy.is_blank,
            }
    return list(canaries.values())
