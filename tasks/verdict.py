"""What a person says of a row -> a line in the database, which the next split obeys."""

import getpass
import json
from typing import Any, Literal

from tasks.config import Curate
from tasks.database import query, reading, records, transaction, writing
from tasks.evidence import rows_with_evidence, standing
from tasks.formats import recognise

Verdict = Literal["keep", "drop", "relabel", "undo"]
QUEUE = 500
"""Rows that are offered at a time."""


def waiting(config: Curate, model_key: str) -> list[dict[str, Any]]:
    """Flagged rows with their evidence and the verdict that they have, the most suspicious first."""
    with reading(config.database) as connection:
        names = standing(connection, config, model_key)
        return rows_with_evidence(connection, names, flagged=True, n=QUEUE)


def decide(
    config: Curate, sample_id: str, verdict: Verdict, answer: str | None = None, why: str = "", who: str | None = None
) -> None:
    """Keep a verdict. It needs no turn: a run that goes on meanwhile does not look at verdicts but to split.

    Raises ValueError if there is no such row, or the answer that relabel needs is missing or cannot be put in.
    """
    place = {"dataset": config.dataset.name, "sample_id": sample_id}
    with reading(config.database) as connection:
        row = connection.execute(query("verdict_record"), place).fetchone()
    if row is None:
        raise ValueError(f"{config.database}: {config.dataset.name!r} has no row {sample_id}")
    record = None
    if verdict == "relabel":
        if not (answer or "").strip():
            raise ValueError("relabel needs the right answer")
        held = json.loads(row[0])
        record = json.dumps(recognise([held], config.dataset.columns).answered(held, answer or ""), ensure_ascii=False)
    values = {"verdict": verdict, "answer": answer if record else None, "record": record, "why": " ".join(why.split())}
    with writing(config.database) as connection, transaction(connection):
        connection.execute(query("verdict_insert"), place | values | {"who": who or getpass.getuser()})


def precision(config: Curate) -> list[dict[str, Any]]:
    """How often people agreed with the flags."""
    with reading(config.database) as connection:
        return records(connection, "report_precision", {"dataset": config.dataset.name})
