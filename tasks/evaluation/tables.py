"""Evaluation results as markdown: tables of numbers, tables of comparisons, and the verdict of the finetunes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oresight.tasks.evaluation.ledger import MethodComparison, Result
from oresight.tasks.evaluation.measure import ALPHA, Comparison, holm, mean_and_deviation

Rows = Sequence[dict[str, Any]]
CHOICE = ("finetune", "match", "test loss")
"""Evaluation, method and metric that the verdict on choosing rows is about."""


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


@dataclass(frozen=True)
class TargetVerdict:
    """How the default choice of rows did for one target and budget, in nats of test loss; below 0 is better."""

    setting: str
    against: dict[str, float]
    """Mean difference from each rival."""
    p: float
    """Of the difference from random rows, Holm-corrected over the targets of the same budget."""
    wrong: tuple[float, float] | None
    """Share of wrong rows among random rows and among the chosen ones; None without a known truth."""

    @property
    def word(self) -> str:
        """'better', 'worse' or 'not shown to differ', against random rows."""
        if not self.p < ALPHA:
            return "not shown to differ"
        return "better" if self.against["random"] < 0 else "worse"


def target_verdicts(compared: Rows, numbers: Rows) -> list[TargetVerdict]:
    """The verdicts on `match`, one per setting of the finetunes. Rows are those of the views comparisons and
    evaluation_summary."""
    ours = [row for row in compared if (row["evaluation"], row["method"], row["metric"]) == CHOICE]
    wrong: dict[tuple[str, ...], float] = {
        (row["dataset"], row["model"], row["setting"], row["method"]): row["mean"]
        for row in numbers
        if (row["evaluation"], row["metric"]) == ("finetune", "wrong rows")
    }
    by_target: dict[tuple[str, ...], dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in ours:
        by_target[row["dataset"], row["model"], row["setting"]][row["against"]] = row
    targets = {key: rivals for key, rivals in by_target.items() if "random" in rivals}
    budgets = {key: key[2].partition(", ")[2] for key in targets}
    corrected: dict[tuple[str, ...], float] = {}
    for budget in set(budgets.values()):
        keys = [key for key in targets if budgets[key] == budget]
        ps = holm([targets[key]["random"]["p"] for key in keys])
        corrected |= dict(zip(keys, map(float, ps), strict=True))
    return [
        TargetVerdict(
            setting=key[2],
            against={name: row["difference"] for name, row in rivals.items()},
            p=corrected[key],
            wrong=(wrong[(*key, "random")], wrong[(*key, "match")]) if (*key, "match") in wrong else None,
        )
        for key, rivals in sorted(targets.items())
    ]


def choice_sentence(verdicts: Sequence[TargetVerdict]) -> str:
    """What the verdicts say in sum: the first sentence of the page. Empty without verdicts."""
    if not verdicts:
        return ""
    count = {word: sum(verdict.word == word for verdict in verdicts) for word in ("better", "worse")}
    text = (
        f"Rows chosen by match trained better models than as many tokens of random rows for {count['better']} of"
        f" {len(verdicts)} targets and budgets, and worse ones for {count['worse']} (paired t, p below {ALPHA:g} after"
        " Holm's correction)."
    )
    rivals = sorted({name for verdict in verdicts for name in verdict.against} - {"random", "clean rows"})
    beaten = []
    for name in rivals:
        differences = [verdict.against[name] for verdict in verdicts if name in verdict.against]
        beaten.append(f"{name} {np.mean(differences):+.3f}")
    if beaten:
        text += f" Mean difference of the test loss from the other ways to choose, in nats: {', '.join(beaten)}."
    wrong = [verdict.wrong for verdict in verdicts if verdict.wrong]
    if wrong:
        random_share, our_share = np.mean(wrong, axis=0)
        text += f" Wrong rows: {random_share:.1%} of random rows, {our_share:.1%} of the chosen ones."
    return text
