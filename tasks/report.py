"""Writes the report: the results as one self-contained HTML file.

Flagged rows are shown as short cards: pictures, question, answer, the model's own answer, and why the row is flagged.
Details open on demand: the value of each token, and the rows that speak for and against the answer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oresight.tasks.config import Curate
from oresight.tasks.database import Connection, reading, records
from oresight.tasks.detection.detector import reach
from oresight.tasks.matching.kinds import kinds_of
from oresight.tasks.pages.cards import add_facets, card_rows
from oresight.tasks.pages.charts import calibration, detectability, histogram, sources
from oresight.tasks.pages.checks import PAGE, write_checks
from oresight.tasks.pages.html import Head, write_page
from oresight.tasks.pages.verdict import SAID_WITHOUT_TRUSTED, verdict
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import Scope

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
    verdict: list[str]
    """Sentences: what was found, how sure it is, and what cannot be seen."""
    plots: dict[str, str]
    """SVG text by the name of the plot."""
    kinds: list[dict[str, Any]]
    """Kinds of planted defects and how well they are detected."""
    worst: list[dict[str, Any]]
    """File, line and flags of the most suspicious flagged rows, without their text."""


def report(run: Run) -> Reported:
    """Write FOLDER/SPLIT/report.html, and the page of checks with links to its rows.

    Raises ValueError if the dataset or the reference is not in the database.
    """
    config, split = run.config, run.config.splitting.name
    folder = Path(config.publishing.folder) / split
    with reading(config.database) as connection:
        scope = run.scope(connection)
        names = {"split": split, "dataset": scope.dataset}
        newest = next(iter(records(connection, "page_version", names)), None)
        version = newest["version"] if newest else None
        flagged, others = (
            card_rows(connection, scope, split=split, version=version, flagged=is_flagged, n=n)
            for is_flagged, n in ((True, FLAGGED_ROWS), (False, OTHER_ROWS))
        )
        facts = _facts(connection, scope.parameters | {"split": split})
        coverage = _coverage(connection, scope.parameters | {"split": split})
        plots = _plots(connection, scope.parameters, facts)
        lineage = records(connection, "lineage_of", {"split": split, "version": version})
        in_report = {row["sample_id"] for row in (*flagged, *others)}
        write_checks(connection, folder / PAGE, **names, version=version, in_report=in_report)
    said, error_reach = _verdict(config, scope, facts)
    write_page(
        folder / "report.html",
        "report.html",
        Head(scope.dataset, split, version, said),
        scope=scope,
        rate=config.flagging.false_discovery_rate,
        reach=error_reach,
        newest=newest,
        lineage=lineage,
        plots=plots,
        coverage=coverage,
        facets=add_facets([*flagged, *others]),
        flagged=flagged,
        others=others,
        **facts,
    )
    page = folder / "report.html"
    log().info("report: %d flagged rows shown in %s", len(flagged), page)
    worst = [
        {"row": row["sample_id"], "file": row["source_file"], "line": row["source_line"]}
        | {"flags": ", ".join(flag["check"] for flag in row["flags"]), "q": row["q_value"]}
        for row in flagged[:TOP_ROWS]
    ]
    return Reported(page, said, plots, facts["kinds"], worst)


def _facts(connection: Connection, parameters: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The tables of the report, by name."""
    return {
        "datasets": records(connection, "report_datasets", parameters),
        "checks": records(connection, "report_flagged", parameters),
        "kinds": records(connection, "report_detectability", parameters),
        "trials": records(connection, "report_calibration", parameters),
        "precision": records(connection, "report_precision", parameters),
        "reasons": records(connection, "report_reasons", parameters),
    }


def _plots(
    connection: Connection, parameters: dict[str, Any], facts: dict[str, list[dict[str, Any]]]
) -> dict[str, str]:
    """The figures as SVG text, by name. A figure without data is empty."""
    bins = records(connection, "report_histogram", parameters)
    files = records(connection, "report_sources", parameters)
    return {
        "histogram": histogram(bins) if bins else "",
        "detectability": detectability(facts["kinds"]) if facts["kinds"] else "",
        "calibration": calibration(facts["trials"]) if facts["trials"] else "",
        "sources": sources(files) if files else "",
    }


def _verdict(config: Curate, scope: Scope, facts: dict[str, list[dict[str, Any]]]) -> tuple[list[str], str]:
    """What the report says in sum, and how far a guaranteed error rate reaches; "" if none is guaranteed."""
    if not scope.has_trusted:
        return SAID_WITHOUT_TRUSTED, ""
    rate = config.flagging.false_discovery_rate
    counts = {check["check_name"]: check["rows"] for check in facts["checks"]}
    trial = next((trial for trial in facts["trials"] if trial["stated"] == rate), None)
    trusted = trial["trusted_rows"] if trial and config.flagging.error == "guaranteed" else None
    said = verdict(counts.get("looks_mislabeled", 0), trial, facts["kinds"], counts.get("unlike_trusted", 0), rate)
    return said, reach(trusted, rate, "guaranteed") if trusted else ""


def _coverage(connection: Connection, parameters: dict[str, Any]) -> dict[str, Any]:
    """What the trusted rows ask for and the dataset lacks, what the dataset has and nobody asks for, and twins."""
    covered = records(connection, "report_coverage", parameters)
    unasked = records(connection, "report_unasked", parameters)
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
