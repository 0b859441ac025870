"""The ways of choosing rows that finetunes compare.

kept                      rows that the split keeps, in random order
random                    rows in random order
match                     splitting.by: match, decided anew for the drawn rows and the budget
match on index, on states the round robin by one cosine only, wrong-looking rows included; states is RDS+ round robin
TF-IDF, BM25              the round robin by words
lowest nll, highest value, lowest value, highest value cosine, highest embedding cosine, highest gradient
                          one number for each row; cosine and gradient are means over the trusted rows
clean rows                rows in random order that a truth column calls right: what a perfect flag could reach
all rows                  all drawn rows, whatever they cost: an upper reference
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oresight.tasks.config import Curate
from oresight.tasks.evaluation.pairs import score_pairs
from oresight.tasks.evaluation.trainable import ModelSpec
from oresight.tasks.evaluation.truth import TRUTHS
from oresight.tasks.matching.policy import Candidates, choose, random_similarity
from oresight.tasks.matching.round_robin import round_robin
from oresight.tasks.matching.similarity import Cosines, Matrix, Similarity, Vectors
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run

Floats = NDArray[np.float64]
KEPT, RANDOM, MATCH, CLEAN, ALL = "kept", "random", "match", "clean rows", "all rows"
MATCHED = {MATCH: ("index", "text"), "match on index": ("index",), "match on states": ("text",)}
"""Round robins by stored vectors, and the cosines that they use."""
LEXICAL = ("TF-IDF", "BM25")
COLUMNS = {
    "lowest nll": (-1, "nll"), "highest value": (1, "value"), "lowest value": (-1, "value"),
    "highest value cosine": (1, "value_cosine"),
}  # fmt: skip
"""Orders by a stored number, with the sign that puts the best row first."""
PAIRED = {"highest embedding cosine": "embedding cosine", "highest gradient": "gradient"}
METHODS = (MATCH, "match on index", "match on states", *LEXICAL, *COLUMNS, *PAIRED, CLEAN, ALL)
"""What the kept rows and random rows can be compared with."""
OPTIONAL = {"highest gradient": "kronfluence", "BM25": "bm25s"}
"""Methods that need a library of `oresight[baselines]`."""
GRADIENTS = 64
"""Trusted rows whose gradients rows are compared with. Their number decides most of the cost of the choice."""


@dataclass
class Choices:
    """Rows of a decided split and trusted rows, each with what the methods need, and their token ids (`ids`)."""

    run: Run
    table: list[dict[str, Any]]
    trusted: list[dict[str, Any]]
    truth: str | None = None
    """The column that says which rows are wrong."""
    _means: dict[str, Floats] = field(default_factory=dict)

    @property
    def config(self) -> Curate:
        """The configuration of the run."""
        return self.run.config

    @cached_property
    def methods(self) -> list[str]:
        """The configured methods besides kept and random. Raises ValueError for a method that does not exist."""
        chosen = self.config.finetuning.against or [name for name in METHODS if name != CLEAN or self.truth]
        if unknown := [name for name in chosen if name not in METHODS]:
            raise ValueError(f"--against: {unknown[0]!r} is not one of {', '.join(METHODS)}")
        if CLEAN in chosen and not self.truth:
            raise ValueError(f"--against: {CLEAN!r} needs --truth COLUMN, which says which rows are wrong")
        missing = [name for name in chosen if name in OPTIONAL and find_spec(OPTIONAL[name]) is None]
        for name in missing:
            log().warning("settle: %s left out; to include it: pip install 'oresight[baselines]'", name)
        return [name for name in chosen if name not in missing]

    def pool(self, seed: int) -> list[int]:
        """The numbers of the rows that a seed draws: half of them, in random order."""
        return random.Random(f"settle {seed}").sample(range(len(self.table)), (len(self.table) + 1) // 2)

    def chosen(self, method: str, seed: int, budget: int) -> list[int]:
        """The rows that a method trains on: in its order, every row that fits into the remaining budget of tokens."""
        pool = self.pool(seed)
        if method == ALL:
            return pool
        taken, tokens_left = [], budget
        for i in self._order(method, pool, seed, budget):
            tokens = len(self.table[i]["ids"].answer)
            if tokens <= tokens_left:
                taken.append(i)
                tokens_left -= tokens
        return taken

    def _order(self, method: str, pool: list[int], seed: int, budget: int) -> list[int]:
        """The rows of the pool that a method would take, the best first."""
        if method == RANDOM:
            return pool
        if method == KEPT:
            return [i for i in pool if self.table[i]["decision"] == "keep"]
        if method == CLEAN:
            return [i for i in pool if not self.wrong_rows[i]]
        if method in COLUMNS:
            sign, column = COLUMNS[method]
            merit = sign * self.column(column)
            return sorted(pool, key=lambda i: -merit[i])
        if method in PAIRED:
            merit = self._against_trusted(PAIRED[method])
            return sorted(pool, key=lambda i: -merit[i])
        turns = random.Random(f"turns {seed}").sample(range(len(self.trusted)), len(self.trusted))
        tokens_N = np.array([len(self.table[i]["ids"].answer) for i in pool])
        similarity = self._similarity(method, pool, turns)
        if method == MATCH:
            suspicion_N, p_N = self.column("suspicion")[pool], self.column("p_value")[pool]
            candidates, floor = Candidates(tokens_N, suspicion_N, p_N), random_similarity(similarity)
            trusted_R = np.array([self.trusted[t]["suspicion"] for t in turns], dtype=float)
            order_N = choose(similarity, candidates, trusted_R, floor, tokens=budget).order_N
        else:
            order_N = round_robin(similarity, tokens_N, tokens=budget).order_N
        return [pool[n] for n in order_N]

    def _similarity(self, method: str, pool: list[int], turns: list[int]) -> Similarity:
        """How near rows are to trusted rows, which take turns in this order."""
        rows, trusted = [self.table[i] for i in pool], [self.trusted[t] for t in turns]
        if method in MATCHED:
            return Cosines.between(_vectors(rows), _vectors(trusted), MATCHED[method])
        texts = [[f"{row['prompt']}\n{row['answer']}" for row in part] for part in (rows, trusted)]
        return Matrix(LEXICAL_SCORES[method](*texts))

    def column(self, name: str) -> Floats:
        """One column of the table [N]; NaN where there is no number."""
        return np.array([row[name] for row in self.table], dtype=float)

    @cached_property
    def wrong_rows(self) -> NDArray[np.bool_]:
        """Which rows the truth column calls wrong; a row without a truth counts as wrong. All False without a truth."""
        if self.truth is None:
            return np.zeros(len(self.table), dtype=bool)
        return np.array([TRUTHS.get(str(row["truth"]).lower(), True) for row in self.table])

    def _against_trusted(self, method: str) -> Floats:
        """Each row's mean score over the trusted rows; `gradient` uses the first GRADIENTS of them. Computed once."""
        if method not in self._means:
            rows, trusted = ([row["ids"] for row in part] for part in (self.table, self.trusted))
            queries = trusted[:GRADIENTS] if method == "gradient" else trusted
            pairs = score_pairs(method, ModelSpec.of(self.run), rows, queries)
            self._means[method] = pairs.scores[method].mean(1)
        return self._means[method]


def _vectors(rows: Sequence[dict[str, Any]]) -> Vectors:
    """The stored vectors of rows."""
    index_NM, text_NS = (np.array([row[name] for row in rows], dtype=np.int8) for name in ("vector", "text_state"))
    return Vectors(index_NM, text_NS, np.array([row["text_unit"] for row in rows], dtype=np.float32))


def _tf_idf(rows: list[str], trusted: list[str]) -> NDArray[np.float32]:
    """Cosines of TF-IDF vectors of words [R, N]."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit([*rows, *trusted])
    return np.asarray((words.transform(trusted) @ words.transform(rows).T).todense(), dtype=np.float32)


def _bm25(rows: list[str], trusted: list[str]) -> NDArray[np.float32]:
    """BM25 scores of rows, with a trusted row as the query [R, N]."""
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(rows, show_progress=False), show_progress=False)
    queries = bm25s.tokenize(trusted, return_ids=False, show_progress=False)  # without stop words: some are empty
    none_N = np.zeros(len(rows))
    return np.stack([index.get_scores(query) if query else none_N for query in queries]).astype(np.float32)


LEXICAL_SCORES = {"TF-IDF": _tf_idf, "BM25": _bm25}
