"""Trials: plant known defects in a share of the dataset's rows, and measure how well each signal finds them.

A trial writes its rows to files for a separate database. The user's rows are only read, and no planted row reaches the
user's database or a split. The defect planted in a row depends only on the row and the kind of defect, so that seeds,
which draw different rows, share most of the scores.

Signals are compared with nll, with the cosine of the answer's mean final state to that of the trusted rows, with random
numbers and, where answers are labels, with cleanlab's label quality from a probe on these rows.
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

from oresight.tasks.config import Curate, Dataset
from oresight.tasks.database import execute, reading
from oresight.tasks.detection.defects import KINDS, Row, planted
from oresight.tasks.detection.labels import OFTEN
from oresight.tasks.detection.signals import MEASURED, SIGNALS
from oresight.tasks.evaluation.ledger import Result
from oresight.tasks.evaluation.measure import ranking_metrics
from oresight.tasks.evaluation.pairs import embed_rows
from oresight.tasks.evaluation.samples import dataset_rows
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import json_pointer
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.source import Source
from oresight.tasks.workload.encode import encode_rows, read_rows

Content = tuple[str, str, tuple[str, ...]]
"""Prompt, answer and hashes of pictures."""
Planted = tuple[str, Row]
"""A kind of defect and a row's copy that has it."""
RIVALS = ("nll", "embedding cosine", "random")
"""Methods that the signals are compared with."""
PLANTABLE = [kind for kind in KINDS if kind != "blanked_image"]
"""Kinds of defect that a file of rows can hold. A blanked image is not a file that a row could name."""
ALL = "all kinds"
"""The setting in which all kinds of defect are judged at once."""
FOLDS = 5
"""Folds of cross-validation for cleanlab."""
FEWEST_ROWS = 20
"""The fewest rows that a trial can draw from."""
DRAWN = 2 / 3
"""Share of the pool of all seeds that one seed draws."""


@dataclass
class EmbeddingCache:
    """Embeddings of rows by sample_id. Each row is embedded once."""

    source: Source
    config: Curate
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @cached_property
    def model(self) -> Loaded:
        """The configured model, loaded when the first row is embedded."""
        return load(self.source, self.config.model.device, self.config.model.dtype)

    def rows(self, database: str, sample_ids: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings [N, D] of rows of a database, of length 1. A row that the model cannot read gets zeros."""
        missing = [sample_id for sample_id in sample_ids if sample_id not in self.vectors]
        if missing:
            rows = read_rows(database, pa.table({"sample_id": pa.array(missing, pa.string())}))
            encoded, refusals = encode_rows(rows, self.model, self.config.scoring.max_tokens)
            vectors = embed_rows(self.model, [row for _, row in encoded]).numpy()
            self.vectors |= {sample_id: vector for (sample_id, _), vector in zip(encoded, vectors, strict=True)}
            self.vectors |= {sample_id: np.zeros_like(vectors[0]) for sample_id, _ in refusals}
        return np.stack([self.vectors[sample_id] for sample_id in sample_ids])


def evaluation_folder(config: Curate) -> Path:
    """The folder beside the database that holds the files of evaluations."""
    return Path(f"{config.database}.evaluation")


def draw_trial(config: Curate, seed: int) -> Curate:
    """Draw the rows of a seed, plant defects in a share of them, and write all of them to a file.

    Returns the configuration of the trial, with its own database.

    Raises ValueError if the dataset has too few rows, or no defect can be planted in any.
    """
    settings, dataset = config.evaluating, config.dataset.name
    rows = dataset_rows(config.database, dataset)
    by_id = {row["sample_id"]: row for row in rows}
    plain = [
        Row(row["sample_id"], row["prompt"], row["answer"], tuple(image["sha256"] for image in row["images"] or []))
        for row in rows
    ]
    pool = plain[: round(settings.rows / DRAWN)]  # the first by their hashes, so that seeds have rows in common
    if len(pool) < FEWEST_ROWS:
        raise ValueError(f"{dataset!r} has {len(pool)} rows; a trial needs at least {FEWEST_ROWS}")
    draw = random.Random(f"trial {seed}")
    chosen = draw.sample(pool, round(DRAWN * len(pool)))
    contents = {(row.prompt, row.answer.strip(), row.images) for row in plain}
    copies = _defective_copies(pool, {row.sample_id for row in chosen}, contents)
    if not copies:
        raise ValueError(f"{dataset!r} has no row in which a defect can be planted")
    queues = [draw.sample(of_kind, len(of_kind)) for _, of_kind in sorted(copies.items())]
    bad = _take_in_turn(queues, round(settings.share * len(chosen)))
    pictures = {tuple(image["sha256"] for image in row["images"] or []): row["images"] for row in rows}
    lines = [_line(by_id[row.sample_id], pictures, bad.get(row.sample_id)) for row in chosen]
    file = evaluation_folder(config) / f"{dataset}-{settings.share:g}-{settings.rows}" / f"{seed}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    folders = {Path(image["path"]).parent.absolute() for row in rows for image in row["images"] or []}
    root = os.path.commonpath(folders) if folders else None
    return _trial_config(config, Dataset(name=_dataset_name(f"{file.parent.name}-{seed}"), path=str(file), root=root))


def _defective_copies(pool: list[Row], chosen: set[str], contents: set[Content]) -> dict[str, list[Planted]]:
    """Defective copies of the chosen rows by kind, except copies whose content equals that of another row."""
    copies: dict[str, list[Planted]] = {}
    for kind, copy in planted(pool, len(pool), PLANTABLE):
        if copy.sample_id in chosen and (copy.prompt, copy.answer.strip(), copy.images) not in contents:
            copies.setdefault(kind, []).append((kind, copy))
    return copies


def combined_trials(config: Curate, trials: Sequence[Curate]) -> Curate:
    """The configuration of one dataset with the rows of all these trials, so that one run scores them all.

    Removes files of earlier trials from the folder.
    """
    files = {Path(trial.dataset.path) for trial in trials}
    (folder,) = {file.parent for file in files}
    for old_file in set(folder.iterdir()) - files:
        old_file.unlink()
    dataset = trials[0].dataset.model_copy(update={"name": _dataset_name(folder.name), "path": str(folder)})
    return _trial_config(config, dataset)


def _dataset_name(name: str) -> str:
    """The end of a name, such as a dataset may have."""
    return name[-100:].lstrip("-._")


def _trial_config(config: Curate, dataset: Dataset) -> Curate:
    """The configuration for another dataset in the database of the trials. Trials are small: they need no cluster."""
    database = str(evaluation_folder(config) / "trials.duckdb")
    return config.model_copy(update={"database": database, "dataset": dataset, "cluster": None})


def _take_in_turn(queues: list[list[Planted]], count: int) -> dict[str, Planted]:
    """Take `count` copies, one kind after the other in turn, at most one of a row. Returns them by sample_id."""
    bad: dict[str, Planted] = {}
    while any(queues):
        for queue in queues:
            while queue and queue[-1][1].sample_id in bad:
                queue.pop()
            if queue and len(bad) < count:
                kind, copy = queue.pop()
                bad[copy.sample_id] = kind, copy
        if len(bad) == count:
            break
    return bad


def _line(row: dict[str, Any], pictures: dict[Any, Any], defect: Planted | None) -> dict[str, Any]:
    """A row in the layout `messages`, with the kind of its defect."""
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
        line["images"] = [str(Path(image["path"]).absolute()) for image in images]
    return line


def judge_trial(run: Run, embeddings: EmbeddingCache, seed: int) -> Iterator[Result]:
    """Measure how well each method marks the planted rows: all kinds at once, and each kind against the clean rows."""
    config = run.config
    with reading(config.database) as connection:
        names = run.scope(connection).parameters
        pointer = {"pointer": json_pointer("defect")}
        signals = execute(connection, "evaluate_rows", names | pointer).to_arrow_table()
        rows = execute(connection, "planted_rows", names).to_arrow_table()
        trusted = execute(connection, "score_reference_ids", names).to_arrow_table()
    defect_N, ids = np.array(signals["truth"].to_pylist()), rows["sample_id"].to_pylist()
    sign = {"high": 1, "low": -1}
    suspicion = {n: signals[n].to_numpy().astype(float) * sign[SIGNALS[n].suspicious] for n in MEASURED}
    mean_D = embeddings.rows(config.database, trusted["sample_id"].to_pylist()).mean(0)
    suspicion["embedding cosine"] = -(embeddings.rows(config.database, ids) @ mean_D).astype(float)
    suspicion["random"] = np.random.default_rng(seed).random(len(ids))
    label_quality = _cleanlab(rows)
    if label_quality is not None:
        suspicion["cleanlab"] = -label_quality
    share = f"{config.evaluating.share:.0%} bad"
    for kind in [ALL, *sorted(set(defect_N) - {"none"})]:
        part_N = np.ones(len(ids), bool) if kind == ALL else np.isin(defect_N, [kind, "none"])
        for name, all_N in suspicion.items():
            for metric, value in ranking_metrics(all_N[part_N], defect_N[part_N] != "none").items():
                yield Result(f"{share}, {kind}", name, seed, metric, value)
    flagged_N = signals["q_value"].to_numpy().astype(float) <= config.flagging.false_discovery_rate
    bad_N = defect_N != "none"
    false = (flagged_N & ~bad_N).sum() / max(flagged_N.sum(), 1)
    yield Result(f"{share}, {ALL}", "flags", seed, "false-discovery proportion", float(false))
    yield Result(f"{share}, {ALL}", "flags", seed, "share of the wrong flagged", float(flagged_N[bad_N].mean()))


def _cleanlab(rows: pa.Table) -> NDArray[np.float64] | None:
    """cleanlab's label quality (self-confidence) of each answer, from a probe on the first answer state.

    The probe is cross-validated on these rows. NaN for answers that are too rare. None if most answers do not repeat.
    """
    answers = np.array([answer.strip() for answer in rows["answer"].to_pylist()])
    _, label_N, counts = np.unique(answers, return_inverse=True, return_counts=True)
    often_N = counts[label_N] >= OFTEN
    if often_N.mean() < 0.5 or (counts >= OFTEN).sum() < 2:
        return None
    label_M = np.unique(label_N[often_N], return_inverse=True)[1]
    state_ND = np.stack(rows["state"].to_pylist())[often_N]
    probe = LogisticRegression(C=0.01, max_iter=200)
    scaled = state_ND / np.sqrt(np.square(state_ND).mean() or 1)
    probs = cross_val_predict(probe, scaled, label_M, cv=FOLDS, method="predict_proba")
    quality_N = np.full(len(answers), np.nan)
    quality_N[often_N] = get_label_quality_scores(label_M, probs, method="self_confidence")
    return quality_N
