"""Reference rows -> Gbar [V, D], the mean of their gradients, and its low-rank form.

Gbar is held once, in float32: as many bytes as the head itself in that precision (V = 150,000, D = 4,096: 2.5 GB), and
only while the reference is fitted. Its low-rank form U B, which stays, needs r (V + D) numbers (rank 128: 79 MB).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.scoring.formula import Factors, gradient
from tasks.scoring.forward import answers
from tasks.scoring.model import Loaded
from tasks.scoring.prompt import Encoded


@dataclass(frozen=True)
class Reference:
    """What rows are valued against."""

    factors: Factors
    rows: int
    norm: float
    """|Gbar|_F, exact."""
    rank: int
    residual: float
    """|Gbar - U B|_F / |Gbar|_F."""


def fit(model: Loaded, rows: Sequence[Encoded], *, batch_tokens: int, tolerance: float, vocab_chunk: int) -> Reference:
    """The mean gradient of the reference rows, to the smallest rank whose residual is within tolerance; 0 is exact."""
    weight = model.head.weight_VD
    wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
    gbar_VD = torch.zeros(weight.shape, dtype=wide, device=weight.device)
    for found in answers(model, rows, batch_tokens):
        for part in range(0, len(found.y_T), 512):
            here = slice(part, part + 512)
            gradient(found.h_TD[here], found.y_T[here], model.head, gbar_VD, vocab_chunk=vocab_chunk)
    gbar_VD /= len(rows)
    return factored(gbar_VD, len(rows), tolerance)


def factored(gbar_VD: Tensor, rows: int, tolerance: float) -> Reference:
    """Gbar ~ U B by randomised SVD, whose width doubles until the residual is within tolerance."""
    norm = float(torch.linalg.vector_norm(gbar_VD, dtype=torch.float64))
    full = min(gbar_VD.shape)
    width = 64
    while tolerance > 0 and norm > 0 and width < full / 2:
        with torch.random.fork_rng():
            torch.manual_seed(0)  # the same reference gives the same factors
            left_Vr, sizes_r, right_Dr = torch.svd_lowrank(gbar_VD, q=width, niter=2)
        kept_r = (sizes_r.double() ** 2).cumsum(0)
        residual_r = (1 - kept_r / norm**2).clamp_min(0).sqrt()
        enough = (residual_r <= tolerance).nonzero()
        if len(enough):
            rank = int(enough[0]) + 1
            factors = Factors((left_Vr * sizes_r)[:, :rank].contiguous(), right_Dr[:, :rank].T.contiguous())
            return Reference(factors, rows, norm, rank, float(residual_r[rank - 1]))
        width *= 2
    return Reference(Factors(gbar_VD, None), rows, norm, full, 0.0)
