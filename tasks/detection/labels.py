"""Signals from answers that repeat: class labels, yes and no, most answers about pictures.

A label probe is a logistic model that predicts the answer from the hidden state that predicts its first token. Probes
are cross-fitted: no row is judged by a probe that was fitted on it, and no canary by a probe that was fitted on its
twin. Rows of the dataset are among those that a probe is fitted on, as in confident learning (Northcutt, Jiang and
Chuang, 2021): few wrong labels do little harm, and many right ones help more. Rows of the dataset whose labels cleanlab
finds to be wrong are left out in a second round.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from oresight.tasks.detection.chunks import chunks
from oresight.tasks.detection.twins import NEAREST, unit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
OFTEN = 10
"""An answer that is given at least so many times in the pool is a label."""
MIN_LABEL_SHARE = 0.5
"""Smallest share of trusted rows whose answers are labels. Below it, answers do not repeat enough to learn from."""
POOL = 20_000
"""Most trusted rows and rows that labels are learnt from. Probabilities of all labels are computed for these only."""
MAX_PROBE_ROWS = 5000
"""Most rows that one probe is fitted on."""
INVERSE_L2 = 0.01
"""Inverse of the probe's L2 regularisation, on states that are scaled to a mean square of one."""


@dataclass(frozen=True)
class Labels:
    """Label signals of all rows, high where the answer looks right; NaN where the answer is no label."""

    probe: Floats
    """Probability of the given answer under a probe that was not fitted on the row."""
    agreement: Floats
    """Share of the nearest trusted rows, weighted by their cosine, that have the same answer."""


@dataclass(frozen=True)
class _Answers:
    """States and labels of rows, trusted rows and canaries in one table."""

    states_ND: NDArray[Any]
    scale: float
    """States are divided by it."""
    label_N: Ints
    """Position of the answer among the label names; -1 where it is no label."""
    fold_N: Ints
    pool_P: Ints
    """Positions of the rows and trusted rows that labels are learnt from, trusted rows first."""

    def states(self, positions: Ints) -> NDArray[Any]:
        """The states of these rows, scaled."""
        scaled: NDArray[Any] = self.states_ND[positions] / self.scale
        return scaled

    def probes(self, learnable_P: Bools) -> dict[int, Any]:
        """For each fold a probe that is fitted on learnable rows of the pool that are in other folds."""
        probes = {}
        for k in np.unique(self.fold_N):
            training = self.pool_P[learnable_P & (self.fold_N[self.pool_P] != k)][:MAX_PROBE_ROWS]
            probe: Any = LogisticRegression(C=INVERSE_L2, max_iter=200)
            probes[int(k)] = probe.fit(self.states(training), self.label_N[training])
        return probes

    def probabilities(self, probes: dict[int, Any], positions: Ints, labels: int) -> Floats:
        """Probability of each label for rows [M, L], by the probes that were not fitted on them."""
        probs_ML = np.zeros((len(positions), labels))
        for k, probe in probes.items():
            judged = np.flatnonzero(self.fold_N[positions] == k)
            if len(judged):
                probs_ML[np.ix_(judged, probe.classes_)] = probe.predict_proba(self.states(positions[judged]))
        return probs_ML


def _label_names(answers: pa.ChunkedArray, trusted_answers: pa.ChunkedArray) -> list[Any]:
    """The answers that are labels, in order; none where the answers of most trusted rows do not repeat."""
    counts = pc.value_counts(answers)
    names = counts.field("values").filter(pc.greater_equal(counts.field("counts"), OFTEN))
    names = sorted(name for name in names.to_pylist() if name)
    share = pc.mean(pc.is_in(trusted_answers, pa.array(names, answers.type))).as_py() or 0
    return names if len(names) > 1 and share >= MIN_LABEL_SHARE else []


def label_signals(
    read_states: Callable[[], NDArray[Any]], answers: pa.ChunkedArray, trusted: Bools, fold: Ints, copy_of: Ints
) -> Labels | None:
    """Label signals of rows, trusted rows and canaries in one table; None if answers do not repeat.

    Args:
        read_states: Returns the hidden states that predict the first answer token [N, D]; called where answers repeat.
        answers: Answers as texts or hashes; null or empty for none.
        trusted: Which rows are trusted rows.
        fold: Fold of each row; for a canary, its twin's.
        copy_of: Position of a canary's twin; -1 for a row that is no canary.
    """
    is_real = copy_of < 0
    trusted_R, rows = np.flatnonzero(trusted), np.flatnonzero(is_real & ~trusted)
    pool_P = np.concatenate([trusted_R, rows])[:POOL]
    names = _label_names(answers.take(pa.array(pool_P)), answers.take(pa.array(trusted_R)))
    if not names:
        return None
    from cleanlab.filter import find_label_issues  # only here, because this imports `datasets`

    states_ND = read_states()
    label_N = pc.index_in(answers, pa.array(names, answers.type)).fill_null(-1).to_numpy().astype(np.int64)
    scale = float(np.sqrt(np.square(states_ND[pool_P]).mean(dtype=np.float64))) or 1.0
    table = _Answers(states_ND, scale, label_N, fold, pool_P)
    learnable_P = label_N[pool_P] >= 0
    positions = pool_P[learnable_P]
    probs = table.probabilities(table.probes(learnable_P), positions, len(names))
    wrong = np.flatnonzero(learnable_P)[find_label_issues(label_N[positions], probs, n_jobs=1)]
    learnable_P[wrong[~trusted[pool_P[wrong]]]] = False
    probes = table.probes(learnable_P)
    probe, agreement = (np.full(len(label_N), np.nan) for _ in range(2))
    trusted_unit_RD = unit(table.states(trusted_R))
    source = np.where(is_real, np.arange(len(label_N)), copy_of)
    labelled = np.flatnonzero(label_N >= 0)
    for part in chunks(len(labelled)):
        chunk = labelled[part]
        probs = table.probabilities(probes, chunk, len(names))
        probe[chunk] = probs[np.arange(len(chunk)), label_N[chunk]]
        cosine_MR = unit(table.states(chunk)) @ trusted_unit_RD.T
        cosine_MR[source[chunk][:, None] == trusted_R] = -np.inf
        agreement[chunk] = _agreement(cosine_MR, label_N[trusted_R], label_N[chunk])
    return Labels(probe, agreement)


def _agreement(cosine_MR: NDArray[Any], label_R: Ints, label_M: Ints) -> Floats:
    """Share of the nearest trusted rows, weighted by their cosine, that have the same answer [M]."""
    k = min(NEAREST, len(label_R) - 1)
    nearest = np.argpartition(-cosine_MR, k - 1, axis=1)[:, :k]
    weight = np.clip(np.take_along_axis(cosine_MR, nearest, 1), 1e-9, None)
    is_same = label_R[nearest] == label_M[:, None]
    agreement: Floats = (weight * is_same).sum(1) / weight.sum(1)
    return agreement
