"""Write all evaluations of a database as one HTML file, with figures."""

import re
from collections import defaultdict
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any

from oresight.tasks.config import Curate
from oresight.tasks.database import reading, records
from oresight.tasks.evaluation.measure import ALPHA, Comparison
from oresight.tasks.evaluation.tables import choice_sentence, finetune_verdict, target_verdicts
from oresight.tasks.pages.charts import curves, dots, losses_by_budget
from oresight.tasks.pages.html import Head, write_page

COMPARISON_COLUMNS = [column.name for column in fields(Comparison)]
SERIES = ("evaluation", "dataset", "model", "setting", "conditions")
"""Columns that identify a series of numbers. Numbers of different series are never pooled."""
FIGURES = {
    ("influence", "auc of seeds"): "AUC of each method for rows of a query's class; bars show deviations over draws",
    ("planted", "auc"): "AUC of each method for planted defects; bars show deviations over seeds",
    ("finetune", "test loss"): "Test loss after training on equal token budgets of the rows that each method keeps",
    ("removal", "test loss"): "Test loss after training without a share of the rows",
}
"""Captions of the figures, by evaluation and the metric that is drawn."""

UNITS = {
    "test loss": "nats/token",
    "loss on trusted rows": "nats/token",
    "seconds": "s",
    "peak MB": "MB",
    "wrong rows": "share of the rows",
}
"""Units of metrics. The others are shares, correlations and areas, which have none, or name their unit."""
HOLDS_HERE = (
    "The numbers hold for the datasets, models and conditions of this page, and say nothing of others."
    " To measure yours: oresight evaluate CONFIG.yaml."
)


def write_evaluations(config: Curate) -> Path:
    """Write FOLDER/SPLIT/evaluations.html and return its path."""
    dataset, split = config.dataset.name, config.splitting.name
    with reading(config.database) as connection:
        newest = records(connection, "page_version", {"split": split, "dataset": dataset})
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
        for (*series, _), group in groupby(sorted(shown, key=_figure_key), key=_figure_key):
            rows = [*group]
            drawing = curves(rows) if evaluation == "removal" else dots(rows, metric.removesuffix(" of seeds"))
            figures.append({"svg": drawing, "caption": f"{caption}. {', '.join(filter(None, series))}"})
    figures = _budget_figures(numbers) + figures
    page = Path(config.publishing.folder) / split / "evaluations.html"
    verdicts = [
        (
            f"{row['dataset']}, {row['setting']}, {row['model']}",
            finetune_verdict(Comparison(**{name: row[name] for name in COMPARISON_COLUMNS})),
        )
        for row in compared
        if (row["evaluation"], row["method"], row["against"]) == ("finetune", "kept", "random")
    ]
    conditions = dict.fromkeys(tuple(row[name] for name in SERIES) for row in numbers)
    targets = target_verdicts(compared, numbers)
    write_page(
        page,
        "evaluations.html",
        Head(
            dataset,
            split,
            newest[0]["version"] if newest else None,
            [_finding(choice_sentence(targets), verdicts, numbers), _certainty(numbers, compared), HOLDS_HERE],
        ),
        figures=figures,
        numbers=[row | {"metric": _with_unit(row["metric"])} for row in numbers],
        compared=[row | {"metric": _with_unit(row["metric"])} for row in compared],
        settled=verdicts,
        targets=targets,
        rivals=list(dict.fromkeys(name for target in targets for name in target.against)),
        conditions=conditions,
    )
    return page


def _finding(choice: str, settled: list[tuple[str, str]], numbers: list[dict[str, Any]]) -> str:
    """What was found: by finetunes if there are any, else how well wrong rows are told from right ones."""
    if choice:
        return choice
    if settled:
        subject, sentence = settled[0]
        return f"{subject}: {sentence.removeprefix('Verdict: ')}"
    areas = [row for row in numbers if row["metric"] in ("auc", "auc of seeds")]
    if areas:
        best = max(areas, key=lambda row: row["mean"])
        return f"The highest AUC is {best['mean']:.2f} ({best['method']}, {best['setting']}); 0.5 is chance."
    series = len({tuple(row[name] for name in SERIES) for row in numbers})
    return f"{len(numbers):,} numbers of {series:,} series were measured." if numbers else "Nothing was measured yet."


def _certainty(numbers: list[dict[str, Any]], compared: list[dict[str, Any]]) -> str:
    """How sure it is: over how many seeds, and which differences are significant."""
    seeds = max((row["numbers"] for row in numbers), default=0)
    means = f"A mean is over at most {seeds:,} seeds" if seeds > 1 else "Each number was measured once"
    if not compared:
        return f"{means}, and no two methods were compared, so none is called better."
    sure = sum(row["p_holm"] < ALPHA for row in compared)
    return f"{means}; {sure:,} of {len(compared):,} comparisons have a p below {ALPHA:g} after Holm's correction."


def _with_unit(metric: str) -> str:
    """A metric with its unit, if it has one."""
    return f"{metric} ({UNITS[metric]})" if metric in UNITS else metric


def _budget_figures(numbers: list[dict[str, Any]]) -> list[dict[str, str]]:
    """For each split that was tested with several budgets: test loss against the budget, one line per method."""
    rows = [
        row | {"target": match[1], "share": int(match[2])}
        for row in numbers
        if (row["evaluation"], row["metric"]) == ("finetune", "test loss")
        and (match := re.fullmatch(r"(.+), (\d+)% of the tokens", row["setting"]))
    ]
    targets: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        targets[row["dataset"], row["model"], row["target"]].append(row)
    return [
        {"svg": losses_by_budget(group), "caption": f"Test loss against the budget. {', '.join(key)}"}
        for key, group in targets.items()
        if len({row["share"] for row in group}) > 1
    ]


def _figure_key(row: dict[str, Any]) -> tuple[str, ...]:
    """Which figure a number belongs to. A figure of removals shows all of their settings."""
    setting = "" if row["evaluation"] == "removal" else row["setting"]
    return row["dataset"], row["model"], setting, row["conditions"]
