"""Evaluation results as markdown: tables of numbers, tables of comparisons, and the verdict of the finetunes."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from oresight.tasks.evaluation.ledger import MethodComparison, Result
from oresight.tasks.evaluation.measure import ALPHA, Comparison, mean_and_deviation


def result_table(results: Sequence[Result], metrics: Sequence[str], first: str = "setting") -> list[str]:
    """A table with one line per setting and method: the mean ± standard deviation over seeds of each metric."""
    cells: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        cells[result.setting, result.method][result.metric].append(result.value)
    shown = [metric for metric in metrics if any(metric in values for values in cells.values())]
    lines = [f"| {first} | method | {' | '.join(shown)} |", f"|---|---|{'---|' * len(shown)}"]
    for (setting, method), values in cells.items():
        row = [_mean_text(values[metric]) if metric in values else "" for metric in shown]
        lines.append(f"| {setting} | {method} | {' | '.join(row)} |")
    return lines


def _mean_text(values: Sequence[float]) -> str:
    """Mean ± standard deviation; a single number is shown alone."""
    mean, deviation = mean_and_deviation(values)
    digits = 4 if abs(mean) < 10 else 1
    return f"{mean:.{digits}f}" + ("" if np.isnan(deviation) else f" ± {deviation:.{digits}f}")


def metric_matrix(results: Sequence[Result], metric: str) -> list[str]:
    """A table of one metric: methods in lines, settings in columns, mean ± standard deviation over seeds."""
    cells: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        if result.metric == metric:
            cells[result.method][result.setting].append(result.value)
    settings = sorted({setting for values in cells.values() for setting in values})
    lines = [f"| {metric} | {' | '.join(settings)} |", f"|---|{'---|' * len(settings)}"]
    for method, values in cells.items():
        row = [_mean_text(values[setting]) if setting in values else "" for setting in settings]
        lines.append(f"| {method} | {' | '.join(row)} |")
    return lines


def comparison_tables(compared: Sequence[MethodComparison], metric: str) -> list[str]:
    """One table per setting: methods in lines, the methods that they are compared with in columns."""
    lines: list[str] = []
    for setting in dict.fromkeys(row.setting for row in compared):
        rows = [row for row in compared if row.setting == setting]
        rivals = list(dict.fromkeys(row.comparison.against for row in rows))
        pairs, test = max(row.comparison.pairs for row in rows), rows[0].comparison.test
        title = f"{setting}: {metric}, method minus rival (p by paired {test} test over {pairs} pairs, Holm-corrected)"
        lines += ["", title, "", f"| method | {' | '.join(rivals)} |", f"|---|{'---|' * len(rivals)}"]
        for method in dict.fromkeys(row.method for row in rows):
            comparisons = [row.comparison for row in rows if row.method == method]
            cells = {each.against: f"{each.difference:+.4f} ({each.p_holm:.2g})" for each in comparisons}
            lines.append(f"| {method} | {' | '.join(cells.get(rival, '') for rival in rivals)} |")
    return lines


def finetune_verdict(comparison: Comparison | None) -> str:
    """One sentence: are kept rows better to train on than random rows?"""
    if comparison is None:
        return "Verdict: kept rows cannot be compared with random ones on fewer than two seeds."
    numbers = (
        f"the test loss differs by {comparison.difference:+.4f} nats"
        f" ({comparison.low:+.4f} to {comparison.high:+.4f}), paired p {comparison.p:.2g}, {comparison.pairs} seeds"
    )
    if comparison.p < ALPHA:
        word = "better than" if comparison.difference < 0 else "WORSE than"
        return f"Verdict: kept rows are {word} as many tokens of random rows: {numbers}."
    return f"Verdict: no difference is shown between kept rows and as many tokens of random rows: {numbers}."
