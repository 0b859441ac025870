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

from tasks.config import Curate
from tasks.database import reading, records
from tasks.encode import encoded
from tasks.evidence import standing
from tasks.findings import HASH, Finding, Place, table, verdict, verdicts
from tasks.progress import log
from tasks.scoring.finetune import Recipe, losses_after
from tasks.scoring.pairs import FORWARD, paired
from tasks.scoring.prompt import Encoded
from tasks.scoring.source import Source
from tasks.scoring.trainable import trainable

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


@dataclass(frozen=True)
class Settling:
    """What is trained."""

    tokens: int = 10_000
    """Answer tokens that every method may spend."""
    seeds: int = 5
    recipe: Recipe = field(default_factory=Recipe)
    against: tuple[str, ...] = ()
    """Names of merits; empty: of all."""


@dataclass
class Contest:
    """A dataset whose split is decided, as rows that a model can be trained on, and what each method thinks of them."""

    config: Curate
    source: Source
    place: Place
    version: int
    test: Sequence[Encoded]
    settling: Settling
    key: str

    @cached_property
    def table(self) -> list[dict[str, Any]]:
        """Scored rows with their decision: sample_id, value, nll, decision, and the row as ids."""
        with reading(self.config.database) as connection:
            standing(connection, self.config, self.key)
            wanted = {"split": self.config.splitting.name, "version": self.version}
            rows = records(connection, "settle_rows", wanted)
        if not rows:
            raise ValueError(
                f"{self.config.database}: no row of {self.split} has a score of this model; run"
                " `oresight curate CONFIG.yaml` first"
            )
        good = dict(encoded(rows, trainable(self.source, "cpu", lora=False), self.config.scoring.max_tokens)[0])
        return [row | {"ids": good[row["sample_id"]]} for row in rows if row["sample_id"] in good]

    @cached_property
    def trusted(self) -> list[Encoded]:
        """The trusted rows."""
        with reading(self.config.database) as connection:
            wanted = {"reference": self.config.reference.name}
            rows = [row | {"is_blank": False} for row in records(connection, "plant_rows", wanted)]
        good, _ = encoded(rows, trainable(self.source, "cpu", lora=False), self.config.scoring.max_tokens)
        return [row for _, row in good]

    @property
    def split(self) -> str:
        return f"{self.config.splitting.name}/v{self.version}"

    @cached_property
    def merits(self) -> dict[str, Callable[[], Floats]]:
        """Methods that order rows, the best first, by a number each.

        Raises ValueError if one is asked for that there is not.
        """
        found: dict[str, Callable[[], Floats]] = {
            "lowest nll": lambda: -self._column("nll"),
            "highest embedding cosine": lambda: self._against("embedding cosine"),
            "highest value": lambda: self._column("value"),
            "lowest value": lambda: -self._column("value"),
            "highest gradient": lambda: self._against("gradient"),
        }
        against = self.settling.against or tuple(found)
        if unknown := [name for name in against if name not in found]:
            raise ValueError(f"--against: {unknown[0]!r} is none of {', '.join(found)}")
        if find_spec("kronfluence") is None and "highest gradient" in against:
            log().warning("settle: gradient left out; pip install 'oresight[baselines]' has it")
            del found["highest gradient"]
        return {name: merit for name, merit in found.items() if name in against}

    def _column(self, name: str) -> Floats:
        return np.array([row[name] for row in self.table], dtype=float)

    def _against(self, method: str) -> Floats:
        """The mean over the trusted rows, of GRADIENTS for the gradient; asked for once."""
        if method not in self._known:
            rows, model = [row["ids"] for row in self.table], self.config.model
            asked = self.trusted[:GRADIENTS] if method == "gradient" else self.trusted
            done = paired(method, self.source, model.device, model.dtype, rows, asked)
            self._known[method] = done.scores[method].mean(1)
        return self._known[method]

    _known: dict[str, Floats] = field(default_factory=dict)

    def pool(self, seed: int) -> list[int]:
        """Half of the rows, in random order."""
        return random.Random(f"settle {seed}").sample(range(len(self.table)), (len(self.table) + 1) // 2)

    def chosen(self, method: str, seed: int, budget: int) -> list[Encoded]:
        """The rows that a method trains on: the first of its order, each of which fits into what is left."""
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
        kept = [
            sum(len(self.table[i]["ids"].answer) for i in self.pool(seed) if self.table[i]["decision"] == "keep")
            for seed in range(self.settling.seeds)
        ]
        if min(kept) < self.settling.tokens:
            log().warning(
                "settle: %d answer tokens a finetune, because no more are kept in half of the rows", min(kept)
            )
        return min(self.settling.tokens, *kept)

    def loss(self, rows: Sequence[Encoded], seed: int) -> float:
        """The mean over all answer tokens of the test set, in nats."""
        model = self.config.model
        losses = losses_after(self.source, model.device, rows, self.test, self.settling.recipe, seed)
        return float(np.average(losses, weights=[len(row.answer) for row in self.test]))

    @cached_property
    def where(self) -> Place:
        """The place under what all finetunes share: a version of the split, the test rows and how it is trained."""
        recipe = asdict(self.settling.recipe)
        rows = {"test_rows": len(self.test), "rows_drawn": len(self.pool(0))}
        return self.place.under(split=self.split, test=named(self.test)[:HASH], **rows, **recipe)


def named(rows: Sequence[Encoded]) -> str:
    """The hash of some rows' ids, in their order."""
    return hashlib.sha256(json.dumps([row.key for row in rows]).encode()).hexdigest()


def settle(contest: Contest) -> list[str]:
    """Finetune for every method and seed that is not known yet; the losses, how kept rows compare, and the verdict."""
    units, where = [], contest.where.under(tokens=contest.budget)
    for seed in range(contest.settling.seeds):
        for method in [KEPT, RANDOM, *contest.merits]:
            rows = contest.chosen(method, seed, contest.budget)

            def find(method: str = method, seed: int = seed, rows: list[Encoded] = rows) -> Iterator[Finding]:
                yield Finding(contest.split, method, seed, LOSS, contest.loss(rows, seed))
                yield Finding(contest.split, method, seed, "answer tokens", sum(len(row.answer) for row in rows))
                yield Finding(contest.split, method, seed, "rows", len(rows))

            unit = where.unit(method=method, seed=seed, rows=named(rows))
            units.append(where.once(unit, find, f"{method}, seed {seed}, {len(rows)} rows"))

    def plain() -> Iterator[Finding]:
        yield Finding(contest.split, "no finetune", None, LOSS, contest.loss([], 0))

    units.append(where.once(where.unit(untouched=True), plain, "no finetune"))
    made = where.compared(units, LOSS, [RANDOM, *contest.merits], "t", [KEPT])
    lines = [*table(where.of(units), (LOSS, "answer tokens", "rows"), "split"), *verdicts(made, LOSS)]
    lines += ["", f"Tried: {', '.join(f'{name} {where.conditions[name]:g}' for name in TRIED)}"]
    return [*lines, "", verdict(next((one for _, _, one in made if one.against == RANDOM), None))]


def removal(contest: Contest) -> list[str]:
    """What the test loss does when the rows of the highest or the lowest value are left out, or random ones."""
    value, units = contest._column("value"), []
    for seed in range(contest.settling.seeds):
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

            def find(
                name: str = name, share: float = share, seed: int = seed, rows: list[Encoded] = rows
            ) -> list[Finding]:
                return [Finding(f"without {share:.0%}", name, seed, LOSS, contest.loss(rows, seed))]

            unit = contest.where.unit(removal=name, share=share, seed=seed, rows=named(rows))
            units.append(contest.where.once(unit, find, f"without {share:.0%}, {name}, seed {seed}"))
    return table(contest.where.of(units), (LOSS,), "rows left out")


def datamodel(contest: Contest, rows: int = 200) -> list[str]:
    """The linear datamodeling score (Park et al., 2023): over finetunes on random halves of some rows, how well the sum
    of a method's scores of the half predicts each test row's loss, by Spearman's rank correlation.
    """
    chosen = [contest.table[i]["ids"] for i in contest.pool(0)[:rows]]
    model = contest.config.model

    def find() -> Iterator[Finding]:
        halves = [random.Random(f"half {j}").sample(range(len(chosen)), len(chosen) // 2) for j in range(SUBSETS)]
        recipe, test = contest.settling.recipe, contest.test
        losses_JQ = np.array([
            losses_after(contest.source, model.device, [chosen[i] for i in half], test, recipe, 0) for half in halves
        ])  # fmt: skip
        methods = [*FORWARD, *(["gradient", "ekfac"] if find_spec("kronfluence") else [])]
        for method in methods:
            done = paired(method, contest.source, model.device, model.dtype, chosen, contest.test)
            for name, score_NQ in done.scores.items():
                sums_JQ = np.array([score_NQ[half].sum(0) for half in halves])
                each = [spearmanr(sums_JQ[:, q], -losses_JQ[:, q]).statistic for q in range(len(contest.test))]
                yield Finding(f"{len(chosen)} rows, {SUBSETS} halves", name, None, "score", float(np.nanmean(each)))
                error = float(np.nanstd(each, ddof=1) / len(each) ** 0.5)
                yield Finding(f"{len(chosen)} rows, {SUBSETS} halves", name, None, "standard error", error)

    unit = contest.where.unit(datamodel=named(chosen), subsets=SUBSETS)
    contest.where.once(unit, find, f"{SUBSETS} finetunes on halves of {len(chosen)} rows")
    return table(contest.where.of([unit]), ("score", "standard error"), "linear datamodeling score")
