"""What other rows teach about answers that repeat: labels, yes and no, most answers about pictures.

A label probe is a logistic model of the answer on the hidden state that predicts its first token. It is cross-fitted:
no row is judged by a probe that has seen it, and no canary by one that has seen its twin. Rows of the dataset are among
those that it is fitted on, as confident learning has it (Northcutt, Jiang and Chuang, 2021): few wrong labels do little
harm, and many right ones help more; those that it finds to be wrong (cleanlab) are left out of a second round.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from oresight.tasks.detection.twins import NEAREST, unit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
OFTEN = 10
"""Times that an answer must be given to be a label."""
COVERED = 0.5
"""Share of the trusted rows whose answers must be labels; below, the question makes no sense."""
LEARNT = 5000
"""Rows that one probe is fitted on, at most."""
CHUNK = 4096
STRENGTH = 0.01
"""Inverse of the probe's L2 regularisation, on states whose numbers have a mean square of one."""


@dataclass(frozen=True)
class Labels:
    """Signals, high where the answer looks right; not a number where it is no label."""

    probe: Floats
    """Probability of the given answer under a probe that has not seen the row."""
    agreement: Floats
    """Share of the nearest trusted rows, weighted by their cosine, that give this answer."""


def label_names(answers: NDArray[Any], trusted: NDArray[Any]) -> list[str]:
    """The answers that are labels, in order; none where most trusted rows have an answer of their own."""
    names = sorted(answer for answer, n in Counter(answers).items() if n >= OFTEN and answer)
    return names if len(names) > 1 and np.isin(trusted, names).mean() >= COVERED else []


def label_signals(
    states_ND: NDArray[Any], answers: NDArray[Any], trusted: NDArray[np.bool_], fold: Ints, copy_of: Ints
) -> Labels | None:
    """Of rows, trusted rows and canaries in one table; None if answers do not repeat.

    fold: of every row, and for a canary its twin's. copy_of: the place of a canary's twin, -1 for rows.
    """
    real = copy_of < 0
    names = label_names(answers[real], answers[trusted])
    if not names:
        return None
    is_label = np.isin(answers, names)
    label = np.searchsorted(names, answers.astype(str))
    learn = real & is_label
    states_ND = states_ND / np.sqrt(np.square(states_ND[real]).mean() or 1)
    probs = _cross_fitted(states_ND, label, learn, is_label, trusted, fold)
    mine = np.flatnonzero(learn)
    wrong = mine[find_label_issues(label[mine], probs[mine], n_jobs=1)]
    learn[wrong[~trusted[wrong]]] = False
    probs = _cross_fitted(states_ND, label, learn, is_label, trusted, fold)
    probe, agreement = (np.full(len(answers), np.nan) for _ in range(2))
    probe[is_label] = get_label_quality_scores(label[is_label], probs[is_label], method="self_confidence")
    own = np.where(real, np.arange(len(answers)), copy_of)
    for some in np.array_split(np.flatnonzero(is_label), len(answers) // CHUNK + 1):
        agreement[some] = _agreement(states_ND, answers, trusted, own, some)
    return Labels(probe, agreement)


def _agreement(
    states_ND: NDArray[Any], answers: NDArray[Any], trusted: NDArray[np.bool_], own: Ints, some: Ints
) -> Floats:
    """Of some rows, with the trusted rows other than their `own`."""
    place = np.flatnonzero(trusted)
    near_MR = unit(states_ND[some]) @ unit(states_ND[place]).T
    near_MR[own[some][:, None] == place] = -np.inf
    k = min(NEAREST, len(place) - 1)
    nearest = np.argpartition(-near_MR, k - 1, axis=1)[:, :k]
    weight = np.clip(np.take_along_axis(near_MR, nearest, 1), 1e-9, None)
    found: Floats = (weight * (answers[place][nearest] == answers[some][:, None])).sum(1) / weight.sum(1)
    return found


def _cross_fitted(
    states_ND: NDArray[Any],
    label: Ints,
    learn: NDArray[np.bool_],
    judge: NDArray[np.bool_],
    trusted: NDArray[np.bool_],
    fold: Ints,
) -> Floats:
    """Probabilities of the labels, each row's by a probe fitted on the other folds: trusted rows, then others."""
    probs = np.zeros((len(label), label[judge].max() + 1))
    for k in np.unique(fold):
        known = np.flatnonzero(learn & (fold != k))
        known = known[np.argsort(~trusted[known], kind="stable")][:LEARNT]
        judged = np.flatnonzero(judge & (fold == k))
        probe: Any = LogisticRegression(C=STRENGTH, max_iter=200)
        probe.fit(states_ND[known], label[known])
        probs[np.ix_(judged, probe.classes_)] = probe.predict_proba(states_ND[judged])
    return probs
