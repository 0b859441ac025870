"""What was found, as one HTML file that needs nothing from outside.

Flagged rows are shown with their pictures, their answer, what the model would have answered, the tokens that weigh most
and the rows that speak for and against them. What rows say is escaped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.charts import calibration, detectability, histogram, sources
from tasks.config import Curate
from tasks.database import query, reading, records
from tasks.detector import reach
from tasks.evidence import rows_with_evidence, standing
from tasks.page import write_page
from tasks.progress import log

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


def report(config: Curate, model_key: str, model: str) -> Reported:
    """Write FOLDER/SPLIT/report.html. Raises ValueError if there is nothing to report on."""
    rate = config.flagging.false_discovery_rate
    with reading(config.database) as connection:
        names = standing(connection, config, model_key)
        dataset, both = {"dataset": names["dataset"]}, {k: names[k] for k in ("dataset", "reference")}
        found: dict[str, Any] = {
            "flagged": rows_with_evidence(connection, names, flagged=True, n=ROWS),
            "others": rows_with_evidence(connection, names, flagged=False, n=OTHERS),
            "datasets": records(connection, "report_datasets", both),
            "checks": records(connection, "report_flagged", dataset),
            "kinds": records(connection, "report_detectability", names),
            "trials": records(connection, "report_calibration", names),
            "precision": records(connection, "report_precision", dataset),
            "reasons": records(connection, "report_reasons", dataset | {"split": config.splitting.name}),
        }
        bins = records(connection, "report_histogram", names)
        files = records(connection, "report_sources", dataset)
        (trusted,) = connection.execute(query("report_trusted"), names).fetchone() or (0,)
    plots = {
        "histogram": histogram(bins) if bins else "",
        "detectability": detectability(found["kinds"]) if found["kinds"] else "",
        "calibration": calibration(found["trials"]) if found["trials"] else "",
        "sources": sources(files) if files else "",
    }
    page = Path(config.publishing.folder) / config.splitting.name / "report.html"
    told = {"names": names, "model": model, "rate": rate, "reach": reach(trusted, rate) if trusted else ""}
    write_page(page, "report.html", **told, plots=plots, **found)
    log().info("report: %d flagged rows shown in %s", len(found["flagged"]), page)
    worst = [
        {"row": row["sample_id"], "file": row["source_file"], "line": row["source_line"]}
        | {"flags": ", ".join(flag["check"] for flag in row["flags"]), "q": row["q_value"]}
        for row in found["flagged"][:WORST]
    ]
    return Reported(page, plots, found["kinds"], worst)
