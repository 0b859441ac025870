"""Does the value find what a row was made like? Rows and trusted rows with classes: those of a query's class should
help it most. AUC and recall among as many rows as its class has, of each query, by our forms and by others'.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

import numpy as np
from numpy.typing import NDArray

from tasks.config import Curate
from tasks.database import reading, records
from tasks.encode import encoded
from tasks.findings import HASH, Finding, Place, pointer, table, verdicts
from tasks.measure import found
from tasks.progress import log
from tasks.run import stored
from tasks.scoring.model import whole
from tasks.scoring.pairs import BACKWARD, FORWARD, Paired, paired
from tasks.scoring.prompt import Encoded, plain_text
from tasks.scoring.source import Source
from tasks.scoring.trainable import trainable

SHARE = 0.8
"""Of rows and queries, which a seed draws."""
WHOLE = ("value",)
"""Methods that meet every row and query."""
SAMPLE = (100, 30)
"""Rows and queries that all methods are timed on, those with a backward pass too."""
METRICS = ("auc", "sd over queries", "recall", "recall sd", "auc of seeds", "recall of seeds", "seconds", "peak MB")


def influence(config: Curate, source: Source, place: Place, classes: str, text: str | None, seeds: int) -> list[str]:
    """Measure every method that is not known yet, and tell what is known, as markdown.

    Args:
        config: Whose dataset and reference are compared.
        source: The model.
        place: Where findings are kept.
        classes: A column of both that holds a row's class.
        text: A column whose whole text is scored, without a template; by default the answers are.
        seeds: Draws of 80% of rows and queries.

    Raises ValueError if rows or queries lack classes.
    """
    rows, names, content = _with_classes(config, source, config.dataset.name, classes, text)
    queries, asked, other = _with_classes(config, source, config.reference.name, classes, text)
    if not set(names) & set(asked):
        raise ValueError(f"--classes: no {classes!r} of {config.reference.name!r} is one of {config.dataset.name!r}")
    missing = [method for method in BACKWARD if find_spec("kronfluence") is None]
    if missing:
        log().warning("influence: %s left out; pip install 'oresight[baselines]' has them", " and ".join(missing))
    every = [*FORWARD, *(method for method in BACKWARD if method not in missing)]
    sample = random.Random(0).sample(range(len(rows)), min(SAMPLE[0], len(rows)))
    some = random.Random(0).sample(range(len(queries)), min(SAMPLE[1], len(queries)))
    units: list[str] = []
    place = place.under(
        contents=[content[:HASH], other[:HASH]], classes=classes, text=text, seeds=seeds,
        max_tokens=config.scoring.max_tokens, dtype=config.model.dtype,
    )  # fmt: skip
    for methods, r, q in ((WHOLE, range(len(rows)), range(len(queries))), (every, sample, some)):
        setting = f"{len(r)} rows, {len(q)} queries"
        classes_r, classes_q = np.array([names[i] for i in r]), np.array([asked[i] for i in q])
        for method in methods:
            unit = place.unit(setting=setting, method=method)
            alone = partial(_alone, method, source, config, [rows[i] for i in r], [queries[i] for i in q])
            find = partial(_findings, alone, setting, method, classes_r[:, None] == classes_q, seeds)
            units.append(place.once(unit, find, f"{method} on {setting}"))
    made = place.compared(units, "auc of a query", ["embedding cosine", "gradient"], "wilcoxon")
    kept = [one for one in place.of(units) if one.metric != "auc of a query"]
    return [*table(kept, METRICS, "on"), *verdicts(made, "AUC of a query")]


def _alone(method: str, source: Source, config: Curate, rows: list[Encoded], queries: list[Encoded]) -> Paired:
    """In a process of its own, whose peak memory is the method's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_parent) as process:
        return process.submit(paired, method, source, config.model.device, config.model.dtype, rows, queries).result()


def _end_with_parent() -> None:
    """Have this process end when the one that started it has been killed."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _findings(
    alone: Callable[[], Paired], setting: str, method: str, same_NQ: NDArray[np.bool_], seeds: int
) -> Iterator[Finding]:
    """Of each matrix that a method made; what it took stands with the first."""
    done = alone()
    yield Finding(setting, method, None, "seconds", done.seconds)
    yield Finding(setting, method, None, "peak MB", done.peak_mb)
    for name, score_NQ in done.scores.items():
        each = {q: found(score_NQ[:, q], same_NQ[:, q]) for q in _askable(same_NQ)}
        yield from (Finding(setting, name, q, "auc of a query", auc) for q, (auc, _) in each.items())
        auc_Q, recall_Q = np.array(list(each.values())).T
        for metric, value in (
            ("auc", auc_Q.mean()), ("sd over queries", auc_Q.std(ddof=1)),
            ("recall", recall_Q.mean()), ("recall sd", recall_Q.std(ddof=1)),
        ):  # fmt: skip
            yield Finding(setting, name, None, metric, float(value))
        for seed in range(seeds):
            draw = random.Random(f"influence {seed}")
            r, q = (sorted(draw.sample(range(n), round(SHARE * n))) for n in score_NQ.shape)
            part, same = score_NQ[np.ix_(r, q)], same_NQ[np.ix_(r, q)]
            both = np.mean([found(part[:, j], same[:, j]) for j in _askable(same)], axis=0)
            yield Finding(setting, name, seed, "auc of seeds", float(both[0]))
            yield Finding(setting, name, seed, "recall of seeds", float(both[1]))


def _askable(same_NQ: NDArray[np.bool_]) -> list[int]:
    """The queries that have rows of their class, and others."""
    of = same_NQ.sum(0)
    return [int(q) for q in np.flatnonzero((of > 1) & (of < len(same_NQ) - 1))]


def _with_classes(
    config: Curate, source: Source, dataset: str, classes: str, text: str | None
) -> tuple[list[Encoded], list[str], str]:
    """Rows that have a class and can be read, their classes, and the dataset's content."""
    with reading(config.database) as connection:
        content = stored(connection, config.database, dataset)[dataset].content_hash
        place = {"dataset": dataset, "first": pointer(classes), "second": pointer(text or classes)}
        rows = [row for row in records(connection, "findings_samples", place) if row["first"]]
    if len({row["first"] for row in rows}) < 2:
        raise ValueError(f"--classes: {dataset!r} has no two values in a column {classes!r}")
    if text is not None:
        if not all(row["second"] for row in rows):
            raise ValueError(f"--text: not every row of {dataset!r} has a column {text!r}")
        _, tokenizer, _ = whole(source, None)
        read = [plain_text(row["second"], tokenizer, config.scoring.max_tokens) for row in rows]
        return read, [row["first"] for row in rows], content
    good, _ = encoded(rows, trainable(source, "cpu", lora=False), config.scoring.max_tokens)
    known = {row["sample_id"]: row["first"] for row in rows}
    return [row for _, row in good], [known[sample_id] for sample_id, _ in good], content
