"""The signals of a row that need only forward passes, nearly all from one visit of its answer to the vocabulary."""

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
"""Answer tokens that visit the vocabulary at the same time; a longer row goes alone."""
SHORT = 16
"""Longest answer, in tokens, for which the model's own tokens are recorded: a label, a word, a short sentence."""
NEAREST = 20
"""How many reference rows a local value averages over."""


@dataclass(slots=True)
class Signals:
    """The signals of a row. The README says which of them to use for what."""

    row: int
    """Position in the sequence of rows that was scored."""
    value: float
    """NaN without a reference, like value_cosine."""
    self_value: float
    value_cosine: float
    token_values: list[float]
    """Empty without a reference."""
    token_logprobs: list[float]
    vector: Tensor
    """The row's vector in the index [m]."""
    state: Tensor
    """The state that predicts the first answer token, in the basis [S]."""
    text_state: Tensor
    """The position-weighted mean state of the whole text, in the basis [S]."""
    likeliest: list[int] | None = None
    """For a short answer: the model's likeliest token at each position, given the row's tokens before it."""
    local_value: float | None = None
    conditional_gain: float | None = None
    """Mean log-probability of the answer tokens with the prompt, less that without it."""
    image_gain: float | None = None
    """Mean log-probability with the row's pictures, less that with grey ones; None for a row without pictures."""

    @property
    def value_per_token(self) -> float:
        return self.value / len(self.token_logprobs)

    @property
    def nll(self) -> float:
        """Mean over the answer tokens, in nats."""
        return -math.fsum(self.token_logprobs) / len(self.token_logprobs)

    @property
    def worst_token(self) -> float:
        return min(self.token_logprobs)


@dataclass(frozen=True)
class Gauge:
    """Measures answer states with the reference and the index, whose directions are joined into one product."""

    head: Head
    reference: Reference
    basis: Basis
    along: Directions

    @staticmethod
    def of(head: Head, reference: Reference, basis: Basis) -> "Gauge":
        """A gauge with the directions of both, on the tokens of either. One product over the vocabulary serves both."""
        ours, theirs = reference.along, basis.along
        tokens_A = torch.cat([ours.tokens_A, theirs.tokens_A]).unique()
        u_AR = torch.cat([ours.of(tokens_A), theirs.of(tokens_A).to(ours.u_AR.dtype)], dim=1)
        return Gauge(head, reference, basis, Directions(tokens_A, u_AR))

    def measure(self, part: Answers) -> list[Signals]:
        """The signals of a batch's rows, without local_value and the gains."""
        return [signals for tile in part.tiles(TILE) for signals in self._tile(tile)]

    def _tile(self, tile: Answers) -> list[Signals]:
        visited = errors(tile.h_TD, tile.y_T, self.head, self.along, lengths=tile.lengths)
        assert visited.along_TR is not None and visited.self_values is not None
        rank = self.reference.along.u_AR.shape[1]
        value_T = (visited.along_TR[:, :rank] * self.reference.states(tile.h_TD)).sum(1)
        vector_NM = self.basis.vectors(visited.along_TR[:, rank:], tile.h_TD, tile.lengths).cpu()
        state_NS = self.basis.states(tile.first()).cpu()
        text_NS = self.basis.texts(tile.text_ND).cpu()
        values, logs = value_T.tolist(), visited.logprob_T.tolist()
        is_short_T = torch.tensor([n <= SHORT for n in tile.lengths for _ in range(n)], device=tile.h_TD.device)
        predictions = iter(likeliest(tile.h_TD[is_short_T], self.head).tolist())
        result, begin = [], 0
        for i, (row, length, square) in enumerate(zip(tile.rows, tile.lengths, visited.self_values, strict=True)):
            token_values, logprobs = values[begin : begin + length], logs[begin : begin + length]
            begin += length
            value = math.fsum(token_values)
            size = math.sqrt(max(square, 0.0)) * self.reference.norm
            cosine = value / size if size else 0.0
            if self.reference.rows == 0:
                token_values, value, cosine = [], math.nan, math.nan
            signals = Signals(
                row=row,
                value=value,
                self_value=square,
                value_cosine=cosine,
                token_values=token_values,
                token_logprobs=logprobs,
                vector=vector_NM[i],
                state=state_NS[i],
                text_state=text_NS[i],
                likeliest=[next(predictions) for _ in range(length)] if length <= SHORT else None,
            )
            result.append(signals)
        return result


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
    """The reference rows, among which other rows look for their nearest neighbours."""

    vector_RM: Tensor
    state_RS: Tensor
    """Normalised to length one."""

    @staticmethod
    def of(reference: Sequence[Signals]) -> "Neighbours":
        """The neighbours from the reference rows' signals."""
        return Neighbours(*_vectors_and_states(reference))

    def local_values(self, rows: Sequence[Signals], *, themselves: bool = False) -> list[float]:
        """The mean index product with the NEAREST reference rows, by the cosine of the first answer states.

        themselves: the rows are the reference rows, and no row is its own neighbour. NaN where a row has no neighbour.
        """
        k = min(NEAREST, len(self.state_RS) - themselves)
        if k <= 0:
            return [math.nan] * len(rows)
        vector_NM, state_NS = _vectors_and_states(rows)
        near_NR = state_NS @ self.state_RS.T
        if themselves:
            near_NR.fill_diagonal_(-torch.inf)
        products_NR = vector_NM @ self.vector_RM.T
        means: list[float] = products_NR.gather(1, near_NR.topk(k, dim=1).indices).mean(1).tolist()
        return means


def _vectors_and_states(rows: Sequence[Signals]) -> tuple[Tensor, Tensor]:
    """The index vectors [N, m] and the normalised states [N, S]."""
    if not rows:
        return torch.empty(0, 0), torch.empty(0, 0)
    states = torch.stack([signals.state for signals in rows])
    return torch.stack([signals.vector for signals in rows]), torch.nn.functional.normalize(states, dim=1)


def leave_one_out(signals: Signals, reference: Reference) -> tuple[float, float] | tuple[None, None]:
    """Value and cosine of a reference row against the other reference rows; None where there are no others.

    `signals` must come from the reference's exact form. With S = n Gbar, the sum over all n rows, the value is
    <G, S - G> / (n - 1), and |S - G|^2 = |S|^2 - 2 <G, S> + |G|^2.
    """
    n = reference.rows
    if n < 2:
        return None, None
    against_sum = n * signals.value
    value = (against_sum - signals.self_value) / (n - 1)
    others = math.sqrt(max((n * reference.norm) ** 2 - 2 * against_sum + signals.self_value, 0.0)) / (n - 1)
    size = math.sqrt(max(signals.self_value, 0.0)) * others
    return value, value / size if size else 0.0
