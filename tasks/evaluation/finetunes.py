"""Does training on the kept rows beat training on rows that other methods choose? Finetunes that differ in rows only.

Each seed draws half of the dataset, the same half for all methods. Each method takes rows from it, in its own order,
until the budget of answer tokens is spent. The same model is then finetuned on these rows, and its loss on a separate
test set is compared. Methods: kept (rows that the split keeps, in random order), random, lowest nll, highest embedding
cosine and highest gradient product with the trusted rows, highest value, lowest value.
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
from oresight.tasks.evaluation.pairs import FORWARD, score_pairs
from oresight.tasks.evaluation.samples import encode_for_training, trusted_rows
from oresight.tasks.evaluation.tables import comparison_tables, finetune_verdict, result_table
from oresight.tasks.evaluation.trainable import ModelSpec
from oresight.tasks.evaluation.training import Recipe, losses_after
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scoring.prompt import Encoded

Floats = NDArray[np.float64]
LOSS = "test loss"
KEPT, RANDOM = "kept", "random"
SHARES = (0.1, 0.2, 0.4)
"""Shares of the rows that removal curves leave out."""
SUBSETS = 40
"""Finetunes of the linear datamodeling score, each on a random half of the rows."""
CONDITIONS_SHOWN = ("lora", "rate", "epochs", "rows_a_step", "tokens", "test_rows", "rows_drawn")
"""Conditions of the finetunes that are printed above the verdict."""
GRADIENTS = 64
"""Trusted rows whose gradients rows are compared with. Their number decides most of the cost of the choice."""


@dataclass
class Contest:
    """The rows of a decided split, encoded for training, and the order in which each method chooses them."""

    run: Run
    evaluation: str
    version: int
    test: Sequence[Encoded]

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
        return Recipe(lora=settings.lora, rate=settings.rate, epochs=settings.epochs)

    @cached_property
    def table(self) -> list[dict[str, Any]]:
        """Scored rows with their decision: sample_id, value, nll, decision, and the row as token ids (`ids`)."""
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
        """The rows of the reference, as token ids."""
        return trusted_rows(self.config, self.run.model.files)

    @cached_property
    def merits(self) -> dict[str, Callable[[], Floats]]:
        """The numbers by which methods order rows, the highest first. Raises ValueError for an unknown method."""
        merits: dict[str, Callable[[], Floats]] = {
            "lowest nll": lambda: -self.column("nll"),
            "highest embedding cosine": lambda: self._against_trusted("embedding cosine"),
            "highest value": lambda: self.column("value"),
            "lowest value": lambda: -self.column("value"),
            "highest gradient": lambda: self._against_trusted("gradient"),
        }
        chosen = self.config.finetuning.against or tuple(merits)
        if unknown := [name for name in chosen if name not in merits]:
            raise ValueError(f"--against: {unknown[0]!r} is not one of {', '.join(merits)}")
        if find_spec("kronfluence") is None and "highest gradient" in chosen:
            log().warning("settle: gradient left out; to include it: pip install 'oresight[baselines]'")
            del merits["highest gradient"]
        return {name: merit for name, merit in merits.items() if name in chosen}

    def column(self, name: str) -> Floats:
        """One column of the table [N]."""
        return np.array([row[name] for row in self.table], dtype=float)

    def _against_trusted(self, method: str) -> Floats:
        """Each row's mean score over the trusted rows; `gradient` uses the first GRADIENTS of them. Computed once."""
        if method not in self._means:
            rows = [row["ids"] for row in self.table]
            queries = self.trusted[:GRADIENTS] if method == "gradient" else self.trusted
            pairs = score_pairs(method, ModelSpec.of(self.run), rows, queries)
            self._means[method] = pairs.scores[method].mean(1)
        return self._means[method]

    _means: dict[str, Floats] = field(default_factory=dict)
    """Results of _against_trusted, by method."""

    def pool(self, seed: int) -> list[int]:
        """The numbers of the rows that a seed draws: half of them, in random order."""
        return random.Random(f"settle {seed}").sample(range(len(self.table)), (len(self.table) + 1) // 2)

    def chosen(self, method: str, seed: int, budget: int) -> list[Encoded]:
        """The rows that a method trains on: in its order, every row that fits into the remaining budget of tokens."""
        order = self.pool(seed)
        if method == KEPT:
            order = [i for i in order if self.table[i]["decision"] == "keep"]
        elif method != RANDOM:
            merit = self.merits[method]()
            order = sorted(order, key=lambda i: -merit[i])
        taken, tokens_left = [], budget
        for i in order:
            row: Encoded = self.table[i]["ids"]
            if len(row.answer) <= tokens_left:
                taken.append(row)
                tokens_left -= len(row.answer)
        return taken

    @cached_property
    def budget(self) -> int:
        """Answer tokens per finetune: the configured number, or fewer if a seed's kept rows have fewer."""
        settings = self.config.finetuning
        kept = [
            sum(len(self.table[i]["ids"].answer) for i in self.pool(seed) if self.table[i]["decision"] == "keep")
            for seed in range(settings.seeds)
        ]
        if min(kept) < settings.tokens:
            log().warning("settle: only %d answer tokens per finetune: a seed's kept rows have no more", min(kept))
        return min(settings.tokens, *kept)

    def loss(self, rows: Sequence[Encoded], seed: int) -> float:
        """The mean loss over all answer tokens of the test set, in nats, after training on some rows."""
        losses = losses_after(ModelSpec.of(self.run), rows, self.test, self.recipe, seed)
        return float(np.average(losses, weights=[len(row.answer) for row in self.test]))

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger with the conditions of all finetunes: version of the split, test rows and recipe."""
        rows = {"test_rows": len(self.test), "rows_drawn": len(self.pool(0))}
        test = rows_hash(self.test)[:HASH]
        return Ledger.of(self.run, self.evaluation, split=self.split, test=test, **rows, **asdict(self.recipe))


def rows_hash(rows: Sequence[Encoded]) -> str:
    """The hash of the token ids of some rows, in their order."""
    return hashlib.sha256(json.dumps([row.key for row in rows]).encode()).hexdigest()


def compare_choices(contest: Contest) -> list[str]:
    """Finetune for every method and seed without a stored result. Returns losses, comparisons and the verdict."""
    units, ledger = [], contest.ledger.under(tokens=contest.budget)
    for seed in range(contest.config.finetuning.seeds):
        for method in [KEPT, RANDOM, *contest.merits]:
            rows = contest.chosen(method, seed, contest.budget)

            def compute(method: str = method, seed: int = seed, rows: list[Encoded] = rows) -> Iterator[Result]:
                yield Result(contest.split, method, seed, LOSS, contest.loss(rows, seed))
                yield Result(contest.split, method, seed, "answer tokens", sum(len(row.answer) for row in rows))
                yield Result(contest.split, method, seed, "rows", len(rows))

            unit = ledger.unit(method=method, seed=seed, rows=rows_hash(rows))
            units.append(ledger.compute_once(unit, compute, f"{method}, seed {seed}, {len(rows)} rows"))

    def untrained() -> Iterator[Result]:
        yield Result(contest.split, "no finetune", None, LOSS, contest.loss([], 0))

    units.append(ledger.compute_once(ledger.unit(untouched=True), untrained, "no finetune"))
    compared = ledger.compare(units, LOSS, [RANDOM, *contest.merits], test="t", methods=[KEPT])
    lines = [*result_table(ledger.read(units), (LOSS, "answer tokens", "rows"), "split")]
    lines += comparison_tables(compared, LOSS)
    conditions = ", ".join(f"{name} {ledger.conditions[name]:g}" for name in CONDITIONS_SHOWN)
    lines += ["", f"Conditions: {conditions}"]
    against_random = next((row.comparison for row in compared if row.comparison.against == RANDOM), None)
    return [*lines, "", finetune_verdict(against_random)]


def removal_curves(contest: Contest) -> list[str]:
    """Test loss after training without the rows of the highest value, of the lowest value, or random rows."""
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
            remaining = set(order[round(share * len(order)) :])
            rows = [contest.table[i]["ids"] for i in pool if i in remaining]

            def compute(
                name: str = name, share: float = share, seed: int = seed, rows: list[Encoded] = rows
            ) -> list[Result]:
                return [Result(f"without {share:.0%}", name, seed, LOSS, contest.loss(rows, seed))]

            unit = contest.ledger.unit(removal=name, share=share, seed=seed, rows=rows_hash(rows))
            units.append(contest.ledger.compute_once(unit, compute, f"without {share:.0%}, {name}, seed {seed}"))
    return result_table(contest.ledger.read(units), (LOSS,), "rows left out")


def datamodeling_score(contest: Contest, rows: int = 200) -> list[str]:
    """The linear datamodeling score (Park et al., 2023) of each method, from finetunes on random halves of some rows.

    For each test row: Spearman's rank correlation, over the halves, of the sum of a method's scores of the half with
    the negative loss of the test row. The score is the mean over test rows.
    """
    chosen = [contest.table[i]["ids"] for i in contest.pool(0)[:rows]]
    spec, test = ModelSpec.of(contest.run), contest.test
    setting = f"{len(chosen)} rows, {SUBSETS} halves"

    def compute() -> Iterator[Result]:
        halves = [random.Random(f"half {j}").sample(range(len(chosen)), len(chosen) // 2) for j in range(SUBSETS)]
        losses_JQ = np.array([
            losses_after(spec, [chosen[i] for i in half], test, contest.recipe, seed=0) for half in halves
        ])  # fmt: skip
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
