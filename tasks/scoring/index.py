"""A short vector per row, with which SQL can score any later reference or single question without the model.

G(row) = sum_t e_t h_t^T is far too large to keep. But states and errors lie close to few directions, and so do rows:
    F(row) = sum_t (P_e e_t) (P_h h_t)^T    [k1, k2]      P_e: top k1 directions of errors, P_h: top k2 of states
    vector = P_m vec(F)                     [m]           P_m: top m directions of the rows' F
All directions are orthonormal, so <vector(i), vector(j)> is close to <G(i), G(j)>. They are fitted once per model, on a
sample of rows. Every run measures how close the products are, on pairs of rows outside that sample. Random projections
of many times the length do worse (correlation 0.7 to 0.9): the directions of the data are what matters.

The index also holds the state that predicts the first answer token, less its mean, on its top directions: probes and
neighbours need it. And it holds the position-weighted mean state of the whole text (RDS+, arXiv 2503.01807) in the same
form, which says what a row is about.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from safetensors.torch import load, save
from torch import Tensor

from oresight.tasks.scoring.formula import Directions, Head, error_chunks, errors, gradient, pairwise
from oresight.tasks.scoring.forward import Answers

TOKENS = 2048
"""Answer tokens on which the directions of errors and states are fitted."""
K1, K2, M, STATE = 256, 128, 256, 128
"""Numbers of directions, at most: k1 of errors, k2 of states, m of rows, and of first answer states and text states."""
TAIL = 1e-4
"""Share of the errors' directions that may lie in the vocabulary's tokens that are left out."""


@dataclass(frozen=True)
class Basis:
    """The directions, in half precision, so that the stored directions are exactly those that were used."""

    tokens_A: Tensor
    left_AK: Tensor
    """P_e transposed, for A tokens of the vocabulary."""
    right_DK: Tensor
    """P_h transposed."""
    mix_MK: Tensor
    """P_m [m, k1 * k2]."""
    mean_D: Tensor
    """Mean of the first answer states."""
    state_DS: Tensor
    """The top directions of the first answer states."""
    text_mean_D: Tensor
    """Mean of the text states."""
    text_DS: Tensor
    """The top directions of the text states."""

    @property
    def along(self) -> Directions:
        """P_e, in float32."""
        return Directions(self.tokens_A, self.left_AK.float())

    def vectors(self, along_TK: Tensor, h_TD: Tensor, lengths: Sequence[int]) -> Tensor:
        """The vectors [N, m] of rows of the given lengths; along_TK is P_e e_t."""
        return quantise(_outer(along_TK, h_TD @ self.right_DK.to(h_TD.dtype), lengths) @ self.mix_MK.to(h_TD.dtype).T)

    def of(self, part: Answers, head: Head) -> Tensor:
        """The vectors [N, m] of a part's rows."""
        return self.vectors(_along(part, head, self.along), part.h_TD, part.lengths)

    def states(self, first_ND: Tensor) -> Tensor:
        """The index's states [N, S], for the states [N, D] that predict the first answer tokens."""
        return quantise((first_ND - self.mean_D.to(first_ND.dtype)) @ self.state_DS.to(first_ND.dtype))

    def texts(self, text_ND: Tensor) -> Tensor:
        """The index's text states [N, S], for the mean states [N, D] of whole texts."""
        return quantise((text_ND - self.text_mean_D.to(text_ND.dtype)) @ self.text_DS.to(text_ND.dtype))

    def to(self, device: torch.device) -> "Basis":
        """The same directions on another device."""
        return Basis(*(getattr(self, f.name).to(device) for f in fields(self)))

    def stored(self) -> bytes:
        """The directions as safetensors."""
        return save({f.name: getattr(self, f.name).cpu().contiguous() for f in fields(self)})

    @staticmethod
    def read(content: bytes) -> "Basis":
        """The directions from the bytes that `stored` gave."""
        return Basis(**load(content))


def quantise(x_NM: Tensor) -> Tensor:
    """Each row rounded to 255 levels: the database stores 8 bits per number."""
    unit_N1 = x_NM.abs().amax(1, keepdim=True).clamp_min(1e-30) / 127
    return (x_NM / unit_N1).round() * unit_N1


def fit_basis(sample: Sequence[Answers], head: Head) -> Basis:
    """The directions of a sample of rows. A thousand rows are plenty."""
    h_TD = torch.cat([part.h_TD for part in sample])
    y_T = torch.cat([part.y_T for part in sample])
    chosen = torch.linspace(0, len(y_T) - 1, min(len(y_T), TOKENS)).round().long().unique().to(y_T.device)
    left = _error_directions(h_TD[chosen], y_T[chosen], head)
    right_DK = _half(_top(h_TD[chosen], K2))
    mean_D, state_DS = _centred_top(torch.cat([part.first() for part in sample]))
    text_mean_D, text_DS = _centred_top(torch.cat([part.text_ND for part in sample]))
    outer_NK = torch.cat([
        _outer(_along(tile, head, left), tile.h_TD @ right_DK.to(tile.h_TD.dtype), tile.lengths)
        for part in sample for tile in part.tiles(512)
    ])  # fmt: skip
    mix_MK = _half(_top(outer_NK, M).T)
    return Basis(
        tokens_A=left.tokens_A,
        left_AK=_half(left.u_AR),
        right_DK=right_DK,
        mix_MK=mix_MK,
        mean_D=mean_D,
        state_DS=state_DS,
        text_mean_D=text_mean_D,
        text_DS=text_DS,
    )


def _centred_top(x_ND: Tensor) -> tuple[Tensor, Tensor]:
    """The mean [D] of states, and the top directions [D, S] around it."""
    mean_D = _half(x_ND.mean(0))
    return mean_D, _half(_top(x_ND - mean_D.to(x_ND.dtype), STATE))


def correlation(basis: Basis, a: Answers, b: Answers, head: Head) -> tuple[float, int]:
    """Pearson correlation of the index's products with the exact ones, over all pairs of two sets, and how many pairs.

    The correlation is NaN where there are fewer than three pairs.
    """
    exact_ab = pairwise((a.h_TD, a.y_T, a.lengths), (b.h_TD, b.y_T, b.lengths), head)
    vectors = [basis.of(part, head) for part in (a, b)]
    both = torch.stack([exact_ab.flatten().double(), (vectors[0] @ vectors[1].T).flatten().double()])
    return float(torch.corrcoef(both)[0, 1]) if exact_ab.numel() > 2 else math.nan, exact_ab.numel()


def _along(part: Answers, head: Head, along: Directions) -> Tensor:
    along_TR = errors(part.h_TD, part.y_T, head, along).along_TR
    assert along_TR is not None
    return along_TR


def _outer(left_TK: Tensor, right_TK: Tensor, lengths: Sequence[int]) -> Tensor:
    """vec(sum_t left_t right_t^T) of each row: [N, k1 * k2]."""
    parts = zip(left_TK.split(list(lengths)), right_TK.split(list(lengths)), strict=True)
    return torch.stack([(left.T @ right).flatten() for left, right in parts])


def _error_directions(h_TD: Tensor, y_T: Tensor, head: Head) -> Directions:
    """The top directions of the errors: eigenvectors of their products [T, T], mapped to the vocabulary."""
    visited = errors(h_TD, y_T, head)
    dots_TT = h_TD.new_zeros(len(y_T), len(y_T))
    for _, e in error_chunks(h_TD, y_T, head, visited, 2048):
        dots_TT.addmm_(e, e.T)
    sizes, vectors = (x.to(h_TD.dtype) for x in torch.linalg.eigh(dots_TT.double()))  # float32 fails on equal rows
    k = min(K1, int((sizes > sizes[-1] * 1e-6).sum()))
    beside_TK = vectors[:, -k:].flip(1) / sizes[-k:].flip(0).sqrt()
    vocabulary = torch.arange(len(head.weight_VD), device=h_TD.device)
    complete = Directions(vocabulary, h_TD.new_zeros(len(vocabulary), k))
    gradient(h_TD, y_T, head, complete, beside_TR=beside_TK, chunk=2048)
    weight_V = (complete.u_AR.square() @ sizes[-k:].flip(0)).double()
    order_V = weight_V.argsort(descending=True)
    needed = int((weight_V[order_V].cumsum(0) < (1 - TAIL) * weight_V.sum()).sum()) + 1
    tokens_A = order_V[:needed].sort().values
    return Directions(tokens_A, complete.u_AR[tokens_A])


def _top(x_ND: Tensor, k: int) -> Tensor:
    """The top k directions of rows [N, D], fewer if the rows have fewer: [D, k] orthonormal."""
    wide_ND = x_ND.double()
    few = len(x_ND) <= x_ND.shape[1]
    sizes, vectors = torch.linalg.eigh(wide_ND @ wide_ND.T if few else wide_ND.T @ wide_ND)
    k = min(k, max(int((sizes > sizes[-1] * 1e-10).sum()), 1))
    top = vectors[:, -k:].flip(1)
    if few:
        top = wide_ND.T @ top / sizes[-k:].flip(0).clamp_min(1e-30).sqrt()
    directions: Tensor = top.to(x_ND.dtype)
    return directions


def _half(x: Tensor) -> Tensor:
    """In half precision, and in memory as the stored directions are: a product's last digits depend on that."""
    return x.to(torch.float16).contiguous()
