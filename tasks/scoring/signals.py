"""The forward-only signals of a row, all from one visit of its answer tokens to the vocabulary."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tasks.scoring.formula import Head, errors, self_values, values
from tasks.scoring.forward import Answers, answers
from tasks.scoring.model import Loaded
from tasks.scoring.prompt import Encoded
from tasks.scoring.reference import Reference

TILE = 256
"""Answer tokens that visit the vocabulary together, where rows are shorter than that."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What a forward pass says about a row; the README says which to trust for what."""

    row: int
    """Position in the sequence that was asked for."""
    value: float
    self_value: float
    value_cosine: float
    token_values: list[float]
    token_logprobs: list[float]

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


def signals(
    model: Loaded, rows: Sequence[Encoded], reference: Reference, *, batch_tokens: int, vocab_chunk: int
) -> Iterator[list[Signals]]:
    """The signals of the rows, a batch at a time, longest rows first."""
    for batch in answers(model, rows, batch_tokens):
        yield [found for tile in _tiles(batch) for found in _measured(tile, model.head, reference, vocab_chunk)]


def logprobs(model: Loaded, rows: Sequence[Encoded], *, batch_tokens: int, vocab_chunk: int) -> list[float]:
    """Mean log-probability of each row's answer tokens."""
    means = [0.0] * len(rows)
    for batch in answers(model, rows, batch_tokens):
        for tile in _tiles(batch):
            found = errors(tile.h_TD, tile.y_T, model.head, dots=False, vocab_chunk=vocab_chunk)
            for row, part in zip(tile.rows, found.logprob_T.split(tile.lengths), strict=True):
                means[row] = float(part.double().mean())
    return means


def _tiles(batch: Answers) -> Iterator[Answers]:
    """The batch cut between rows into pieces of at most TILE tokens; a longer row is a piece of its own."""
    first, begin, size = 0, 0, 0
    for i, length in enumerate([*batch.lengths, TILE]):
        if size and (i == len(batch.lengths) or size + length > TILE):
            here = slice(begin, begin + size)
            yield Answers(batch.rows[first:i], batch.h_TD[here], batch.y_T[here], batch.lengths[first:i])
            first, begin, size = i, begin + size, 0
        size += length


def _measured(tile: Answers, head: Head, reference: Reference, vocab_chunk: int) -> Iterator[Signals]:
    found = errors(tile.h_TD, tile.y_T, head, reference.factors.u_Vr, dots=True, vocab_chunk=vocab_chunk)
    row_T = torch.repeat_interleave(torch.tensor(tile.lengths)).to(tile.y_T.device)
    own = self_values(found, tile.h_TD, row_T, len(tile.rows)).tolist()
    by_row = values(found, tile.h_TD, reference.factors).cpu().split(tile.lengths)
    logs = found.logprob_T.cpu().split(tile.lengths)
    for row, square, value_t, logprob_t in zip(tile.rows, own, by_row, logs, strict=True):
        value = math.fsum(value_t.tolist())
        size = math.sqrt(max(square, 0.0)) * reference.norm
        yield Signals(row, value, square, value / size if size else 0.0, value_t.tolist(), logprob_t.tolist())


def leave_one_out(found: Signals, reference: Reference) -> tuple[float, float] | tuple[None, None]:
    """Value and cosine of a reference row against the other reference rows; None where there are no others.

    With S = n Gbar the sum over all n rows: <G, S - G> / (n - 1), and |S - G|^2 = |S|^2 - 2 <G, S> + |G|^2.
    """
    n = reference.rows
    if n < 2:
        return None, None
    against_sum = n * found.value
    value = (against_sum - found.self_value) / (n - 1)
    others = math.sqrt(max((n * reference.norm) ** 2 - 2 * against_sum + found.self_value, 0.0)) / (n - 1)
    size = math.sqrt(max(found.self_value, 0.0)) * others
    return value, value / size if size else 0.0
