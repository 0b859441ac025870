"""Does training on what is kept beat training on what others would keep? Finetunes that differ in their rows alone.

Each seed draws half of the dataset, the same for all methods; each method takes rows from it, in its order, until the
budget of answer tokens is spent. Then the same model learns from them, and its loss on rows that nothing has touched is
what counts. Methods: kept (rows that the split keeps, in random order), random, the lowest nll, the highest embedding
cosine and gradient product with the trusted rows, the highest and the lowest value.
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from oresight.tasks.config import Curate
from oresight.tasks.database import reading, records
from oresight.tasks.evaluation.ledger import HASH, Ledger, Result
from oresight.tasks.evaluation.pairs import FORWARD, paired
from oresight.tasks.evaluation.samples import encode_for_training, trusted_rows
from oresight.tasks.evaluation.tables import comparison_tables, finetune_verdict, result_table
from oresight.tasks.evaluation.training import Recipe, losses_after
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scoring.prompt import Encoded

Floats = NDArray[np.float64]
LOSS = "test loss"
KEPT, RANDOM = "kept", "random"
SHARES = (0.1, 0.2, 0.4)
"""Of the rows, that removal curves leave out."""
SUBSETS = 40
"""Halves of the rows that the linear datamodeling score trains on."""
TRIED = ("lora", "rate", "epochs", "rows_a_step", "tokens", "test_rows", "rows_drawn")
"""Conditions of a finetune that its verdict tells."""
GRADIENTS = 64
"""Trusted rows whose gradients rows are compared with: what they take is most of what the choice costs."""


@dataclass
class Contest:
    """A dataset whose split is decided, as rows that a model can be trained on, and how each method orders them."""

    run: Run
    evaluation: str
    version: int
    test: Sequence[Encoded]

    @property
    def config(self) -> Curate:
        """The run's configuration."""
        return self.run.config

    @property
    def split(self) -> str:
        """The version that is put to the test."""
        return f"{self.config.splitting.name}/v{self.version}"

    @cached_property
    def recipe(self) -> Recipe:
        """How each finetune goes."""
        settings = self.config.finetuning
        return Recipe(settings.lora, settings.rate, epochs=settings.epochs)

    @cached_property
    def table(self) -> list[dict[str, Any]]:
        """Scored rows with their decision: sample_id, value, nll, decision, and the row as ids."""
        with reading(self.config.database) as connection:
            names = {"split": self.config.splitting.name, "version": self.version}
            rows = records(connection, "settle_rows", self.run.scope(connection).parameters | names)
        if not rows:
            raise ValueError(
                f"{self.config.database}: no row of {self.split} has a score of this model; run"
                " `oresight curate CONFIG.yaml` first"
            )
        ids = dict(encode_for_training(self.config, self.run.model.files, rows))
        return [row | {"ids": ids[row["sample_id"]]} for row in rows if row["sample_id"] in ids]

    @cached_property
    def trusted(self) -> list[Encoded]:
        """The trusted rows."""
        return trusted_rows(self.config, self.run.model.files)

    @cached_property
    def merits(self) -> dict[str, Callable[[], Floats]]:
        """Methods that order rows, the best first, by a number each. Raises ValueError for a name that is none."""
        merits: dict[str, Callable[[], Floats]] = {
            "lowest nll": lambda: -self.column("nll"),
            "highest embedding cosine": lambda: self._against_trusted("embedding cosine"),
            "highest value": lambda: self.column("value"),
            "lowest value": lambda: -self.column("value"),
            "highest gradient": lambda: self._against_trusted("gradient"),
        }
        chosen = self.config.finetuning.against or tuple(merits)
        if unknown := [name for name in chosen if name not in merits]:
            raise ValueError(f"--against: {unknown[0]!r} is none of {', '.join(merits)}")
        if find_spec("kronfluence") is None and "highest gradient" in chosen:
            log().warning("settle: gradient left out; pip install 'oresight[baselines]' has it")
            del merits["highest gradient"]
        return {name: merit for name, merit in merits.items() if name in chosen}

    def column(self, name: str) -> Floats:
        """A column of the table."""
        return np.array([row[name] for row in self.table], dtype=float)

    def _against_trusted(self, method: str) -> Floats:
        """The mean over the trusted rows, of the first GRADIENTS for the gradient; computed once."""
        if method not in self._computed:
            rows, model = [row["ids"] for row in self.table], self.config.model
            queries = self.trusted[:GRADIENTS] if method == "gradient" else self.trusted
            done = paired(method, self.run.model.files, model.device, model.dtype, rows, queries)
            self._computed[method] = done.scores[method].mean(1)
        return self._computed[method]

    _computed: dict[str, Floats] = field(default_factory=dict)

    def pool(self, seed: int) -> list[int]:
        """Half of the rows, in random order."""
        return random.Random(f"settle {seed}").sample(range(len(self.table)), (len(self.table) + 1) // 2)

    def chosen(self, method: str, seed: int, budget: int) -> list[Encoded]:
        """The rows that a method trains on: in its order, each row that fits into the remaining budget."""
        order = self.pool(seed)
        if method == KEPT:
            order = [i for i in order if self.table[i]["decision"] == "keep"]
        elif method != RANDOM:
            merit = self.merits[method]()
            order = sorted(order, key=lambda i: -merit[i])
        taken, left = [], budget
        for i in order:
            row: Encoded = self.table[i]["ids"]
            if len(row.answer) <= left:
                taken.append(row)
                left -= len(row.answer)
        return taken

    @cached_property
    def budget(self) -> int:
        """The answer tokens that are spent: no more than the kept rows of any seed have."""
        settings = self.config.finetuning
        kept = [
            sum(len(self.table[i]["ids"].answer) for i in self.pool(seed) if self.table[i]["decision"] == "keep")
            for seed in range(settings.seeds)
        ]
        if min(kept) < settings.tokens:
            log().warning("settle: %d answer tokens a finetune: half of the rows have no more kept ones", min(kept))
        return min(settings.tokens, *kept)

    def loss(self, rows: Sequence[Encoded], seed: int) -> float:
        """The mean over all answer tokens of the test set, in nats."""
        losses = losses_after(self.run.model.files, self.config.model.device, rows, self.test, self.recipe, seed)
        return float(np.average(losses, weights=[len(row.answer) for row in self.test]))

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger under what all finetunes share: a version of the split, the test rows and how it is trained."""
        rows = {"test_rows": len(self.test), "rows_drawn": len(self.pool(0))}
        test = rows_hash(self.test)[:HASH]
        return Ledger.of(self.run, self.evaluation, split=self.split, test=test, **rows, **asdict(self.recipe))


def rows_hash(rows: Sequence[Encoded]) -> str:
    """The hash of some rows' ids, in their order."""
    return hashlib.sha256(json.dumps([row.key for row in rows]).encode()).hexdigest()


def compare_choices(contest: Contest) -> list[str]:
    """Finetune for every method and seed that is not known yet; the losses, how kept rows compare, and the verdict."""
    units, ledger = [], contest.ledger.under(tokens=contest.budget)
    for seed in range(contest.config.finetuning.seeds):
        for method in [KEPT, RANDOM, *contest.merits]:
            rows = contest.chosen(method, seed, contest.budget)

            def compute(method: str = method, seed: int = seed, rows: list[Encoded] = rows) -> Iterator[Result]:
                yield Result(contest.split, method, seed, LOSS, contest.loss(rows, seed))
                yield Result(contest.split, method, seed, "answer tokens", sum(len(row.answer) for row in rows))
                yield Result(contest.split, method, seed, "rows", len(rows))

            unit = ledger.unit(method=method, seed=seed, rows=rows_hash(rows))
            units.append(ledger.once(unit, compute, f"{method}, seed {seed}, {len(rows)} rows"))

    def untrained() -> Iterator[Result]:
        yield Result(contest.split, "no finetune", None, LOSS, contest.loss([], 0))

    units.append(ledger.once(ledger.unit(untouched=True), untrained, "no finetune"))
    compared = ledger.compare(units, LOSS, [RANDOM, *contest.merits], "t", [KEPT])
    lines = [*result_table(ledger.read(units), (LOSS, "answer tokens", "rows"), "split")]
    lines += comparison_tables(compared, LOSS)
    lines += ["", f"Tried: {', '.join(f'{name} {ledger.conditions[name]:g}' for name in TRIED)}"]
    against_random = next((comparison for _, _, comparison in compared if comparison.against == RANDOM), None)
    return [*lines, "", finetune_verdict(against_random)]


def removal_curves(contest: Contest) -> list[str]:
    """What the test loss does when the rows of the highest or the lowest value are left out, or random ones."""
    value, units = contest.column("value"), []
    for seed in range(contest.config.finetuning.seeds):
        pool = contest.pool(seed)
        orders = {
            "highest value": sorted(pool, key=lambda i: -value[i]),
            "lowest value": sorted(pool, key=lambda i: value[i]),
            "random": random.Random(f"removal {seed}").sample(pool, len(pool)),
        }
        todo = [("nothing", pool, 0.0)] + [(name, order, share) for name, order in orders.items() for share in SHARES]
        for name, order, share in todo:
            left = set(order[round(share * len(order)) :])
            rows = [contest.table[i]["ids"] for i in pool if i in left]

            def compute(
                name: str = name, share: float = share, seed: int = seed, rows: list[Encoded] = rows
            ) -> list[Result]:
                return [Result(f"without {share:.0%}", name, seed, LOSS, contest.loss(rows, seed))]

            unit = contest.ledger.unit(removal=name, share=share, seed=seed, rows=rows_hash(rows))
            units.append(contest.ledger.once(unit, compute, f"without {share:.0%}, {name}, seed {seed}"))
    return result_table(contest.ledger.read(units), (LOSS,), "rows left out")


def datamodeling_score(contest: Contest, rows: int = 200) -> list[str]:
    """The linear datamodeling score (Park et al., 2023): over finetunes on random halves of some rows, how well the sum
    of a method's scores of the half predicts each test row's loss, by Spearman's rank correlation.
    """
    chosen = [contest.table[i]["ids"] for i in contest.pool(0)[:rows]]
    model = contest.config.model

    def compute() -> Iterator[Result]:
        halves = [random.Random(f"half {j}").sample(range(len(chosen)), len(chosen) // 2) for j in range(SUBSETS)]
        recipe, test = contest.recipe, contest.test
        losses_JQ = np.array([
            losses_after(contest.run.model.files, model.device, [chosen[i] for i in half], test, recipe, 0)
            for half in halves
        ])  # fmt: skip
        methods = [*FORWARD, *(["gradient", "ekfac"] if find_spec("kronfluence") else [])]
        for method in methods:
            done = paired(method, contest.run.model.files, model.device, model.dtype, chosen, contest.test)
            for name, score_NQ in done.scores.items():
                sums_JQ = np.array([score_NQ[half].sum(0) for half in halves])
                each = [spearmanr(sums_JQ[:, q], -losses_JQ[:, q]).statistic for q in range(len(contest.test))]
                yield Result(f"{len(chosen)} rows, {SUBSETS} halves", name, None, "score", float(np.nanmean(each)))
                error = float(np.nanstd(each, ddof=1) / len(each) ** 0.5)
                yield Result(f"{len(chosen)} rows, {SUBSETS} halves", name, None, "standard error", error)

    unit = contest.ledger.unit(datamodel=rows_hash(chosen), subsets=SUBSETS)
    contest.ledger.once(unit, compute, f"{SUBSETS} finetunes on halves of {len(chosen)} rows")
    return result_table(contest.ledger.read([unit]), ("score", "standard error"), "linear datamodeling score")
