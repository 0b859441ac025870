"""Trusted rows -> canaries: copies with a known defect, which are scored as rows are and show what can be detected."""

import json
from typing import Any

import orjson
import pyarrow as pa

from tasks.config import Curate
from tasks.database import query, reading, records, transaction, writing
from tasks.defects import Row, planted
from tasks.detector import FEWEST
from tasks.formats.sample import content_id
from tasks.progress import log
from tasks.run import stored

AT_LEAST = 50
"""Canaries of each kind, where as many trusted rows can carry it."""
Canary = dict[str, Any]


def plant(config: Curate, run_id: str) -> int:
    """Make the database hold the canaries of the reference as it stands; gives how many there are.

    None where `flagging.canaries` is 0, or the trusted rows are too few to learn from. Raises ValueError if the
    reference is not there.
    """
    with reading(config.database) as connection:
        known = stored(connection, config.database, config.reference.name)
        rows = records(connection, "plant_rows", {"reference": config.reference.name})
        place = {"reference": config.reference.name, "reference_hash": known[config.reference.name].content_hash}
        standing = set(connection.execute(query("plant_standing"), place).fetchall())
    share = config.flagging.canaries
    if share and len(rows) < FEWEST:
        log().info("plant: no canaries: %d trusted rows are too few to learn from, %d would do", len(rows), FEWEST)
    wanted = max(AT_LEAST, round(share * len(rows))) if share and len(rows) >= FEWEST else 0
    made = _copies(rows, wanted)
    if standing != {(one["sample_id"], one["canary"]) for one in made}:
        with writing(config.database) as connection, transaction(connection):
            connection.execute(query("plant_clear"), {"reference": config.reference.name})
            if made:
                connection.register("planted", pa.Table.from_pylist(made))
                connection.execute(query("plant_insert"), place | {"run_id": run_id})
    if made:
        kinds = sorted({one["canary"] for one in made})
        log().info("plant: %d canaries in copies of %d trusted rows: %s", len(made), len(rows), ", ".join(kinds))
    return len(made)


def _copies(rows: list[dict[str, Any]], per_kind: int) -> list[Canary]:
    """The canaries of trusted rows, none with the content of a trusted row or of another of its kind."""
    twins = {row["sample_id"]: row for row in rows}
    pictures = {tuple(one["sha256"] for one in row["images"] or []): row["images"] for row in rows}
    plain = [
        Row(row["sample_id"], row["prompt"], row["answer"], tuple(one["sha256"] for one in row["images"] or []))
        for row in rows
    ]
    found: dict[tuple[str, str], Canary] = {}
    for kind, copy in planted(plain, per_kind) if per_kind else []:
        twin, images = twins[copy.sample_id], pictures[copy.images]
        messages = json.loads(twin["messages"])
        if copy.answer != twin["answer"]:
            messages[-1]["content"] = copy.answer
        turns = orjson.dumps(messages, option=orjson.OPT_SORT_KEYS).decode()
        shown = [f"grey {one['width']} x {one['height']}" if copy.is_blank else one["sha256"] for one in images or []]
        sample_id = content_id(turns, twin["tools"], shown)
        if sample_id not in twins:
            found[kind, sample_id] = {
                "sample_id": sample_id,
                "twin": copy.sample_id,
                "canary": kind,
                "prompt": copy.prompt,
                "answer": copy.answer,
                "messages": turns,
                "images": images,
                "is_blank": copy.is_blank,
            }
    return list(found.values())
