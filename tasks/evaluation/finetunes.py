"""Does training on the kept rows beat training on rows that other methods choose? Finetunes that differ in rows only.

Each seed draws half of the dataset, the same half for all methods. Each method takes rows from it, in its own order,
until the budget of answer tokens is spent. The same model is then finetuned on these rows, and its loss on a separate
test set is compared; on request also its answers. choices.py lists the methods.

If no learning rate is configured, a sweep decides it, for all methods alike: the rate whose finetune on random rows
leaves the lowest loss on the trusted rows. The sweep draws with a seed of its own, which no result comes from.
"""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.util import find_spec

import numpy as np
from scipy.stats import spearmanr

from oresight.tasks.config import Curate
from oresight.tasks.database import reading, records
from oresight.tasks.evaluation.choices import ALL, KEPT, MATCH, RANDOM, Choices
from oresight.tasks.evaluation.ledger import HASH, Ledger, Result
from oresight.tasks.evaluation.pairs import FORWARD, score_pairs
from oresight.tasks.evaluation.samples import encode_for_training
from oresight.tasks.evaluation.tables import comparison_tables, finetune_verdict, result_table
from oresight.tasks.evaluation.trainable import ModelSpec
from oresight.tasks.evaluation.training import Outcome, Recipe, TestRow, outcome_after
from oresight.tasks.runs.progress import log, progress
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import json_pointer
from oresight.tasks.scoring.prompt import Encoded

LOSS, EXACT = "test loss", "exact answers"
SHARES = (0.1, 0.2, 0.4)
"""Shares of the rows that removal curves leave out."""
SUBSETS = 40
"""Finetunes of the linear datamodeling score, each on a random half of the rows."""
CONDITIONS_SHOWN = ("lora", "rate", "epochs", "rows_a_step", "tokens", "test_rows", "rows_drawn")
"""Conditions of the finetunes that are printed above the verdict."""
RATES = (3e-4, 1e-3, 3e-3)
"""Learning rates that the sweep tries."""
SWEEP = -1
"""Seed of the sweep's draw."""


@dataclass
class Contest:
    """The rows of a decided split, the methods that choose from them, and the test rows."""

    run: Run
    evaluation: str
    version: int
    test: Sequence[TestRow]
    truth: str | None = None
    """The column that says which rows are wrong."""

    @property
    def config(self) -> Curate:
        """The configuration of the run."""
        return self.run.config

    @property
    def split(self) -> str:
        """Name and version of the split that is tested."""
        return f"{self.config.splitting.name}/v{self.version}"

    @cached_property
    def recipe(self) -> Recipe:
        """The settings of every finetune."""
        settings = self.config.finetuning
        rate = self._best_rate() if settings.rate is None else settings.rate
        return Recipe(lora=settings.lora, rate=rate, epochs=settings.epochs)

    @cached_property
    def choices(self) -> Choices:
        """The scored rows, the trusted rows, and the methods. Raises ValueError if the split has no scored row."""
        with reading(self.config.database) as connection:
            names = {"split": self.config.splitting.name, "version": self.version}
            names |= {"truth": json_pointer(self.truth or "")}
            parameters = self.run.scope(connection).parameters | names
            rows, trusted = (records(connection, query, parameters) for query in ("settle_rows", "settle_trusted"))
        if not rows:
            raise ValueError(
                f"{self.config.database}: no row of {self.split} has a score of this model; run"
                " `oresight curate CONFIG.yaml` first"
            )
        if self.truth is not None and all(row["truth"] is None for row in rows):
            raise ValueError(f"--truth: no row of {self.config.dataset.name!r} has a column {self.truth!r}")
        ids = dict(encode_for_training(self.config, self.run.model.files, [*rows, *trusted]))
        table, trusted = ([row | {"ids": ids[row["sample_id"]]} for row in part if row["sample_id"] in ids]
                          for part in (rows, trusted))  # fmt: skip
        return Choices(self.run, table, trusted, self.truth)

    def encoded(self, rows: Sequence[int]) -> list[Encoded]:
        """Rows as token ids."""
        return [self.choices.table[i]["ids"] for i in rows]

    def tokens(self, rows: Sequence[int]) -> int:
        """Answer tokens of some rows."""
        return sum(len(row.answer) for row in self.encoded(rows))

    @cached_property
    def budgets(self) -> dict[str, int]:
        """Answer tokens per finetune, by setting: the configured shares, or the configured number.

        A number is lowered if a seed's kept rows have fewer tokens. A share is of the rows that a seed draws.
        """
        settings = self.config.finetuning
        seeds = range(settings.seeds)
        if settings.shares:
            drawn = min(self.tokens(self.choices.pool(seed)) for seed in seeds)
            return {f"{self.split}, {share:.0%} of the tokens": int(share * drawn) for share in settings.shares}
        is_kept = [row["decision"] == "keep" for row in self.choices.table]
        most = [self.tokens([i for i in self.choices.pool(seed) if is_kept[i]]) for seed in seeds]
        if min(most) < settings.tokens:
            log().warning("settle: only %d answer tokens per finetune: a seed's kept rows have no more", min(most))
        return {self.split: min(settings.tokens, *most)}

    def outcome(self, rows: Sequence[int], seed: int) -> Outcome:
        """Loss and answers on the test rows after training on some rows."""
        return outcome_after(
            ModelSpec.of(self.run),
            self.encoded(rows),
            self.test,
            self.recipe,
            seed,
            metric=self.config.finetuning.metric,
        )

    def loss(self, rows: Sequence[int], seed: int) -> float:
        """The mean loss over all answer tokens of the test set, in nats, after training on some rows."""
        return self.outcome(rows, seed).loss

    def _best_rate(self) -> float:
        """The learning rate of the sweep, computed once."""
        budget = next(iter(self.budgets.values()))
        rows = self.choices.chosen(RANDOM, SWEEP, budget)
        trusted = [TestRow(row["ids"], "") for row in self.choices.trusted]
        settings = self.config.finetuning
        ledger = Ledger.of(self.run, "sweep", split=self.split, lora=settings.lora, epochs=settings.epochs)
        units = []
        for rate in RATES:
            recipe = Recipe(lora=settings.lora, rate=rate, epochs=settings.epochs)

            def compute(rate: float = rate, recipe: Recipe = recipe) -> Iterator[Result]:
                outcome = outcome_after(ModelSpec.of(self.run), self.encoded(rows), trusted, recipe, seed=0)
                yield Result(f"{rate:g}", RANDOM, None, "loss on trusted rows", outcome.loss)

            key = rows_hash([*self.encoded(rows), *(row.ids for row in trusted)])
            units.append(ledger.compute_once(ledger.unit(rate=rate, rows=key), compute, f"learning rate {rate:g}"))
        best = min(ledger.read(units), key=lambda result: result.value)
        log().info(
            "settle: learning rate %s: the lowest loss on the trusted rows after training on random rows", best.setting
        )
        return float(best.setting)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger with the conditions of all finetunes: version of the split, test rows and recipe."""
        rows = {"test_rows": len(self.test), "rows_drawn": len(self.choices.pool(0))}
        test = rows_hash([row.ids for row in self.test])[:HASH]
        metric = {"metric": self.config.finetuning.metric} if self.config.finetuning.metric else {}
        return Ledger.of(
            self.run, self.evaluation, split=self.split, test=test, **rows, **asdict(self.recipe), **metric
        )


def rows_hash(rows: Sequence[Encoded]) -> str:
    """The hash of the token ids of some rows, in their order."""
    return hashlib.sha256(json.dumps([row.key for row in rows]).encode()).hexdigest()


def compare_choices(contest: Contest) -> list[str]:
    """Finetune for every budget, method and seed without a stored result. Returns tables and the verdict."""
    lines: list[str] = []
    for setting, budget in contest.budgets.items():
        lines += ["", *_compare_at(contest, setting, budget)]
    return lines[1:]


def _compare_at(contest: Contest, setting: str, budget: int) -> list[str]:
    """The finetunes of one budget."""
    choices, units, ledger = contest.choices, [], contest.ledger.under(tokens=budget)
    seeds, methods = range(contest.config.finetuning.seeds), [KEPT, RANDOM, *choices.methods]
    trials = [(seed, method) for seed in seeds for method in methods]
    with progress("settle", len(trials), "finetunes") as advance:
        for seed, method in trials:
            rows = choices.chosen(method, seed, budget)

            def compute(method: str = method, seed: int = seed, rows: list[int] = rows) -> Iterator[Result]:
                outcome = contest.outcome(rows, seed)
                yield Result(setting, method, seed, LOSS, outcome.loss)
                if outcome.exact is not None:
                    yield Result(setting, method, seed, EXACT, outcome.exact)
                yield Result(setting, method, seed, "answer tokens", contest.tokens(rows))
                yield Result(setting, method, seed, "rows", len(rows))
                if contest.truth is not None:
                    yield Result(setting, method, seed, "wrong rows", float(choices.wrong_rows[rows].mean()))

            unit = ledger.unit(method=method, seed=seed, rows=rows_hash(contest.encoded(rows)))
            is_new = not ledger.has(unit)
            units.append(ledger.compute_once(unit, compute, f"{method}, seed {seed}, {len(rows)} rows"))
            advance(1, is_new)

    def untrained() -> Iterator[Result]:
        outcome = contest.outcome([], 0)
        yield Result(setting, "no finetune", None, LOSS, outcome.loss)
        if outcome.exact is not None:
            yield Result(setting, "no finetune", None, EXACT, outcome.exact)

    units.append(ledger.compute_once(ledger.unit(untouched=True), untrained, "no finetune"))
    ours = [method for method in (KEPT, MATCH) if method == KEPT or method in choices.methods]
    rivals = [RANDOM, *(method for method in choices.methods if method not in (MATCH, ALL))]
    metrics = [LOSS, *([EXACT] if contest.config.finetuning.metric else [])]
    results = ledger.read(units)
    lines = result_table(results, (*metrics, "answer tokens", "rows", "wrong rows"), "split")
    compared = {metric: ledger.compare(units, metric, rivals, test="t", methods=ours) for metric in metrics}
    for metric in metrics:
        lines += comparison_tables(compared[metric], metric)
    conditions = ", ".join(f"{name} {ledger.conditions[name]:g}" for name in CONDITIONS_SHOWN)
    lines += ["", f"Conditions: {conditions}"]
    against_random = [
        row.comparison for row in compared[LOSS] if (row.method, row.comparison.against) == (KEPT, RANDOM)
    ]
    return [*lines, "", finetune_verdict(against_random[0] if against_random else None)]


def removal_curves(contest: Contest) -> list[str]:
    """Test loss after training without the rows of the highest value, of the lowest value, or random rows."""
    value, units, seeds = contest.choices.column("value"), [], range(contest.config.finetuning.seeds)
    with progress("settle", len(seeds) * (1 + 3 * len(SHARES)), "finetunes") as advance:
        for seed in seeds:
            pool = contest.choices.pool(seed)
            orders = {
                "highest value": sorted(pool, key=lambda i: -value[i]),
                "lowest value": sorted(pool, key=lambda i: value[i]),
                "random": random.Random(f"removal {seed}").sample(pool, len(pool)),
            }
            todo = [("nothing", pool, 0.0)] + [
                (name, order, share) for name, order in orders.items() for share in SHARES
            ]
            for name, order, share in todo:
                remaining = set(order[round(share * len(order)) :])
                rows = [i for i in pool if i in remaining]

                def compute(
                    name: str = name, share: float = share, seed: int = seed, rows: list[int] = rows
                ) -> list[Result]:
                    return [Result(f"without {share:.0%}", name, seed, LOSS, contest.loss(rows, seed))]

                unit = contest.ledger.unit(removal=name, share=share, seed=seed, rows=rows_hash(contest.encoded(rows)))
                is_new = not contest.ledger.has(unit)
                units.append(contest.ledger.compute_once(unit, compute, f"without {share:.0%}, {name}, seed {seed}"))
                advance(1, is_new)
    return result_table(contest.ledger.read(units), (LOSS,), "rows left out")


def datamodeling_score(contest: Contest, rows: int = 200) -> list[str]:
    """The linear datamodeling score (Park et al., 2023) of each method, from finetunes on random halves of some rows.

    For each test row: Spearman's rank correlation, over the halves, of the sum of a method's scores of the half with
    the negative loss of the test row. The score is the mean over test rows.
    """
    chosen = contest.encoded(contest.choices.pool(0)[:rows])
    spec, test = ModelSpec.of(contest.run), [row.ids for row in contest.test]
    setting = f"{len(chosen)} rows, {SUBSETS} halves"

    def compute() -> Iterator[Result]:
        halves = [random.Random(f"half {j}").sample(range(len(chosen)), len(chosen) // 2) for j in range(SUBSETS)]
        losses = []
        with progress("settle", len(halves), "finetunes") as advance:
            for half in halves:
                rows = [chosen[i] for i in half]
                losses.append(outcome_after(spec, rows, contest.test, contest.recipe, seed=0).losses)
                advance(1)
        losses_JQ = np.array(losses)
        methods = [*FORWARD, *(["gradient", "ekfac"] if find_spec("kronfluence") else [])]
        for method in methods:
            for name, score_NQ in score_pairs(method, spec, chosen, test).scores.items():
                sums_JQ = np.array([score_NQ[half].sum(0) for half in halves])
                correlations = [spearmanr(sums_JQ[:, q], -losses_JQ[:, q]).statistic for q in range(len(test))]
                yield Result(setting, name, None, "score", float(np.nanmean(correlations)))
                error = float(np.nanstd(correlations, ddof=1) / len(correlations) ** 0.5)
                yield Result(setting, name, None, "standard error", error)

    unit = contest.ledger.unit(datamodel=rows_hash(chosen), subsets=SUBSETS)
    contest.ledger.compute_once(unit, compute, f"{SUBSETS} finetunes on halves of {len(chosen)} rows")
    return result_table(contest.ledger.read([unit]), ("score", "standard error"), "linear datamodeling score")
