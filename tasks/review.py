"""A person's verdict on a row -> an entry in the database, which the next split obeys."""

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
"""Most rows that the review page shows."""


def review_queue(run: Run) -> list[dict[str, Any]]:
    """Flagged rows with their evidence and their present verdict, the most suspicious first."""
    with reading(run.config.database) as connection:
        return rows_with_evidence(connection, run.scope(connection), flagged=True, n=QUEUE)


def decide(
    config: Curate, sample_id: str, verdict: Verdict, answer: str | None = None, why: str = "", who: str | None = None
) -> None:
    """Store a verdict. This does not wait for a run in progress, because only its split step reads verdicts.

    Raises ValueError if there is no such row, or a relabel has no answer or one that the row's layout cannot hold.
    """
    row_keys = {"dataset": config.dataset.name, "sample_id": sample_id}
    with reading(config.database) as connection:
        row = execute(connection, "verdict_record", row_keys).fetchone()
    if row is None:
        raise ValueError(f"{config.database}: {config.dataset.name!r} has no row {sample_id}")
    record = None
    if verdict == "relabel":
        if not (answer or "").strip():
            raise ValueError("relabel needs the right answer")
        original = json.loads(row[0])
        columns = config.dataset.columns
        layout = recognise([dict.fromkeys(columns.names) | original], columns.given)
        record = json.dumps(layout.with_answer(original, answer or ""), ensure_ascii=False)
    values = {"verdict": verdict, "answer": answer if record else None, "record": record, "why": " ".join(why.split())}
    with writing(config.database) as connection, transaction(connection):
        execute(connection, "verdict_insert", row_keys | values | {"who": who or getpass.getuser()})


def precision(config: Curate) -> list[dict[str, Any]]:
    """How often people confirmed the flags of each check."""
    with reading(config.database) as connection:
        return records(connection, "report_precision", {"dataset": config.dataset.name})
