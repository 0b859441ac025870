"""The forward-only signals of a row, all from one visit of its answer tokens to the vocabulary."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from oresight.tasks.scoring.formula import Directions, Head, errors, likeliest
from oresight.tasks.scoring.forward import Answers, visit
from oresight.tasks.scoring.index import Basis
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.reference import Reference

TILE = 256
"""Answer tokens that visit the vocabulary together, where rows are shorter than that."""
SHORT = 16
"""Answer tokens up to which a row is told what the model would have said: a label, a word, a short sentence."""
NEAREST = 20
"""Reference rows that a local value is the mean over."""


@dataclass(slots=True)
class Signals:
    """What a forward pass says about a row; the README says which to trust for what."""

    row: int
    """Position in the sequence that was asked for."""
    value: float
    self_value: float
    value_cosine: float
    token_values: list[float]
    token_logprobs: list[float]
    vector: Tensor
    """Its place in the index [m]."""
    state: Tensor
    """The state that predicts the first answer token, in the basis [S]."""
    likeliest: list[int] | None = None
    """What the model would have said at each place of a short answer, given what stands before it."""
    local_value: float | None = None
    conditional_gain: float | None = None
    image_gain: float | None = None
    """The same against grey pictures in place of the row's; None for a row without."""

    @property
    def value_per_token(self) -> float:
        return self.value / len(self.token_values)

    @property
    def nll(self) -> float:
        """Mean over the answer tokens, in nats."""
        return -math.fsum(self.token_logprobs) / len(self.token_logprobs)

    @property
    def worst_token(self) -> float:
        return min(self.token_logprobs)


@dataclass(frozen=True)
class Gauge:
    """What answer states are measured with: the reference, the index, and the directions of both side by side."""

    head: Head
    reference: Reference
    basis: Basis
    along: Directions

    @staticmethod
    def of(head: Head, reference: Reference, basis: Basis) -> "Gauge":
        """The directions of both in one, on the tokens that either has: one product over the vocabulary serves both."""
        one, two = reference.along, basis.along
        tokens_A = torch.cat([one.tokens_A, two.tokens_A]).unique()
        u_AR = torch.cat([one.of(tokens_A), two.of(tokens_A).to(one.u_AR.dtype)], dim=1)
        return Gauge(head, reference, basis, Directions(tokens_A, u_AR))

    def measure(self, part: Answers) -> list[Signals]:
        """The signals of a batch's rows, but for local_value and conditional_gain."""
        return [found for tile in part.tiles(TILE) for found in self._tile(tile)]

    def _tile(self, tile: Answers) -> list[Signals]:
        found = errors(tile.h_TD, tile.y_T, self.head, self.along, lengths=tile.lengths)
        assert found.along_TR is not None and found.self_values is not None
        rank = self.reference.along.u_AR.shape[1]
        value_T = (found.along_TR[:, :rank] * self.reference.states(tile.h_TD)).sum(1)
        vector_NM = self.basis.vectors(found.along_TR[:, rank:], tile.h_TD, tile.lengths).cpu()
        state_NS = self.basis.states(tile.first()).cpu()
        values, logs = value_T.tolist(), found.logprob_T.tolist()
        is_short_T = torch.tensor([n <= SHORT for n in tile.lengths for _ in range(n)], device=tile.h_TD.device)
        said = iter(likeliest(tile.h_TD[is_short_T], self.head).tolist())
        made, begin = [], 0
        for i, (row, length, square) in enumerate(zip(tile.rows, tile.lengths, found.self_values, strict=True)):
            tokens, logprobs = values[begin : begin + length], logs[begin : begin + length]
            begin += length
            value = math.fsum(tokens)
            size = math.sqrt(max(square, 0.0)) * self.reference.norm
            cosine = value / size if size else 0.0
            said_here = [next(said) for _ in range(length)] if length <= SHORT else None
            made.append(Signals(row, value, square, cosine, tokens, logprobs, vector_NM[i], state_NS[i], said_here))
        return made


def mean_logprobs(model: Loaded, rows: Sequence[Encoded], batch_tokens: int) -> list[float]:
    """Mean log-probability of each row's answer tokens."""
    means = [0.0] * len(rows)

    def measure(part: Answers) -> list[tuple[int, float]]:
        logs = [errors(tile.h_TD, tile.y_T, model.head).logprob_T for tile in part.tiles(TILE)]
        parts = torch.cat(logs).double().split(part.lengths)
        return [(row, float(log.mean())) for row, log in zip(part.rows, parts, strict=True)]

    for batch in visit(model, rows, batch_tokens, measure):
        for row, mean in batch:
            means[row] = mean
    return means


@dataclass(frozen=True)
class Neighbours:
    """The reference rows, as other rows' neighbours."""

    vector_RM: Tensor
    state_RS: Tensor
    """Of length one."""

    @staticmethod
    def of(reference: Sequence[Signals]) -> "Neighbours":
        """Those that were measured."""
        return Neighbours(*_places(reference))

    def local_values(self, rows: Sequence[Signals], *, themselves: bool = False) -> list[float]:
        """The mean index product with the reference rows whose first answer state is nearest, by cosine.

        themselves: rows are the reference, and none is its own neighbour; alone, a row's local value is not a number.
        """
        vector_NM, state_NS = _places(rows)
        near_NR = state_NS @ self.state_RS.T
        if themselves:
            near_NR.fill_diagonal_(-torch.inf)
        k = min(NEAREST, len(self.state_RS) - themselves)
        if k == 0:
            return [math.nan] * len(rows)
        products_NR = vector_NM @ self.vector_RM.T
        means: list[float] = products_NR.gather(1, near_NR.topk(k, dim=1).indices).mean(1).tolist()
        return means


def _places(rows: Sequence[Signals]) -> tuple[Tensor, Tensor]:
    states = torch.stack([found.state for found in rows])
    return torch.stack([found.vector for found in rows]), torch.nn.functional.normalize(states, dim=1)


def leave_one_out(found: Signals, reference: Reference) -> tuple[float, float] | tuple[None, None]:
    """Value and cosine of a reference row against the other reference rows; None where there are no others.

    `found` comes from the reference's exact form. With S = n Gbar the sum over all n rows: <G, S - G> / (n - 1), and
    |S - G|^2 = |S|^2 - 2 <G, S> + |G|^2.
    """
    n = reference.rows
    if n < 2:
        return None, None
    against_sum = n * found.value
    value = (against_sum - found.self_value) / (n - 1)
    others = math.sqrt(max((n * reference.norm) ** 2 - 2 * against_sum + found.self_value, 0.0)) / (n - 1)
    size = math.sqrt(max(found.self_value, 0.0)) * others
    return value, value / size if size else 0.0
