"""What was found out about the method, as one HTML file: all evaluations that the database has, with figures."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from tasks.charts import curves, dots
from tasks.config import Curate
from tasks.database import reading, records
from tasks.findings import verdict
from tasks.measure import Comparison
from tasks.page import write_page

ASKED = [one.name for one in fields(Comparison)]
SERIES = ("evaluation", "dataset", "model", "setting", "conditions")
FIGURES = {
    (
        "planted",
        "auc",
    ): "AUC of each method, where defects of all kinds were planted; the bars are deviations over seeds",
    ("finetune", "test loss"): "Test loss after as many tokens of rows that each method keeps",
    ("removal", "test loss"): "Test loss without some of the rows",
}
"""Evaluations with the metric that is drawn, and what the figure says."""


def proof(config: Curate) -> Path:
    """Write FOLDER/SPLIT/evaluations.html."""
    with reading(config.database) as connection:
        numbers = records(connection, "proof_numbers", {})
        compared = records(connection, "proof_compared", {})
    figures = []
    for (evaluation, metric), caption in FIGURES.items():
        for place in sorted({_place(row) for row in numbers if row["evaluation"] == evaluation}):
            rows = [
                row
                for row in numbers
                if (row["evaluation"], row["metric"]) == (evaluation, metric) and _place(row) == place
            ]
            shown = [row for row in rows if evaluation != "planted" or row["setting"].endswith("all kinds")]
            if shown:
                drawing = curves(shown) if evaluation == "removal" else dots(shown, metric)
                figures.append({"svg": drawing, "caption": f"{caption}. {' with '.join(place)}"})
    page = Path(config.publishing.folder) / config.splitting.name / "evaluations.html"
    settled = [
        (
            f"{row['dataset']}, {row['setting']}, {row['model']}",
            verdict(Comparison(**{name: row[name] for name in ASKED})),
        )
        for row in compared
        if (row["evaluation"], row["method"], row["against"]) == ("finetune", "kept", "random")
    ]
    under = dict.fromkeys(tuple(row[name] for name in SERIES) for row in numbers)
    write_page(
        page, "evaluations.html", figures=figures, numbers=numbers, compared=compared, settled=settled, conditions=under
    )
    return page


def _place(row: dict[str, Any]) -> tuple[str, str]:
    return row["dataset"], row["model"]
