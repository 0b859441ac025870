"""Trusted rows -> canaries: copies with a known defect. They are scored as rows are, and show what can be detected."""

import json
from typing import Any

import orjson
import pyarrow as pa

from oresight.tasks.database import execute, reading, records, transaction, writing
from oresight.tasks.detection.defects import Row, planted
from oresight.tasks.detection.detector import FEWEST
from oresight.tasks.formats.sample import content_id
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import stored_datasets

AT_LEAST = 50
"""Canaries of each kind, where as many trusted rows can carry it."""
Canary = dict[str, Any]


def plant(run: Run) -> int:
    """Make the database hold the canaries of the reference as it is now; returns how many there are.

    There are none where `flagging.canaries` is 0, or the trusted rows are too few to learn from. Raises ValueError if
    the reference is not there.
    """
    config, reference = run.config, run.config.reference.name
    with reading(config.database) as connection:
        stored = stored_datasets(connection, config.database, reference)
        rows = records(connection, "plant_rows", {"reference": reference})
        names = {"reference": reference, "reference_hash": stored[reference].content_hash, "run_id": run.run_id}
        before = set(execute(connection, "plant_stored", names).fetchall())
    share = config.flagging.canaries
    if share and len(rows) < FEWEST:
        log().info("plant: no canaries: %d trusted rows are too few to learn from, %d would do", len(rows), FEWEST)
    per_kind = max(AT_LEAST, round(share * len(rows))) if share and len(rows) >= FEWEST else 0
    canaries = _copies(rows, per_kind)
    if before != {(canary["sample_id"], canary["canary"]) for canary in canaries}:
        with writing(config.database) as connection, transaction(connection):
            execute(connection, "plant_clear", names)
            if canaries:
                connection.register("new_canaries", pa.Table.from_pylist(canaries))
                execute(connection, "plant_insert", names)
    if canaries:
        kinds = sorted({canary["canary"] for canary in canaries})
        log().info("plant: %d canaries in copies of %d trusted rows: %s", len(canaries), len(rows), ", ".join(kinds))
    return len(canaries)


def _copies(rows: list[dict[str, Any]], per_kind: int) -> list[Canary]:
    """The canaries of trusted rows. None has the content of a trusted row or of another canary of its kind."""
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
        content = [f"grey {i['width']} x {i['height']}" if copy.is_blank else i["sha256"] for i in images or []]
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
