"""Where a value is computed. Everything else in this folder feeds this file or reads from it.

Symbols: T answer tokens, D hidden width, V vocabulary, W [V, D] the weight of the language-model head.
    h_t [D]   the state that the head receives at the position that predicts answer token y_t
              (the state at sequence position i predicts the token at i + 1)
    z_t [V]   logits, z_t = f(s W h_t): s a constant scale, f the identity or a soft cap, f(x) = c tanh(x / c)
    p_t [V]   softmax(z_t)
    e_t [V]   s f'(z_t) * (onehot(y_t) - p_t): minus the derivative of token t's cross-entropy by W h_t
    G(row)    sum_t e_t h_t^T  [V, D]: minus the gradient of the row's summed cross-entropy by W. Exact.
    Gbar      the mean of G over the reference rows, held as U B with U [V, r], B [r, D] (or r = D, B = identity)

    value(row) = <G(row), Gbar>_F = sum_t v_t,    v_t = e_t . (Gbar h_t) = (U^T e_t) . (B h_t)
    self_value(row) = |G(row)|_F^2 = sum_{s,t} (h_s . h_t) (e_s . e_t)

Nothing here holds a [T, V] matrix: a running softmax visits the vocabulary in chunks, and what is summed over the
vocabulary is rescaled when a larger logit comes up. The label's own logit is left out of the running sums, because
1 - p[y] is lost to rounding when p[y] is near one, and the sum of the other probabilities is not.

Source: For-Value (arXiv 2508.10180) gives the value as an inner product of hidden states and prediction errors; that
it is exact for the last layer under cross-entropy, and the form above, are ours. Tests compare it with autograd.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Head:
    """The language-model head: logits = cap(scale * W h + bias). The bias shifts logits and is not valued itself."""

    weight_VD: Tensor
    scale: float = 1.0
    cap: float | None = None
    bias_V: Tensor | None = None

    def logits(self, h_TD: Tensor, weight_VD: Tensor, bias_V: Tensor | None) -> Tensor:
        """Logits [T, rows of weight_VD] of states [T, D], in the dtype of the states."""
        z = h_TD @ weight_VD.to(h_TD.dtype).T
        if self.scale != 1.0:
            z *= self.scale
        if bias_V is not None:
            z += bias_V.to(z.dtype)
        return z if self.cap is None else z.div_(self.cap).tanh_().mul_(self.cap)

    def slope(self, z: Tensor) -> Tensor | float:
        """s f'(z): what the chain rule puts between a logit and W h."""
        return self.scale if self.cap is None else self.scale * (1 - (z / self.cap) ** 2)

    def chunks(self, size: int) -> list[slice]:
        vocabulary = self.weight_VD.shape[0]
        return [slice(v, min(v + size, vocabulary)) for v in range(0, vocabulary, size)]

    def chunk_logits(self, h_TD: Tensor, chunk: slice) -> Tensor:
        return self.logits(h_TD, self.weight_VD[chunk], None if self.bias_V is None else self.bias_V[chunk])


@dataclass(frozen=True)
class Factors:
    """Gbar = U B, [V, r] times [r, D]; without B, U is Gbar itself."""

    u_Vr: Tensor
    b_rD: Tensor | None

    def states(self, h_TD: Tensor) -> Tensor:
        """B h_t for every token: [T, r]."""
        return h_TD if self.b_rD is None else h_TD @ self.b_rD.to(h_TD.dtype).T


@dataclass(frozen=True)
class Errors:
    """What is known about the errors e_t of T tokens after one visit to the vocabulary."""

    logprob_T: Tensor
    """log p_t[y_t]."""
    log_total_T: Tensor
    """log sum_v exp(z_t[v]): what turns logits into probabilities."""
    push_T: Tensor
    """e_t[y_t], never negative: s f'(z_t[y_t]) (1 - p_t[y_t])."""
    projected_Tr: Tensor | None
    """U^T e_t."""
    dots_TT: Tensor | None
    """e_s . e_t."""


def errors(
    h_TD: Tensor, y_T: Tensor, head: Head, u_Vr: Tensor | None = None, *, dots: bool, vocab_chunk: int
) -> Errors:
    """One visit to the vocabulary. h_TD float32 or float64; y_T int64."""
    tokens = torch.arange(len(y_T), device=h_TD.device)
    label_bias = None if head.bias_V is None else head.bias_V[y_T]
    z_TT = head.logits(h_TD, head.weight_VD[y_T], label_bias) if dots else None  # z_s[y_t]
    z_T = _label_logits(h_TD, y_T, head) if z_TT is None else z_TT.diagonal().clone()

    top_T = z_T.clone()  # the largest logit so far
    rest_T = torch.zeros_like(z_T)  # sum of exp(z - top) over v != y
    u_sum = None if u_Vr is None else torch.zeros(len(y_T), u_Vr.shape[1], dtype=z_T.dtype, device=z_T.device)
    p_dots = None if z_TT is None else torch.zeros_like(z_TT)
    for chunk in head.chunks(vocab_chunk):
        z = head.chunk_logits(h_TD, chunk)
        inside = (y_T >= chunk.start) & (y_T < chunk.stop)
        z[tokens[inside], y_T[inside] - chunk.start] = -torch.inf
        higher_T = torch.maximum(top_T, z.amax(1))
        shrink_T = (top_T - higher_T).exp_()
        slope = head.slope(z) if head.cap is not None else None  # before z is overwritten
        weight = z.sub_(higher_T[:, None]).exp_()
        rest_T = rest_T * shrink_T + weight.sum(1)
        if slope is not None:
            weight = torch.where(weight > 0, weight * slope, 0)  # the label's slope is not finite
        if u_sum is not None and u_Vr is not None:
            u_sum.mul_(shrink_T[:, None]).addmm_(weight, u_Vr[chunk].to(weight.dtype))
        if p_dots is not None:
            p_dots.mul_(shrink_T[:, None] * shrink_T).addmm_(weight, weight.T)
        top_T = higher_T

    total_T = rest_T + (z_T - top_T).exp()
    log_total_T = top_T + torch.log1p(total_T - 1)
    logprob_T = (z_T - top_T) - torch.log1p(rest_T + ((z_T - top_T).exp() - 1))
    push_T = head.slope(z_T) * (rest_T / total_T)
    scale = 1.0 if head.cap is not None else head.scale  # with a cap, the weights hold the scale already
    projected = None
    if u_sum is not None and u_Vr is not None:
        projected = push_T[:, None] * u_Vr[y_T].to(u_sum.dtype) - u_sum * (scale / total_T)[:, None]
    dots_TT = None
    if z_TT is not None and p_dots is not None:
        same_TT = y_T[:, None] == y_T
        pull_TT = (z_TT - log_total_T[:, None]).exp() * head.slope(z_TT)  # minus e_s[y_t] where y_s != y_t
        across = torch.where(same_TT, 0, push_T * pull_TT)
        dots_TT = torch.where(same_TT, push_T[:, None] * push_T, 0) - across - across.T
        dots_TT += p_dots * ((scale / total_T)[:, None] * (scale / total_T))
    return Errors(logprob_T, log_total_T, push_T, projected, dots_TT)


def gradient(h_TD: Tensor, y_T: Tensor, head: Head, into_VD: Tensor, *, vocab_chunk: int) -> None:
    """Add sum_t e_t h_t^T to into_VD [V, D]: two visits to the vocabulary, no [T, V] matrix."""
    found = errors(h_TD, y_T, head, dots=False, vocab_chunk=vocab_chunk)
    tokens = torch.arange(len(y_T), device=h_TD.device)
    for chunk in head.chunks(vocab_chunk):
        z = head.chunk_logits(h_TD, chunk)
        slope = head.slope(z)
        e = (z - found.log_total_T[:, None]).exp_().mul_(slope).neg_()
        inside = (y_T >= chunk.start) & (y_T < chunk.stop)
        e[tokens[inside], y_T[inside] - chunk.start] = found.push_T[inside]
        into_VD[chunk].addmm_(e.T.to(into_VD.dtype), h_TD.to(into_VD.dtype))


def values(found: Errors, h_TD: Tensor, factors: Factors) -> Tensor:
    """v_t [T]: the value of each token. A row's value is their sum."""
    assert found.projected_Tr is not None
    return (found.projected_Tr * factors.states(h_TD)).sum(1)


def self_values(found: Errors, h_TD: Tensor, row_T: Tensor, rows: int) -> Tensor:
    """|G(row)|_F^2 [rows], for tokens of which row_T says the row, from 0."""
    assert found.dots_TT is not None
    pairs = (h_TD @ h_TD.T) * found.dots_TT
    pairs = torch.where(row_T[:, None] == row_T, pairs, 0)
    return torch.zeros(rows, dtype=pairs.dtype, device=pairs.device).index_add_(0, row_T, pairs.sum(1))


def _label_logits(h_TD: Tensor, y_T: Tensor, head: Head) -> Tensor:
    """z_t[y_t] [T]."""
    z = (h_TD * head.weight_VD[y_T].to(h_TD.dtype)).sum(1) * head.scale
    if head.bias_V is not None:
        z = z + head.bias_V[y_T].to(z.dtype)
    return z if head.cap is None else head.cap * torch.tanh(z / head.cap)
