"""What a person says of a row -> a line in the database, which the next split obeys."""

import getpass
import json
from typing import Any, Literal

from oresight.tasks.config import Curate
from oresight.tasks.database import execute, reading, records, transaction, writing
from oresight.tasks.formats import recognise
from oresight.tasks.pages.evidence import rows_with_evidence
from oresight.tasks.runs.record import Run

Verdict = Literal["keep", "drop", "relabel", "undo"]
QUEUE = 500
"""Rows that are offered at a time."""


def review_queue(run: Run) -> list[dict[str, Any]]:
    """Flagged rows with their evidence and the verdict that they have, the most suspicious first."""
    with reading(run.config.database) as connection:
        return rows_with_evidence(connection, run.scope(connection), flagged=True, n=QUEUE)


def decide(
    config: Curate, sample_id: str, verdict: Verdict, answer: str | None = None, why: str = "", who: str | None = None
) -> None:
    """Keep a verdict. It needs no turn: a run that goes on meanwhile does not look at verdicts but to split.

    Raises ValueError if there is no such row, or the answer that relabel needs is missing or cannot be put in.
    """
    place = {"dataset": config.dataset.name, "sample_id": sample_id}
    with reading(config.database) as connection:
        row = execute(connection, "verdict_record", place).fetchone()
    if row is None:
        raise ValueError(f"{config.database}: {config.dataset.name!r} has no row {sample_id}")
    record = None
    if verdict == "relabel":
        if not (answer or "").strip():
            raise ValueError("relabel needs the right answer")
        held = json.loads(row[0])
        record = json.dumps(
            recognise([held], config.dataset.columns).with_answer(held, answer or ""), ensure_ascii=False
        )
    values = {"verdict": verdict, "answer": answer if record else None, "record": record, "why": " ".join(why.split())}
    with writing(config.database) as connection, transaction(connection):
        execute(connection, "verdict_insert", place | values | {"who": who or getpass.getuser()})


def precision(config: Curate) -> list[dict[str, Any]]:
    """How often people agreed with the flags."""
    with reading(config.database) as connection:
        return records(connection, "report_precision", {"dataset": config.dataset.name})
