"""Results as markdown: tables of numbers, tables of comparisons, and the verdict of the finetunes."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from oresight.tasks.evaluation.ledger import Compared, Result
from oresight.tasks.evaluation.measure import ALPHA, Comparison, spread


def result_table(results: Sequence[Result], metrics: Sequence[str], first: str = "setting") -> list[str]:
    """A line a setting and method, and for each metric the mean ± standard deviation over seeds."""
    cells: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        cells[result.setting, result.method][result.metric].append(result.value)
    shown = [metric for metric in metrics if any(metric in values for values in cells.values())]
    lines = [f"| {first} | method | {' | '.join(shown)} |", f"|---|---|{'---|' * len(shown)}"]
    for (setting, method), values in cells.items():
        row = [mean_and_deviation(values[metric]) if metric in values else "" for metric in shown]
        lines.append(f"| {setting} | {method} | {' | '.join(row)} |")
    return lines


def mean_and_deviation(values: Sequence[float]) -> str:
    """Mean ± standard deviation, or the only number."""
    mean, deviation = spread(values)
    digits = 4 if abs(mean) < 10 else 1
    return f"{mean:.{digits}f}" + ("" if np.isnan(deviation) else f" ± {deviation:.{digits}f}")


def metric_matrix(results: Sequence[Result], metric: str) -> list[str]:
    """One metric: a line a method, a column a setting, mean ± standard deviation over seeds."""
    cells: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        if result.metric == metric:
            cells[result.method][result.setting].append(result.value)
    settings = sorted({setting for each in cells.values() for setting in each})
    lines = [f"| {metric} | {' | '.join(settings)} |", f"|---|{'---|' * len(settings)}"]
    for method, values in cells.items():
        row = [mean_and_deviation(values[setting]) if setting in values else "" for setting in settings]
        lines.append(f"| {method} | {' | '.join(row)} |")
    return lines


def comparison_tables(compared: Compared, metric: str) -> list[str]:
    """One table a setting: a line a method, a column for each method that it is compared with."""
    lines: list[str] = []
    for setting in dict.fromkeys(setting for setting, _, _ in compared):
        here = [(method, comparison) for at, method, comparison in compared if at == setting]
        rivals = list(dict.fromkeys(comparison.against for _, comparison in here))
        pairs, test = max(comparison.pairs for _, comparison in here), here[0][1].test
        title = f"{setting}: {metric} minus that of the other (p, paired {test} over {pairs}, Holm)"
        lines += ["", title, "", f"| method | {' | '.join(rivals)} |", f"|---|{'---|' * len(rivals)}"]
        for method in dict.fromkeys(method for method, _ in here):
            cells = {c.against: f"{c.difference:+.4f} ({c.p_holm:.2g})" for name, c in here if name == method}
            lines.append(f"| {method} | {' | '.join(cells.get(rival, '') for rival in rivals)} |")
    return lines


def finetune_verdict(comparison: Comparison | None) -> str:
    """What the finetunes say about kept rows against random ones, in a sentence."""
    if comparison is None:
        return "Verdict: fewer than two seeds, so kept rows cannot be compared with random ones."
    numbers = (
        f"a test loss {comparison.difference:+.4f} nats apart"
        f" ({comparison.low:+.4f} to {comparison.high:+.4f}), paired p {comparison.p:.2g}"
    )
    if comparison.p < ALPHA:
        word = "better than" if comparison.difference < 0 else "WORSE than"
        return f"Verdict: kept rows are {word} as many tokens of random rows: {numbers}, {comparison.pairs} seeds."
    return f"Verdict: no difference is shown between kept rows and as many tokens of random ones: {numbers}."
