"""Trials: rows of the dataset, of which a share gets a known defect, as files for a database of their own; and how well
each signal marks those. The user's rows are read, and none of what is planted comes near them or a split.

What is planted in a row hangs on the row and the kind alone, so that seeds, which draw other rows, share most of the
scores. Methods that the signals are compared with: nll, the cosine of the mean final state of the answer with those of
the trusted rows, random numbers, and, where answers are labels, cleanlab's label quality from a probe on these rows.
"""

import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from tasks.config import Curate, Dataset
from tasks.database import query, reading, records
from tasks.defects import KINDS, Row, planted
from tasks.encode import encoded, rows_of
from tasks.evidence import standing
from tasks.findings import Finding, pointer
from tasks.labels import OFTEN
from tasks.measure import SUSPICIOUS, marked
from tasks.scoring.loaded import Loaded
from tasks.scoring.model import load
from tasks.scoring.pairs import embeddings
from tasks.scoring.source import Source

Planted = tuple[str, Row]
"""A kind of defect and the copy that has it."""
RIVALS = ("nll", "embedding cosine", "random")
"""What the other signals are compared with."""
PLANTABLE = [kind for kind in KINDS if kind != "blanked_image"]
"""A grey picture is no file that a row could name."""
ALL = "all kinds"
FOLDS = 5
DRAWN = 2 / 3
"""Of the pool that all seeds draw from, what one draws."""


@dataclass(frozen=True)
class Trial:
    """What is planted."""

    share: float = 0.2
    """Of the rows, those that get a defect."""
    rows: int = 400
    """Rows that a seed draws from the dataset."""
    seeds: int = 8


@dataclass
class Embedded:
    """Embeddings of rows that were asked for before, by sample_id."""

    source: Source
    config: Curate
    known: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @cached_property
    def model(self) -> Loaded:
        return load(self.source, self.config.model.device, self.config.model.dtype)

    def of(self, database: str, sample_ids: Sequence[str]) -> NDArray[np.float32]:
        """[N, D], of length one; zeros for a row that cannot be read."""
        missing = [one for one in sample_ids if one not in self.known]
        if missing:
            rows = rows_of(database, pa.table({"sample_id": pa.array(missing, pa.string())}))
            good, bad = encoded(rows, self.model, self.config.scoring.max_tokens)
            made = embeddings(self.model, [row for _, row in good]).numpy()
            self.known |= {sample_id: one for (sample_id, _), one in zip(good, made, strict=True)}
            self.known |= {sample_id: np.zeros_like(made[0]) for sample_id, _ in bad}
        return np.stack([self.known[one] for one in sample_ids])


def scratch(config: Curate) -> Path:
    """The folder beside the database where evaluations work."""
    return Path(f"{config.database}.evaluation")


def drawn(config: Curate, trial: Trial, seed: int) -> Curate:
    """Write the rows of a seed to a file, and give the settings of the database that they are judged in.

    Raises ValueError if the dataset has too few rows, or no defect can be planted in any.
    """
    with reading(config.database) as connection:
        wanted = {"dataset": config.dataset.name, "first": pointer("-"), "second": pointer("-")}
        found = records(connection, "findings_samples", wanted)
    by_id = {row["sample_id"]: row for row in found}
    plain = [
        Row(row["sample_id"], row["prompt"], row["answer"], tuple(one["sha256"] for one in row["images"] or []))
        for row in found
    ]
    draw = random.Random(f"trial {seed}")
    pool = plain[: round(trial.rows / DRAWN)]  # the first by their hashes, so that seeds have rows in common
    if len(pool) < 20:
        raise ValueError(f"{config.dataset.name!r} has {len(pool)} rows; for a trial it needs 20")
    chosen = draw.sample(pool, round(DRAWN * len(pool)))
    here, there = {row.sample_id for row in chosen}, {(row.prompt, row.answer.strip(), row.images) for row in plain}
    copies: dict[str, list[Planted]] = {}
    for kind, copy in planted(pool, len(pool), PLANTABLE):
        if copy.sample_id in here and (copy.prompt, copy.answer.strip(), copy.images) not in there:
            copies.setdefault(kind, []).append((kind, copy))
    if not copies:
        raise ValueError(f"{config.dataset.name!r} has no row in which a defect can be planted")
    bad = _spread(
        [draw.sample(some, len(some)) for _, some in sorted(copies.items())], round(trial.share * len(chosen))
    )
    pictures = {tuple(one["sha256"] for one in row["images"] or []): row["images"] for row in found}
    lines = [_line(by_id[row.sample_id], pictures, bad.get(row.sample_id)) for row in chosen]
    file = scratch(config) / f"{config.dataset.name}-{trial.share:g}-{trial.rows}" / f"{seed}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    folders = {Path(one["path"]).parent.absolute() for row in found for one in row["images"] or []}
    root = os.path.commonpath(folders) if folders else None
    return _judged_in(config, Dataset(name=_name(f"{file.parent.name}-{seed}"), path=str(file), root=root))


def together(config: Curate, trials: Sequence[Curate]) -> Curate:
    """The settings of one dataset that holds the rows of all of these trials, so that they are scored in one go.

    Removes from their folder what other trials left.
    """
    files = {Path(one.dataset.path) for one in trials}
    (folder,) = {file.parent for file in files}
    for before in set(folder.iterdir()) - files:
        before.unlink()
    whole = trials[0].dataset.model_copy(update={"name": _name(folder.name), "path": str(folder)})
    return _judged_in(config, whole)


def _name(name: str) -> str:
    return name[-100:].lstrip("-._")


def _judged_in(config: Curate, dataset: Dataset) -> Curate:
    return config.model_copy(update={"database": str(scratch(config) / "trials.duckdb"), "dataset": dataset})


def _spread(queues: list[list[Planted]], wanted: int) -> dict[str, Planted]:
    """By sample_id as many copies as are wanted, of each kind in turn, and no two of one row."""
    bad: dict[str, Planted] = {}
    while any(queues):
        for queue in queues:
            while queue and queue[-1][1].sample_id in bad:
                queue.pop()
            if queue and len(bad) < wanted:
                kind, copy = queue.pop()
                bad[copy.sample_id] = kind, copy
        if len(bad) == wanted:
            break
    return bad


def _line(row: dict[str, Any], pictures: dict[Any, Any], defect: Planted | None) -> dict[str, Any]:
    """A row in the layout `messages`, with what is wrong with it."""
    kind, copy = defect or ("", None)
    messages, images = json.loads(row["messages"]), row["images"]
    if copy is not None:
        if copy.answer != row["answer"]:
            messages[-1]["content"] = copy.answer
        images = pictures[copy.images]
    line: dict[str, Any] = {"messages": messages, "defect": kind or "none"}
    if row["tools"]:
        line["tools"] = json.loads(row["tools"])
    if images:
        line["images"] = [str(Path(one["path"]).absolute()) for one in images]
    return line


def judged(there: Curate, key: str, embedded: Embedded, share: float, seed: int) -> Iterator[Finding]:
    """How well each method marks the planted rows: of all kinds, and of each against the rows without."""
    with reading(there.database) as connection:
        names = standing(connection, there, key)
        found = connection.execute(query("evaluate_rows"), {"pointer": pointer("defect")}).to_arrow_table()
        more = connection.execute(query("planted_rows"), {"model_key": key}).to_arrow_table()
        trusted = connection.execute(query("score_reference_ids"), {"reference": names["reference"]}).to_arrow_table()
    defect_N = np.array(found["truth"].to_pylist())
    suspicion = {
        name: found[name].to_numpy().astype(float) * (1 if end == "high" else -1) for name, end in SUSPICIOUS.items()
    }
    ids = more["sample_id"].to_pylist()
    mean_D = embedded.of(there.database, trusted["sample_id"].to_pylist()).mean(0)
    suspicion["embedding cosine"] = -(embedded.of(there.database, ids) @ mean_D).astype(float)
    suspicion["random"] = np.random.default_rng(seed).random(len(ids))
    labels = _cleanlab(more)
    if labels is not None:
        suspicion["cleanlab"] = -labels
    for kind in [ALL, *sorted(set(defect_N) - {"none"})]:
        part_N = np.ones(len(ids), bool) if kind == ALL else np.isin(defect_N, [kind, "none"])
        for name, all_N in suspicion.items():
            for metric, value in marked(all_N[part_N], defect_N[part_N] != "none").items():
                yield Finding(f"{share:.0%} bad, {kind}", name, seed, metric, value)
    flagged_N = found["q_value"].to_numpy().astype(float) <= there.flagging.false_discovery_rate
    bad_N = defect_N != "none"
    whole, false = f"{share:.0%} bad, {ALL}", (flagged_N & ~bad_N).sum() / max(flagged_N.sum(), 1)
    yield Finding(whole, "flags", seed, "false-discovery proportion", float(false))
    yield Finding(whole, "flags", seed, "share of the wrong flagged", float(flagged_N[bad_N].mean()))


def _cleanlab(rows: pa.Table) -> NDArray[np.float64] | None:
    """cleanlab's label quality (self-confidence) of a probe on the first answer state, cross-validated on these rows;
    not a number for answers that are too rare. None where most answers do not repeat.
    """
    answers = np.array([answer.strip() for answer in rows["answer"].to_pylist()])
    _, label_N, times = np.unique(answers, return_inverse=True, return_counts=True)
    often_N = times[label_N] >= OFTEN
    if often_N.mean() < 0.5 or (times >= OFTEN).sum() < 2:
        return None
    label_M = np.unique(label_N[often_N], return_inverse=True)[1]
    state_ND = np.stack(rows["state"].to_pylist())[often_N]
    probe = LogisticRegression(C=0.01, max_iter=200)
    scaled = state_ND / np.sqrt(np.square(state_ND).mean() or 1)
    probs = cross_val_predict(probe, scaled, label_M, cv=FOLDS, method="predict_proba")
    quality_N = np.full(len(answers), np.nan)
    quality_N[often_N] = get_label_quality_scores(label_M, probs, method="self_confidence")
    return quality_N
