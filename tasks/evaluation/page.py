"""What was found out about the method, as one HTML file: all evaluations that the database has, with figures."""

from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any

from oresight.tasks.config import Curate
from oresight.tasks.database import reading, records
from oresight.tasks.evaluation.measure import Comparison
from oresight.tasks.evaluation.tables import finetune_verdict
from oresight.tasks.pages.charts import curves, dots
from oresight.tasks.pages.html import write_page

ASKED = [one.name for one in fields(Comparison)]
SERIES = ("evaluation", "dataset", "model", "setting", "conditions")
FIGURES = {
    ("influence", "auc of seeds"): "AUC of each method, of a query's class; the bars are deviations over draws",
    ("planted", "auc"): "AUC of each method, where defects were planted; the bars are deviations over seeds",
    ("finetune", "test loss"): "Test loss after as many tokens of rows that each method keeps",
    ("removal", "test loss"): "Test loss without some of the rows",
}
"""Evaluations with the metric that is drawn, and what the figure says."""


def write_evaluations(config: Curate) -> Path:
    """Write FOLDER/SPLIT/evaluations.html."""
    with reading(config.database) as connection:
        numbers = records(connection, "page_numbers", {})
        compared = records(connection, "page_compared", {})
    figures = []
    for (evaluation, metric), caption in FIGURES.items():
        shown = [
            row
            for row in numbers
            if (row["evaluation"], row["metric"]) == (evaluation, metric)
            and (evaluation != "planted" or row["setting"].endswith("all kinds"))
        ]
        for (*place, _), group in groupby(sorted(shown, key=_drawn), key=_drawn):
            rows = [*group]
            drawing = curves(rows) if evaluation == "removal" else dots(rows, metric.removesuffix(" of seeds"))
            figures.append({"svg": drawing, "caption": f"{caption}. {', '.join(filter(None, place))}"})
    page = Path(config.publishing.folder) / config.splitting.name / "evaluations.html"
    settled = [
        (
            f"{row['dataset']}, {row['setting']}, {row['model']}",
            finetune_verdict(Comparison(**{name: row[name] for name in ASKED})),
        )
        for row in compared
        if (row["evaluation"], row["method"], row["against"]) == ("finetune", "kept", "random")
    ]
    under = dict.fromkeys(tuple(row[name] for name in SERIES) for row in numbers)
    write_page(
        page, "evaluations.html", figures=figures, numbers=numbers, compared=compared, settled=settled, conditions=under
    )
    return page


def _drawn(row: dict[str, Any]) -> tuple[str, ...]:
    """What a figure is of; one of removals is over their settings."""
    setting = "" if row["evaluation"] == "removal" else row["setting"]
    return row["dataset"], row["model"], setting, row["conditions"]
