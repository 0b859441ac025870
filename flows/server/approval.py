"""The question that a run asks before it publishes, as a form in the Prefect UI."""

from typing import Literal

from prefect import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from oresight.tasks.config import Curate
from oresight.tasks.publishing.gate import record_answer
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Waiting


class Approval(RunInput):
    """Whether this version may be published."""

    decision: Literal["approve", "reject"] = Field(
        description="Reject publishes nothing, and what was published before stays."
    )
    who: str = Field(default="", description="Your name; it is kept with the version.")
    note: str = Field(default="", description="Why; it is kept with the version.")


def request_approval(config: Curate, waiting: Waiting) -> None:
    """Suspend the run until somebody has answered, and keep the answer. No process waits, and no one has the database;
    an answer lets the run start again, which finds its steps done. Without one in time Prefect fails the run.
    """
    place = {"split": waiting.split, "version": waiting.version}
    log().info("publish: %s/v%d waits for approval", *place.values())
    record_answer(config, waiting.version, "asked", "")
    said = suspend_flow_run(
        wait_for_input=Approval.with_initial_data(description=numbers_to_decide_by(waiting)),
        timeout=round(config.publishing.approval_hours * 3600),
        key=f"{waiting.split}-v{waiting.version}",
    )
    decision = "approved" if said.decision == "approve" else "rejected"
    record_answer(config, waiting.version, decision, said.who or "somebody in the Prefect UI", said.note)


def numbers_to_decide_by(waiting: Waiting) -> str:
    """What there is to decide by, as markdown."""
    found = waiting.numbers
    all_rows = (found["rows_kept"] or 0) + (found["rows_dropped"] or 0)
    lines = [
        f"**{waiting.split}/v{waiting.version}** keeps {found['rows_kept']:,} of {all_rows:,} rows.",
        f"- flagged: {_share(found['rows_flagged'], all_rows)}{_moved(found['flagged_moved'], found['previous'])}",
        f"- dropped: {_share(found['rows_dropped'], all_rows)}{_moved(found['kept_moved'], found['previous'], -1)}",
        f"- best detected kind of planted defect: {_number(found['detectability'])} (AUC)",
        f"- trusted rows that would be flagged: {_number(found['false_flags'])}",
    ]
    return "\n".join(lines)


def _number(x: float | None) -> str:
    return "not measured" if x is None else f"{x:.3g}"


def _share(rows: float | None, all_rows: float) -> str:
    return "not known" if rows is None else f"{rows:,} ({rows / all_rows:.1%})"


def _moved(points: float | None, previous: float | None, sign: int = 1) -> str:
    return "" if points is None else f", {100 * sign * points:+.1f} points from v{previous}"
