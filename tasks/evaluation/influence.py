"""Does the value find what a row was made like? Rows and trusted rows with classes: those of a query's class should
help it most. AUC and recall among as many rows as its class has, of each query, by our forms and by others'.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

import numpy as np
from numpy.typing import NDArray

from oresight.tasks.evaluation.ledger import Ledger, Result, content_hashes
from oresight.tasks.evaluation.measure import class_auc_and_recall
from oresight.tasks.evaluation.pairs import BACKWARD, FORWARD, Paired, paired
from oresight.tasks.evaluation.samples import dataset_rows, encode_for_training
from oresight.tasks.evaluation.tables import comparison_tables, result_table
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scoring.model import load_pretrained
from oresight.tasks.scoring.prompt import Encoded, plain_text

SHARE = 0.8
"""Of rows and queries, which a seed draws."""
ON_ALL = ("value",)
"""Methods that meet every row and query."""
SAMPLE = (100, 30)
"""Rows and queries that all methods are timed on, those with a backward pass too."""
METRICS = ("auc", "sd over queries", "recall", "recall sd", "auc of seeds", "recall of seeds", "seconds", "peak MB")


@dataclass(frozen=True)
class _Classed:
    """Rows as ids, each with its class."""

    rows: list[Encoded]
    classes: list[str]


def measure_influence(run: Run, classes: str, text: str | None) -> list[str]:
    """Measure every method that is not known yet; returns what is known, as markdown.

    Args:
        run: Whose dataset and reference are compared, `evaluating.seeds` times on draws of 80% of rows and queries.
        classes: A column of both that holds a row's class.
        text: A column whose whole text is scored, without a template; by default the answers are.

    Raises ValueError if rows or queries lack classes.
    """
    config, seeds = run.config, run.config.evaluating.seeds
    contents = content_hashes(run)
    rows = _with_classes(run, config.dataset.name, classes, text)
    queries = _with_classes(run, config.reference.name, classes, text)
    if not set(rows.classes) & set(queries.classes):
        raise ValueError(f"--classes: no {classes!r} of {config.reference.name!r} is one of {config.dataset.name!r}")
    missing = [method for method in BACKWARD if find_spec("kronfluence") is None]
    if missing:
        log().warning("influence: %s left out; pip install 'oresight[baselines]' has them", " and ".join(missing))
    methods = [*FORWARD, *(method for method in BACKWARD if method not in missing)]
    row_sample = random.Random(0).sample(range(len(rows.rows)), min(SAMPLE[0], len(rows.rows)))
    query_sample = random.Random(0).sample(range(len(queries.rows)), min(SAMPLE[1], len(queries.rows)))
    ledger = Ledger.of(
        run, "influence", contents=contents, classes=classes, text=text, seeds=seeds,
        max_tokens=config.scoring.max_tokens, dtype=config.model.dtype,
    )  # fmt: skip
    everything = range(len(rows.rows)), range(len(queries.rows))
    units: list[str] = []
    for chosen, (r, q) in ((ON_ALL, everything), (methods, (row_sample, query_sample))):
        setting = f"{len(r)} rows, {len(q)} queries"
        same_NQ = np.array([rows.classes[i] for i in r])[:, None] == np.array([queries.classes[i] for i in q])
        for method in chosen:
            measure = partial(_alone, method, run, [rows.rows[i] for i in r], [queries.rows[i] for i in q])
            compute = partial(_results, measure, setting, method, same_NQ, seeds)
            units.append(ledger.once(ledger.unit(setting=setting, method=method), compute, f"{method} on {setting}"))
    compared = ledger.compare(units, "auc of a query", ["embedding cosine", "gradient"], "wilcoxon")
    results = [result for result in ledger.read(units) if result.metric != "auc of a query"]
    return [*result_table(results, METRICS, "on"), *comparison_tables(compared, "AUC of a query")]


def _alone(method: str, run: Run, rows: list[Encoded], queries: list[Encoded]) -> Paired:
    """In a process of its own, whose peak memory is the method's."""
    model = run.config.model
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_parent) as process:
        return process.submit(paired, method, run.model.files, model.device, model.dtype, rows, queries).result()


def _end_with_parent() -> None:
    """Have this process end when the one that started it has been killed."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _results(
    measure: Callable[[], Paired], setting: str, method: str, same_NQ: NDArray[np.bool_], seeds: int
) -> Iterator[Result]:
    """Results of each matrix that a method made; its time and memory stand with the first."""
    done = measure()
    yield Result(setting, method, None, "seconds", done.seconds)
    yield Result(setting, method, None, "peak MB", done.peak_mb)
    for name, score_NQ in done.scores.items():
        each = {q: class_auc_and_recall(score_NQ[:, q], same_NQ[:, q]) for q in _usable_queries(same_NQ)}
        yield from (Result(setting, name, q, "auc of a query", auc) for q, (auc, _) in each.items())
        auc_Q, recall_Q = np.array(list(each.values())).T
        for metric, value in (
            ("auc", auc_Q.mean()), ("sd over queries", auc_Q.std(ddof=1)),
            ("recall", recall_Q.mean()), ("recall sd", recall_Q.std(ddof=1)),
        ):  # fmt: skip
            yield Result(setting, name, None, metric, float(value))
        for seed in range(seeds):
            draw = random.Random(f"influence {seed}")
            r, q = (sorted(draw.sample(range(n), round(SHARE * n))) for n in score_NQ.shape)
            part, same = score_NQ[np.ix_(r, q)], same_NQ[np.ix_(r, q)]
            both = np.mean([class_auc_and_recall(part[:, j], same[:, j]) for j in _usable_queries(same)], axis=0)
            yield Result(setting, name, seed, "auc of seeds", float(both[0]))
            yield Result(setting, name, seed, "recall of seeds", float(both[1]))


def _usable_queries(same_NQ: NDArray[np.bool_]) -> list[int]:
    """The queries that have rows of their class, and others."""
    of = same_NQ.sum(0)
    return [int(q) for q in np.flatnonzero((of > 1) & (of < len(same_NQ) - 1))]


def _with_classes(run: Run, dataset: str, classes: str, text: str | None) -> _Classed:
    """Rows that have a class and can be read."""
    config, source = run.config, run.model.files
    rows = [row for row in dataset_rows(config.database, dataset, classes, text or classes) if row["first"]]
    if len({row["first"] for row in rows}) < 2:
        raise ValueError(f"--classes: {dataset!r} has no two values in a column {classes!r}")
    if text is not None:
        if not all(row["second"] for row in rows):
            raise ValueError(f"--text: not every row of {dataset!r} has a column {text!r}")
        _, tokenizer, _ = load_pretrained(source, None)
        ids = [plain_text(row["second"], tokenizer, config.scoring.max_tokens) for row in rows]
        return _Classed(ids, [row["first"] for row in rows])
    encoded = encode_for_training(config, source, rows)
    class_of = {row["sample_id"]: row["first"] for row in rows}
    return _Classed([row for _, row in encoded], [class_of[sample_id] for sample_id, _ in encoded])
