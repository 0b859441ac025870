"""What was found, as one HTML file that needs nothing from outside.

Flagged rows are shown with their pictures, their answer, what the model would have answered, the tokens that weigh most
and the rows that speak for and against them. What rows say is escaped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oresight.tasks.database import execute, reading, records
from oresight.tasks.detection.detector import reach
from oresight.tasks.pages.charts import calibration, detectability, histogram, sources
from oresight.tasks.pages.evidence import rows_with_evidence
from oresight.tasks.pages.html import write_page
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run

ROWS = 100
"""Flagged rows that are shown, at most; as many again of those that are not, up to OTHERS."""
OTHERS = 24
WORST = 10


@dataclass(frozen=True)
class Reported:
    """The page, and of what is on it that which fits elsewhere: plots as SVG text by name, what can be detected, and
    where the most suspicious flagged rows are, without their text.
    """

    page: Path
    plots: dict[str, str]
    kinds: list[dict[str, Any]]
    worst: list[dict[str, Any]]


def report(run: Run) -> Reported:
    """Write FOLDER/SPLIT/report.html. Raises ValueError if there is nothing to report on."""
    config, rate = run.config, run.config.flagging.false_discovery_rate
    with reading(config.database) as connection:
        scope = run.scope(connection)
        names = scope.parameters | {"split": config.splitting.name}
        facts: dict[str, Any] = {
            "flagged": rows_with_evidence(connection, scope, flagged=True, n=ROWS),
            "others": rows_with_evidence(connection, scope, flagged=False, n=OTHERS),
            "datasets": records(connection, "report_datasets", names),
            "checks": records(connection, "report_flagged", names),
            "kinds": records(connection, "report_detectability", names),
            "trials": records(connection, "report_calibration", names),
            "precision": records(connection, "report_precision", names),
            "reasons": records(connection, "report_reasons", names),
        }
        bins = records(connection, "report_histogram", names)
        files = records(connection, "report_sources", names)
        (trusted,) = execute(connection, "report_trusted", names).fetchone() or (0,)
    plots = {
        "histogram": histogram(bins) if bins else "",
        "detectability": detectability(facts["kinds"]) if facts["kinds"] else "",
        "calibration": calibration(facts["trials"]) if facts["trials"] else "",
        "sources": sources(files) if files else "",
    }
    page = Path(config.publishing.folder) / config.splitting.name / "report.html"
    head = {"names": names, "model": scope.model, "rate": rate, "reach": reach(trusted, rate) if trusted else ""}
    write_page(page, "report.html", **head, plots=plots, **facts)
    log().info("report: %d flagged rows shown in %s", len(facts["flagged"]), page)
    worst = [
        {"row": row["sample_id"], "file": row["source_file"], "line": row["source_line"]}
        | {"flags": ", ".join(flag["check"] for flag in row["flags"]), "q": row["q_value"]}
        for row in facts["flagged"][:WORST]
    ]
    return Reported(page, plots, facts["kinds"], worst)
