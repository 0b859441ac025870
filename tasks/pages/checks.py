"""The page of checks: the newest result of each check, with examples of the rows that it returned."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from oresight.tasks.database import Connection, execute, records
from oresight.tasks.pages.html import Head, write_page
from oresight.tasks.pages.verdict import checks_verdict

PAGE = "checks.html"


def write_checks(
    connection: Connection,
    page: Path,
    dataset: str,
    split: str,
    *,
    version: int | None = None,
    in_report: Collection[str] = (),
) -> None:
    """Write the newest results of all checks of a dataset.

    Args:
        version: The version of the split that was decided from these checks; None before it is decided.
        in_report: The sample_ids of the rows that the report shows. The page links them to the report.
    """
    checks = records(connection, "check_page", {"dataset": dataset})
    for row in checks:
        row["examples"] = examples(connection, row["run_id"], dataset, row["check_name"]) if row["rows_failed"] else []
    (flagged,) = execute(connection, "flagged_rows", {"dataset": dataset}).fetchone() or (0,)
    head = Head(dataset, split, version, checks_verdict(checks, flagged))
    write_page(page, "check_page.html", head, checks=checks, in_report=in_report)


def examples(connection: Connection, run_id: str, dataset: str, name: str) -> list[dict[str, Any]]:
    """Some of the rows that a check returned: sample_id, reason, and the beginnings of prompt and answer."""
    values = {"run_id": run_id, "dataset": dataset, "check_name": name}
    return records(connection, "check_examples", values)
