"""Does the value find the rows of a query's class? Rows and trusted rows (queries) have classes.

Rows of a query's class should help the query most. Each method is measured by the AUC and the recall@k of each query,
where k is the number of rows of its class.
"""

import os
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from oresight.tasks.evaluation.ledger import Ledger, Result, content_hashes
from oresight.tasks.evaluation.measure import class_auc_and_recall
from oresight.tasks.evaluation.pairs import BACKWARD, FORWARD, PairScores, score_pairs
from oresight.tasks.evaluation.samples import dataset_rows, encode_for_training
from oresight.tasks.evaluation.tables import comparison_tables, result_table
from oresight.tasks.evaluation.trainable import ModelSpec
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scoring.encoded import Encoded, Unscorable, far_from_answer
from oresight.tasks.scoring.model import load_pretrained

SHARE = 0.8
"""Share of the rows, and of the queries, that a seed draws."""
ON_ALL = ("value",)
"""Methods that are also measured on all rows and queries."""
SAMPLE = (100, 30)
"""Rows and queries that all methods are measured and timed on. Backward passes are too slow for all rows."""
METRICS = ("auc", "sd over queries", "recall", "recall sd", "auc of seeds", "recall of seeds", "seconds", "peak MB")


@dataclass(frozen=True)
class _ClassedRows:
    """Rows as token ids, each with its class."""

    rows: list[Encoded]
    classes: list[str]

    def sample(self, n: int) -> "_ClassedRows":
        """At most n of the rows, drawn at random."""
        return self.take(random.Random(0).sample(range(len(self.rows)), min(n, len(self.rows))))

    def take(self, numbers: Sequence[int]) -> "_ClassedRows":
        """Some of the rows, by their numbers."""
        return _ClassedRows([self.rows[i] for i in numbers], [self.classes[i] for i in numbers])


@dataclass(frozen=True)
class _Setting:
    """Some rows and some queries that a method is measured on."""

    rows: _ClassedRows
    queries: _ClassedRows
    seeds: int

    @property
    def name(self) -> str:
        """The setting's name in results."""
        return f"{len(self.rows.rows)} rows, {len(self.queries.rows)} queries"

    def has_same_class(self) -> NDArray[np.bool_]:
        """Whether a row has the class of a query [N, Q]."""
        same_NQ: NDArray[np.bool_] = np.array(self.rows.classes)[:, None] == np.array(self.queries.classes)
        return same_NQ


def measure_influence(run: Run, classes: str, text: str | None) -> list[str]:
    """Measure every method whose results are not stored yet. Returns all results as markdown.

    Args:
        run: Its dataset holds the rows, its reference the queries. Each of `evaluating.seeds` seeds draws 80% of both.
        classes: A column of dataset and reference that holds a row's class.
        text: A column whose complete text is scored, without a template. By default the answers are scored.

    Raises ValueError if rows or queries lack classes.
    """
    config, seeds = run.config, run.config.evaluating.seeds
    contents = content_hashes(run)
    rows = _rows_with_classes(run, config.dataset.name, classes, text)
    queries = _rows_with_classes(run, config.reference_name, classes, text)
    if not set(rows.classes) & set(queries.classes):
        raise ValueError(
            f"--classes: {config.dataset.name!r} and {config.reference_name!r} have no value of {classes!r} in common"
        )
    missing = [method for method in BACKWARD if find_spec("kronfluence") is None]
    if missing:
        names = " and ".join(missing)
        log().warning("influence: %s left out; to include them: pip install 'oresight[baselines]'", names)
    methods = [*FORWARD, *(method for method in BACKWARD if method not in missing)]
    ledger = Ledger.of(
        run, "influence", contents=contents, classes=classes, text=text, seeds=seeds,
        max_tokens=config.scoring.max_tokens, dtype=config.model.dtype,
    )  # fmt: skip
    complete = _Setting(rows, queries, seeds)
    sample = _Setting(rows.sample(SAMPLE[0]), queries.sample(SAMPLE[1]), seeds)
    units: list[str] = []
    for chosen, setting in ((ON_ALL, complete), (methods, sample)):
        for method in chosen:
            compute = partial(_results, ModelSpec.of(run), method, setting)
            unit = ledger.unit(setting=setting.name, method=method)
            units.append(ledger.compute_once(unit, compute, f"{method} on {setting.name}"))
    compared = ledger.compare(units, "auc of a query", ["embedding cosine", "gradient"], test="wilcoxon")
    results = [result for result in ledger.read(units) if result.metric != "auc of a query"]
    return [*result_table(results, METRICS, "on"), *comparison_tables(compared, "AUC of a query")]


def score_in_process(method: str, spec: ModelSpec, rows: Sequence[Encoded], queries: Sequence[Encoded]) -> PairScores:
    """Run score_pairs in a process of its own, so that the peak memory of the process is the method's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_parent) as process:
        return process.submit(score_pairs, method, spec, rows, queries).result()


def _end_with_parent() -> None:
    """End this process when its parent process has been killed."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _results(spec: ModelSpec, method: str, setting: _Setting) -> Iterator[Result]:
    """Measure a method: its time and memory, and the results of each matrix of scores that it computes."""
    pairs = score_in_process(method, spec, setting.rows.rows, setting.queries.rows)
    same_NQ = setting.has_same_class()
    yield Result(setting.name, method, None, "seconds", pairs.seconds)
    yield Result(setting.name, method, None, "peak MB", pairs.peak_mb)
    for name, score_NQ in pairs.scores.items():
        of_query = {q: class_auc_and_recall(score_NQ[:, q], same_NQ[:, q]) for q in _usable_queries(same_NQ)}
        yield from (Result(setting.name, name, q, "auc of a query", auc) for q, (auc, _) in of_query.items())
        auc_Q, recall_Q = np.array(list(of_query.values())).T
        for metric, value in (
            ("auc", auc_Q.mean()), ("sd over queries", auc_Q.std(ddof=1)),
            ("recall", recall_Q.mean()), ("recall sd", recall_Q.std(ddof=1)),
        ):  # fmt: skip
            yield Result(setting.name, name, None, metric, float(value))
        for seed in range(setting.seeds):
            draw = random.Random(f"influence {seed}")
            r, q = (sorted(draw.sample(range(n), round(SHARE * n))) for n in score_NQ.shape)
            part, same = score_NQ[np.ix_(r, q)], same_NQ[np.ix_(r, q)]
            auc, recall = np.mean([class_auc_and_recall(part[:, j], same[:, j]) for j in _usable_queries(same)], axis=0)
            yield Result(setting.name, name, seed, "auc of seeds", float(auc))
            yield Result(setting.name, name, seed, "recall of seeds", float(recall))


def _usable_queries(same_NQ: NDArray[np.bool_]) -> list[int]:
    """The queries with at least two rows of their class and two of other classes."""
    rows_Q = same_NQ.sum(0)
    return [int(q) for q in np.flatnonzero((rows_Q > 1) & (rows_Q < len(same_NQ) - 1))]


def _rows_with_classes(run: Run, dataset: str, classes: str, text: str | None) -> _ClassedRows:
    """The rows of a dataset that have a class and that the model can read."""
    config, source = run.config, run.model.files
    rows = [row for row in dataset_rows(config.database, dataset, classes, text or classes) if row["first"]]
    if len({row["first"] for row in rows}) < 2:
        raise ValueError(f"--classes: {dataset!r} has fewer than two values in a column {classes!r}")
    if text is not None:
        if not all(row["second"] for row in rows):
            raise ValueError(f"--text: not every row of {dataset!r} has a column {text!r}")
        tokenizer = load_pretrained(source, "float32")[1]
        ids = [plain_text(row["second"], tokenizer, config.scoring.max_tokens) for row in rows]
        return _ClassedRows(ids, [row["first"] for row in rows])
    encoded = encode_for_training(config, source, rows)
    class_of = {row["sample_id"]: row["first"] for row in rows}
    return _ClassedRows([row for _, row in encoded], [class_of[sample_id] for sample_id, _ in encoded])


def plain_text(text: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Encoded:
    """A text without a template, in which every token but the first is scored.

    Raises Unscorable if there is no second token.
    """
    first = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids = [*first, *tokenizer(text[: far_from_answer(max_tokens)], add_special_tokens=False)["input_ids"]][:max_tokens]
    if len(ids) < 2:
        raise Unscorable("the text has fewer than two tokens, so none can be scored")
    return Encoded(ids, 1, len(ids), ids[:1])
