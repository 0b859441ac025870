"""Ask a person for approval before a version is published, by a form in the Prefect UI."""

from typing import Literal

from prefect import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from oresight.tasks.config import Curate
from oresight.tasks.publishing.gate import record_answer
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Waiting


class Approval(RunInput):
    """May this version be published?"""

    decision: Literal["approve", "reject"] = Field(
        description="Reject publishes nothing; versions published before stay."
    )
    who: str = Field(default="", description="Your name; it is stored with the version.")
    note: str = Field(default="", description="Your reason; it is stored with the version.")


def request_approval(config: Curate, waiting: Waiting) -> None:
    """Suspend the flow run until a person answers, and store the answer.

    No process waits, and the database is free meanwhile. An answer restarts the run, which finds its steps done.
    Prefect fails the run if no answer comes in time.
    """
    log().info("publish: %s/v%d waits for approval", waiting.split, waiting.version)
    record_answer(config, waiting.version, "asked", "")
    answer = suspend_flow_run(
        wait_for_input=Approval.with_initial_data(description=summary_for_approval(waiting)),
        timeout=round(config.publishing.approval_hours * 3600),
        key=f"{waiting.split}-v{waiting.version}",
    )
    decision = "approved" if answer.decision == "approve" else "rejected"
    record_answer(config, waiting.version, decision, answer.who or "somebody in the Prefect UI", answer.note)


def summary_for_approval(waiting: Waiting) -> str:
    """The numbers that a person decides by, as markdown."""
    numbers = waiting.numbers
    all_rows = (numbers["rows_kept"] or 0) + (numbers["rows_dropped"] or 0)
    flagged_change = _moved(numbers["flagged_moved"], numbers["previous"])
    dropped_change = _moved(numbers["kept_moved"], numbers["previous"], -1)
    lines = [
        f"**{waiting.split}/v{waiting.version}** keeps {numbers['rows_kept']:,} of {all_rows:,} rows.",
        f"- flagged: {_share(numbers['rows_flagged'], all_rows)}{flagged_change}",
        f"- dropped: {_share(numbers['rows_dropped'], all_rows)}{dropped_change}",
        f"- best detected kind of planted defect, AUC: {_number(numbers['detectability'])}",
        f"- trusted rows that would be flagged: {_number(numbers['false_flags'])}",
    ]
    return "\n".join(lines)


def _number(x: float | None) -> str:
    return "not measured" if x is None else f"{x:.3g}"


def _share(rows: float | None, all_rows: float) -> str:
    return "unknown" if rows is None else f"{rows:,} ({rows / all_rows:.1%})"


def _moved(points: float | None, previous: float | None, sign: int = 1) -> str:
    return "" if points is None else f", {100 * sign * points:+.1f} points from v{previous}"
