"""Signals from answers that repeat: class labels, yes and no, most answers about pictures.

A label probe is a logistic model that predicts the answer from the hidden state that predicts its first token. Probes
are cross-fitted: no row is judged by a probe that was fitted on it, and no canary by a probe that was fitted on its
twin. Rows of the dataset are among those that a probe is fitted on, as in confident learning (Northcutt, Jiang and
Chuang, 2021): few wrong labels do little harm, and many right ones help more. Rows of the dataset whose labels cleanlab
finds to be wrong are left out in a second round.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from oresight.tasks.detection.twins import NEAREST, unit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
OFTEN = 10
"""An answer that is given at least so many times is a label."""
MIN_LABEL_SHARE = 0.5
"""Smallest share of trusted rows whose answers are labels. Below it, answers do not repeat enough to learn from."""
MAX_PROBE_ROWS = 5000
"""Most rows that one probe is fitted on."""
CHUNK = 4096
"""Rows whose nearest trusted rows are looked up at once."""
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
    label_N: Ints
    """Position of the answer among the label names; meaningless where `is_label_N` is false."""
    is_label_N: Bools
    is_trusted_N: Bools
    fold_N: Ints

    def probabilities(self, learnable_N: Bools) -> Floats:
        """Probability of each label [N, L] for each row, by a probe fitted on the learnable rows of the other folds.

        Trusted rows come first where there are more rows than MAX_PROBE_ROWS.
        """
        probs_NL = np.zeros((len(self.label_N), self.label_N[self.is_label_N].max() + 1))
        for k in np.unique(self.fold_N):
            training = np.flatnonzero(learnable_N & (self.fold_N != k))
            training = training[np.argsort(~self.is_trusted_N[training], kind="stable")][:MAX_PROBE_ROWS]
            judged = np.flatnonzero(self.is_label_N & (self.fold_N == k))
            probe: Any = LogisticRegression(C=INVERSE_L2, max_iter=200)
            probe.fit(self.states_ND[training], self.label_N[training])
            probs_NL[np.ix_(judged, probe.classes_)] = probe.predict_proba(self.states_ND[judged])
        return probs_NL


def label_names(answers: NDArray[Any], trusted_answers: NDArray[Any]) -> list[str]:
    """The answers that are labels, in order; none where the answers of most trusted rows do not repeat."""
    names = sorted(answer for answer, n in Counter(answers).items() if n >= OFTEN and answer)
    return names if len(names) > 1 and np.isin(trusted_answers, names).mean() >= MIN_LABEL_SHARE else []


def label_signals(
    states_ND: NDArray[Any], answers: NDArray[Any], trusted: Bools, fold: Ints, copy_of: Ints
) -> Labels | None:
    """Label signals of rows, trusted rows and canaries in one table; None if answers do not repeat.

    Args:
        states_ND: Hidden states that predict the first answer token.
        answers: Answers as text.
        trusted: Which rows are trusted rows.
        fold: Fold of each row; for a canary, its twin's.
        copy_of: Position of a canary's twin; -1 for a row that is no canary.
    """
    is_real = copy_of < 0
    names = label_names(answers[is_real], answers[trusted])
    if not names:
        return None
    from cleanlab.filter import find_label_issues  # only here, because this imports `datasets`
    from cleanlab.rank import get_label_quality_scores

    is_label = np.isin(answers, names)
    label = np.searchsorted(names, answers.astype(str))
    states_ND = states_ND / np.sqrt(np.square(states_ND[is_real]).mean() or 1)
    table = _Answers(states_ND=states_ND, label_N=label, is_label_N=is_label, is_trusted_N=trusted, fold_N=fold)
    learnable = is_real & is_label
    probs = table.probabilities(learnable)
    positions = np.flatnonzero(learnable)
    wrong = positions[find_label_issues(label[positions], probs[positions], n_jobs=1)]
    learnable[wrong[~trusted[wrong]]] = False
    probs = table.probabilities(learnable)
    probe, agreement = (np.full(len(answers), np.nan) for _ in range(2))
    probe[is_label] = get_label_quality_scores(label[is_label], probs[is_label], method="self_confidence")
    source = np.where(is_real, np.arange(len(answers)), copy_of)
    for chunk in np.array_split(np.flatnonzero(is_label), len(answers) // CHUNK + 1):
        agreement[chunk] = _agreement(states_ND, answers, trusted, source, chunk)
    return Labels(probe, agreement)


def _agreement(states_ND: NDArray[Any], answers: NDArray[Any], trusted: Bools, source: Ints, chunk: Ints) -> Floats:
    """Agreement of the rows in `chunk` with the nearest trusted rows, without the row itself or its twin (`source`)."""
    trusted_R = np.flatnonzero(trusted)
    cosine_MR = unit(states_ND[chunk]) @ unit(states_ND[trusted_R]).T
    cosine_MR[source[chunk][:, None] == trusted_R] = -np.inf
    k = min(NEAREST, len(trusted_R) - 1)
    nearest = np.argpartition(-cosine_MR, k - 1, axis=1)[:, :k]
    weight = np.clip(np.take_along_axis(cosine_MR, nearest, 1), 1e-9, None)
    is_same = answers[trusted_R][nearest] == answers[chunk][:, None]
    agreement: Floats = (weight * is_same).sum(1) / weight.sum(1)
    return agreement
