"""Fits Gbar, the mean gradient of the reference rows, in a cheap form: few tokens of the vocabulary, few directions.

Gbar [V, D] is close to low rank, and nearly all of it lies in the rows of few tokens. So only the rows of the A tokens
with the largest share of the error are accumulated, and only r directions of them are kept: Gbar ~ U B, U [A, r] with
orthonormal columns, B [r, D]. A and r are as small as possible while the values of probe rows stay within `tolerance`:
no value is off by more than that share of the largest value, and their root mean square error is at most that share of
their standard deviation. The error of the values is measured, because the Frobenius norm of the part left out says
little: a tenth of it may be missing while no value is off by a thousandth (docs/log.md).

Memory while fitting: A (D + r) numbers in float32, A at most ROOM / D: 0.5 GB for Gbar at V = 150,000, D = 4,096
(A = 32,768), where all of Gbar would need 2.5 GB. A tolerance of 0 keeps all tokens and directions: the exact form.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from itertools import pairwise as neighbours

import torch
from torch import Tensor

from oresight.tasks.scoring.formula import Directions, Head, error_chunks, errors, gradient
from oresight.tasks.scoring.forward import Answers

ROOM = 2**27
"""Numbers of Gbar that are accumulated, at most: 0.5 GB in float32."""
WIDTHS = (128, 256, 512)
"""Numbers of directions that are tried. A reference that needs more is kept without factors."""
TILE = 512
"""Answer tokens that visit the vocabulary at the same time while the reference is fitted."""


@dataclass(frozen=True)
class Reference:
    """The mean gradient of the reference rows, against which rows get their value."""

    along: Directions
    """U: orthonormal directions, or Gbar itself."""
    b_rD: Tensor | None
    """B; None where `along` is Gbar itself."""
    rows: int
    norm: float
    """|Gbar|_F, over the accumulated tokens."""
    rank: int
    tokens: int
    """A: how many tokens of the vocabulary have their rows kept."""
    residual: float
    """|Gbar - U B|_F / |Gbar|_F."""
    deviation: float
    """The largest error of a probe row's value, as a share of the largest value."""

    def states(self, h_TD: Tensor) -> Tensor:
        """B h_t for every token [T, r]."""
        return h_TD if self.b_rD is None else h_TD @ self.b_rD.T

    def to(self, device: torch.device) -> "Reference":
        """The same reference on another device."""
        along = Directions(self.along.tokens_A.to(device), self.along.u_AR.to(device))
        b_rD = None if self.b_rD is None else self.b_rD.to(device)
        return replace(self, along=along, b_rD=b_rD)


def no_reference(head: Head) -> Reference:
    """A reference without rows: it has no direction, and against it a row has no value."""
    weight_VD = head.weight_VD
    wide = torch.float64 if weight_VD.dtype == torch.float64 else torch.float32
    tokens_A = torch.zeros(1, dtype=torch.long, device=weight_VD.device)
    none = Directions(tokens_A, weight_VD.new_zeros(1, 0, dtype=wide))
    b_rD = weight_VD.new_zeros(0, weight_VD.shape[1], dtype=wide)
    return Reference(along=none, b_rD=b_rD, rows=0, norm=0.0, rank=0, tokens=0, residual=0.0, deviation=0.0)


def heavy_tokens(sample: Sequence[Answers], head: Head, room: int) -> Tensor:
    """The tokens v, ascending, with the largest errors in the sample, sum over t of |e_t[v]| |h_t|; all if they fit."""
    vocabulary, width = head.weight_VD.shape
    if vocabulary * width <= room:
        return torch.arange(vocabulary, device=head.weight_VD.device)
    mass_V = torch.zeros(vocabulary, device=head.weight_VD.device)
    for tile in (tile for part in sample for tile in part.tiles(TILE)):
        size_T = torch.linalg.vector_norm(tile.h_TD, dim=1)
        for here, e in error_chunks(tile.h_TD, tile.y_T, head, errors(tile.h_TD, tile.y_T, head)):
            mass_V[here] += (size_T @ e.abs()).to(mass_V.dtype)
    return mass_V.topk(room // width).indices.sort().values


def fit(
    head: Head,
    reference: Sequence[Answers],
    rest: Iterable[Answers] = (),
    *,
    probe: Sequence[Answers],
    tolerance: float,
    form: tuple[int, int] | None = None,
) -> tuple[Reference, Reference]:
    """The mean gradient of the reference rows, in its exact form and in its cheap form. Each row is visited once.

    reference: the rows whose states are in memory; rest: the other rows, as a stream. probe: rows outside the
    reference, whose values must stay within the tolerance. form: (tokens, rank) of an earlier fit of the same
    reference, so that a continued run gets the same numbers. Raises ValueError if the reference has no row.
    """
    weight_VD = head.weight_VD
    tokens_A = heavy_tokens(reference, head, ROOM if tolerance > 0 else weight_VD.numel())
    wide = torch.float64 if weight_VD.dtype == torch.float64 else torch.float32
    g_AD = torch.zeros(len(tokens_A), weight_VD.shape[1], dtype=wide, device=weight_VD.device)
    gbar, rows = Directions(tokens_A, g_AD), 0
    for part in chain(reference, rest):
        rows += len(part.rows)
        for tile in part.tiles(TILE):
            gradient(tile.h_TD, tile.y_T, head, gbar)
    if rows == 0:
        raise ValueError("reference: none of its rows can be scored; give at least one row that the model can score")
    g_AD.div_(rows)
    norm = float(torch.linalg.vector_norm(g_AD, dtype=torch.float64))
    exact = Reference(
        along=gbar,
        b_rD=None,
        rows=rows,
        norm=norm,
        rank=min(g_AD.shape),
        tokens=len(g_AD),
        residual=0.0,
        deviation=0.0,
    )
    if tolerance == 0 or norm == 0:
        return exact, exact
    return exact, _compress(exact, head, [tile for part in probe for tile in part.tiles(TILE)], tolerance, form)


def _compress(
    exact: Reference, head: Head, probe: Sequence[Answers], tolerance: float, form: tuple[int, int] | None
) -> Reference:
    """The cheap form: the fewest tokens within half of the tolerance, and the fewest directions within all of it."""
    gbar, norm = exact.along, exact.norm
    order_A = torch.linalg.vector_norm(gbar.u_AR, dim=1).argsort(descending=True)
    by_token_NA = torch.cat([_by_token(tile, gbar, head) for tile in probe])[:, order_A].double()
    value_N = by_token_NA.sum(1)
    tokens = form[0] if form else _smallest(by_token_NA, value_N, tolerance / 2) or len(order_A)
    kept_A = order_A[:tokens].sort().values
    few = Directions(gbar.tokens_A[kept_A], gbar.u_AR[kept_A])
    full = min(few.u_AR.shape)
    rank, along, b_rD, cheap_N = full, few, None, by_token_NA[:, :tokens].sum(1)
    # More than half of the directions in factors would cost more than all of them without factors.
    for narrower, width in neighbours((0, *sorted({min(width, full // 2) for width in WIDTHS} - {0}))):
        if form and form[1] > width:
            continue
        u_Ar, trial_rD = _svd(few.u_AR, width)
        by_direction_Nr = _by_direction(probe, Directions(few.tokens_A, u_Ar), trial_rD, head)
        needed = form[1] if form else _smallest(by_direction_Nr, value_N, tolerance)
        if needed is not None:
            rank = max(needed, narrower + 1)  # so that `form` leads a continued run to the same width
            along, b_rD = Directions(few.tokens_A, u_Ar[:, :rank].contiguous()), trial_rD[:rank].contiguous()
            cheap_N = by_direction_Nr[:, :rank].sum(1)
            break
    kept = few.u_AR if b_rD is None else b_rD
    left_out = max(norm**2 - float(torch.linalg.vector_norm(kept, dtype=torch.float64)) ** 2, 0.0) ** 0.5
    deviation = float((cheap_N - value_N).abs().max() / value_N.abs().max().clamp_min(1e-300))
    return replace(
        exact, along=along, b_rD=b_rD, rank=rank, tokens=tokens, residual=left_out / norm, deviation=deviation
    )


def _svd(g_AD: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """U [A, rank] orthonormal and B = U^T G, the largest directions first. Deterministic: the random seed is fixed."""
    with torch.random.fork_rng(devices=[g_AD.device] if g_AD.is_cuda else []):
        torch.manual_seed(0)
        u_Ar = torch.svd_lowrank(g_AD, q=min(rank + 16, *g_AD.shape), niter=2)[0][:, :rank].contiguous()
    return u_Ar, u_Ar.T @ g_AD


def _smallest(parts_Nk: Tensor, value_N: Tensor, tolerance: float) -> int | None:
    """How many parts, from the first, add up to the values within the tolerance; None if even all of them do not.

    No value may be off by more than tolerance times the largest value, and the root mean square error may be at most
    tolerance times the standard deviation of the values.
    """
    missed_Nk = (value_N[:, None] - parts_Nk.cumsum(1)).abs()
    spread = float(value_N.std(correction=0)) or float(value_N.abs().max())
    over_k = missed_Nk.amax(0) > tolerance * value_N.abs().max()
    over_k |= missed_Nk.square().mean(0).sqrt() > tolerance * spread
    needed = int(over_k.nonzero()[-1]) + 2 if over_k.any() else 1
    return needed if needed <= parts_Nk.shape[1] else None


def _by_token(tile: Answers, gbar: Directions, head: Head) -> Tensor:
    """The share of each token of the vocabulary in each row's value [N, A]; the sum over A is the value."""
    h_TD, y_T, done = tile.h_TD, tile.y_T, 0
    row_T = torch.repeat_interleave(torch.tensor(tile.lengths)).to(y_T.device)
    shares_NA = h_TD.new_zeros(len(tile.lengths), len(gbar.tokens_A))
    for here, e in error_chunks(h_TD, y_T, head, errors(h_TD, y_T, head)):
        columns, g_CD = gbar.inside(here)
        shares_NA[:, done : done + len(g_CD)].index_add_(0, row_T, e[:, columns] * (h_TD @ g_CD.T))
        done += len(g_CD)
    return shares_NA


def _by_direction(probe: Sequence[Answers], along: Directions, b_rD: Tensor, head: Head) -> Tensor:
    """The share of each direction in each row's value [N, r], float64; the sum over r is the value."""
    shares = []
    for tile in probe:
        along_TR = errors(tile.h_TD, tile.y_T, head, along).along_TR
        assert along_TR is not None
        shares += [part.sum(0) for part in (along_TR * (tile.h_TD @ b_rD.T)).split(tile.lengths)]
    return torch.stack(shares).double()
