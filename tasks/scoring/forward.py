"""Token-budget batches -> the states that predict the answer tokens. Only those go on to the head.

Rows are padded on the right. In a causal model no position sees what lies to its right, so padding needs no mask and a
row's states do not depend on its batch; a test compares them with the row alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.scoring.model import Loaded
from tasks.scoring.prompt import Encoded


@dataclass(frozen=True)
class Answers:
    """The answer tokens of a few rows, one row after the other; T of them in all."""

    rows: list[int]
    """Positions of these rows in the sequence that was asked for."""
    h_TD: Tensor
    """The state that predicts each token, as the head receives it, in float32 (float64 for a float64 model)."""
    y_T: Tensor
    """The tokens themselves, int64."""
    lengths: list[int]
    """How many tokens each row has; they add up to T."""


def batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Positions grouped so that rows of similar length share a batch of at most batch_tokens, padding included."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True)
    found: list[list[int]] = []
    for i in order:
        if found and lengths[found[-1][0]] * (len(found[-1]) + 1) <= batch_tokens:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def answers(model: Loaded, rows: Sequence[Encoded], batch_tokens: int) -> Iterator[Answers]:
    """Run the body over the rows, longest first, and give the states of their answer positions batch by batch."""
    for batch in batches([len(row.ids) for row in rows], batch_tokens):
        ids = torch.zeros(len(batch), max(len(rows[i].ids) for i in batch), dtype=torch.int64)
        for place, i in enumerate(batch):
            ids[place, : len(rows[i].ids)] = torch.tensor(rows[i].ids)
        line = torch.cat([torch.full((len(rows[i].answer),), place) for place, i in enumerate(batch)])
        position = torch.cat([torch.arange(rows[i].start - 1, rows[i].end - 1) for i in batch])  # predicts the next
        h = model.states(input_ids=ids.to(model.device))[line.to(model.device), position.to(model.device)]
        wide = h if h.dtype == torch.float64 else h.float()
        yield Answers(batch, wide, ids[line, position + 1].to(model.device), [len(rows[i].answer) for i in batch])
