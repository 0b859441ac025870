"""What the detector's models read of rows, trusted rows and canaries. Symbols as in detector.py."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import QuantileTransformer
from sklearn.utils import resample

from oresight.tasks.detection.mixture import Weights
from oresight.tasks.detection.peers import Peers, with_peers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FOLDS = 5
SAMPLE = 10_000
"""Most rows and trusted rows among which signals are ranked."""


def folds(n: int) -> Ints:
    """Fold of each of n rows. Their order must carry no information; that of sample_ids, which are hashes, does not."""
    return np.arange(n, dtype=np.int64) % FOLDS


@dataclass(frozen=True)
class SignalTable:
    """Signals of rows, trusted rows and canaries, one column per signal. A missing signal is NaN."""

    names: Sequence[str]
    rows_NS: Floats
    trusted_RS: Floats
    canaries_CS: Floats
    kinds_C: Sequence[str]
    twins_C: Ints
    """Positions of the canaries' twins among the trusted rows."""
    is_unlike_N: NDArray[np.bool_] | None = None
    """Rows that are unlike all trusted rows; None if there are none."""
    weights: Weights | None = None
    """How much each trusted row counts, and each row; None for all the same."""
    peers: Peers | None = None
    """The rows that ask the same; None to judge each row without them."""

    @cached_property
    def fold_R(self) -> Ints:  # noqa: N802
        """Fold of each trusted row."""
        return folds(len(self.trusted_RS))

    @cached_property
    def is_like_N(self) -> NDArray[np.bool_]:  # noqa: N802
        """Rows of which trusted rows can say something."""
        return np.ones(len(self.rows_NS), dtype=bool) if self.is_unlike_N is None else ~self.is_unlike_N

    @property
    def fold_C(self) -> Ints:  # noqa: N802
        """Fold of each canary: its twin's."""
        return self.fold_R[self.twins_C]


@dataclass(frozen=True)
class Inputs:
    """What the models read [M, F]: signals as ranks as normal quantiles, and the same less what is usual for peers.

    Signals that most trusted rows lack are left out, and a missing signal gets the median. Rows and trusted rows are
    ranked together, so that a clean row and a trusted row are treated alike.
    """

    table: SignalTable
    used: list[int]
    """Columns of the table."""
    middle_S: Floats
    quantiles: QuantileTransformer
    pool_PS: Floats
    """Signals of the rows and trusted rows that can be peers."""

    @staticmethod
    def of(table: SignalTable) -> "Inputs":
        """Rank the signals. Ranks are those among SAMPLE rows, drawn from rows and trusted rows together."""
        used = [i for i in range(len(table.names)) if np.isfinite(table.trusted_RS[:, i]).mean() > 0.5]
        middle_S = np.array([_median(np.concatenate([table.rows_NS[:, i], table.trusted_RS[:, i]])) for i in used])
        n, r = len(table.rows_NS), len(table.trusted_RS)
        drawn = np.sort(resample(np.arange(n + r), replace=False, n_samples=min(SAMPLE, n + r), random_state=0))
        sample_MS = np.concatenate([table.rows_NS[drawn[drawn < n]], table.trusted_RS[drawn[drawn >= n] - n]])
        quantiles = QuantileTransformer(n_quantiles=1000, subsample=None, output_distribution="normal")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # fewer rows than quantiles
            quantiles.fit(_filled(sample_MS[:, used], middle_S))
        inputs = Inputs(table, used, middle_S, quantiles, np.empty((0, len(used))))
        if (peers := table.peers) is None:
            return inputs
        pool_PS = np.concatenate([table.rows_NS[peers.rows], table.trusted_RS[peers.trusted]])
        return replace(inputs, pool_PS=inputs.ranked(pool_PS))

    @property
    def names(self) -> list[str]:
        """The signals that are read."""
        return [self.table.names[i] for i in self.used]

    def ranked(self, signals_MS: Floats) -> Floats:
        """Signals as normal quantiles."""
        filled_MS = _filled(signals_MS[:, self.used], self.middle_S)
        return np.clip(self.quantiles.transform(filled_MS), -4, 4) if len(filled_MS) else filled_MS

    def rows(self, part: slice) -> Floats:
        """The inputs of a part of the rows."""
        x_MS, peers = self.ranked(self.table.rows_NS[part]), self.table.peers
        return with_peers(x_MS, peers.of_rows(part), self.pool_PS) if peers else x_MS

    def trusted(self) -> Floats:
        """The inputs of the trusted rows."""
        x_RS, peers = self.ranked(self.table.trusted_RS), self.table.peers
        return with_peers(x_RS, peers.of_trusted(), self.pool_PS) if peers else x_RS

    def canaries(self) -> Floats:
        """The inputs of the canaries."""
        x_CS, peers = self.ranked(self.table.canaries_CS), self.table.peers
        return with_peers(x_CS, peers.of_canaries(), self.pool_PS) if peers else x_CS


def _median(x_N: Floats) -> float:
    """The median of the finite numbers; NaN if there are none."""
    finite = x_N[np.isfinite(x_N)]
    return float(np.median(finite)) if len(finite) else math.nan


def _filled(signals_MS: Floats, middle_S: Floats) -> Floats:
    return np.where(np.isfinite(signals_MS), signals_MS, middle_S)
