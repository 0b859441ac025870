"""Writes the report: the results as one self-contained HTML file.

Flagged rows are shown with their pictures, their answer, the model's own answer, the value of each token, and the rows
that speak for and against them. Text of rows is escaped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oresight.tasks.database import reading, records
from oresight.tasks.detection.detector import reach
from oresight.tasks.matching.kinds import kinds_of
from oresight.tasks.pages.charts import calibration, detectability, histogram, sources
from oresight.tasks.pages.evidence import rows_with_evidence
from oresight.tasks.pages.html import write_page
from oresight.tasks.pages.verdict import WITHOUT_TRUSTED, verdict
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run

FLAGGED_ROWS = 100
"""Most flagged rows that are shown."""
OTHER_ROWS = 24
"""Most rows without a flag that are shown."""
TOP_ROWS = 10
"""Flagged rows that the summary lists."""


TRUSTED_ROWS = 10
"""Trusted rows that each list of the coverage shows."""
ALIKE = 0.9
"""Similarity from which on two trusted rows are called alike."""


@dataclass(frozen=True)
class Reported:
    """The page, and the parts of it that are shown elsewhere too."""

    page: Path
    plots: dict[str, str]
    """SVG text by the name of the plot."""
    kinds: list[dict[str, Any]]
    """Kinds of planted defects and how well they are detected."""
    worst: list[dict[str, Any]]
    """File, line and flags of the most suspicious flagged rows, without their text."""
    verdict: list[str]
    """The first sentences of the page: what was found, how sure that is, and what cannot be seen."""


def report(run: Run) -> Reported:
    """Write FOLDER/SPLIT/report.html. Raises ValueError if the dataset or the reference is not in the database."""
    config, rate = run.config, run.config.flagging.false_discovery_rate
    with reading(config.database) as connection:
        scope = run.scope(connection)
        parameters = scope.parameters | {"split": config.splitting.name}
        facts: dict[str, Any] = {
            "flagged": rows_with_evidence(connection, scope, flagged=True, n=FLAGGED_ROWS),
            "others": rows_with_evidence(connection, scope, flagged=False, n=OTHER_ROWS),
            "datasets": records(connection, "report_datasets", parameters),
            "checks": records(connection, "report_flagged", parameters),
            "kinds": records(connection, "report_detectability", parameters),
            "trials": records(connection, "report_calibration", parameters),
            "precision": records(connection, "report_precision", parameters),
            "reasons": records(connection, "report_reasons", parameters),
        }
        covered = records(connection, "report_coverage", parameters)
        unasked = records(connection, "report_unasked", parameters)
        bins = records(connection, "report_histogram", parameters)
        files = records(connection, "report_sources", parameters)
    plots = {
        "histogram": histogram(bins) if bins else "",
        "detectability": detectability(facts["kinds"]) if facts["kinds"] else "",
        "calibration": calibration(facts["trials"]) if facts["trials"] else "",
        "sources": sources(files) if files else "",
    }
    page = Path(config.publishing.folder) / config.splitting.name / "report.html"
    counts = {check["check_name"]: check["rows"] for check in facts["checks"]}
    trial = next((trial for trial in facts["trials"] if trial["stated"] == rate), None)
    trusted = trial["trusted_rows"] if trial and config.flagging.error == "guaranteed" else None
    said = WITHOUT_TRUSTED
    if scope.has_trusted:
        said = verdict(counts.get("looks_mislabeled", 0), trial, facts["kinds"], counts.get("unlike_trusted", 0), rate)
    head = {
        "verdict": said,
        "names": parameters,
        "model": scope.model,
        "has_trusted": scope.has_trusted,
        "rate": rate,
        "reach": reach(trusted, rate, "guaranteed") if trusted else "",
    }
    write_page(page, "report.html", **head, plots=plots, coverage=_coverage(covered, unasked), **facts)
    log().info("report: %d flagged rows shown in %s", len(facts["flagged"]), page)
    worst = [
        {"row": row["sample_id"], "file": row["source_file"], "line": row["source_line"]}
        | {"flags": ", ".join(flag["check"] for flag in row["flags"]), "q": row["q_value"]}
        for row in facts["flagged"][:TOP_ROWS]
    ]
    return Reported(page, plots, facts["kinds"], worst, said)


def _coverage(covered: list[dict[str, Any]], unasked: list[dict[str, Any]]) -> dict[str, Any]:
    """What the trusted rows ask for and the dataset lacks, what the dataset has and nobody asks for, and twins."""
    starved = [row for row in covered if row["is_starved"]]
    alike = [row for row in covered if row["twin"] and row["twin_similarity"] >= ALIKE]
    twin_of = {row["sample_id"]: row["twin"] for row in alike}
    alike = [row for row in alike if row["sample_id"] < row["twin"] or twin_of.get(row["twin"]) != row["sample_id"]]
    kinds = kinds_of(np.array([row["text_state"] for row in unasked])) if unasked else []
    rows, shown = (unasked[0]["rows"] if unasked else 0), len(unasked)
    return {
        "trusted": len(covered),
        "starved": starved[:TRUSTED_ROWS],
        "starved_count": len(starved),
        "unserved_count": sum(row["rows_kept"] == 0 for row in covered),
        "alike": sorted(alike, key=lambda row: -row["twin_similarity"])[:TRUSTED_ROWS],
        "alike_count": len(alike),
        "unasked_count": rows,
        "kinds": [
            {"rows": round(kind.size * rows / shown), "examples": [unasked[i] for i in kind.typical]} for kind in kinds
        ],
    }
