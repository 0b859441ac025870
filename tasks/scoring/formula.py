"""Where a value is computed. Everything else in this folder feeds this file or reads from it.

Symbols: T answer tokens, D hidden width, V vocabulary, W [V, D] the weight of the language-model head.
    h_t [D]   the state that the head receives at the position that predicts answer token y_t
              (the state at sequence position i predicts the token at i + 1)
    z_t [V]   logits, z_t = f(s W h_t): s a constant scale, f the identity or a soft cap, f(x) = c tanh(x / c)
    p_t [V]   softmax(z_t)
    e_t [V]   s f'(z_t) * (onehot(y_t) - p_t): minus the derivative of token t's cross-entropy by W h_t
    G(row)    sum_t e_t h_t^T  [V, D]: minus the gradient of the row's summed cross-entropy by W. Exact.
    Gbar      the mean of G over the reference rows, held as U B with U [V, r], B [r, D]  (reference.py)

    value(row) = <G(row), Gbar>_F = sum_t v_t,    v_t = e_t . (Gbar h_t) = (U^T e_t) . (B h_t)
    self_value(row) = |G(row)|_F^2 = sum_{s,t} (h_s . h_t) (e_s . e_t)
    pairwise(i, j)  = <G(i), G(j)>_F = sum_{s in i, t in j} (h_s . h_t) (e_s . e_t)

Nothing here holds a [T, V] matrix: a running softmax visits the vocabulary in chunks of BUDGET numbers, and what is
summed over the vocabulary is rescaled when a larger logit comes up. The label's own logit is left out of the running
sums, because 1 - p[y] is lost to rounding when p[y] is near one, and the sum of the other probabilities is not.

Precision: states come in float32 (float64 for a float64 model) and everything after the logits stays in it. A head in
half precision multiplies in half precision, with float32 sums inside the product.

Source: For-Value (arXiv 2508.10180) gives the value as an inner product of hidden states and prediction errors; that
it is exact for the last layer under cross-entropy, and the form above, are ours. Tests compare it with autograd.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise as neighbours

import torch
from torch import Tensor

BUDGET = 2**20
"""Numbers in one chunk of [tokens, vocabulary] on a CPU: 4 MB of float32, which stays in the cache between passes."""
GPU_BUDGET = 2**26


@dataclass(frozen=True)
class Head:
    """The language-model head: logits = cap(scale * (W h + bias)). The bias shifts logits and is not valued itself."""

    weight_VD: Tensor
    scale: float = 1.0
    cap: float | None = None
    bias_V: Tensor | None = None

    def logits(self, h_TD: Tensor, weight_CD: Tensor, bias_C: Tensor | None) -> Tensor:
        """Logits [T, C] of states [T, D] for some rows of W, in the dtype of the states."""
        z = _product(h_TD, weight_CD)
        return self.finished(z if bias_C is None else z.add_(bias_C.to(z.dtype)))

    def finished(self, z: Tensor) -> Tensor:
        """The scale and the soft cap, in place."""
        if self.scale != 1.0:
            z *= self.scale
        return z if self.cap is None else z.div_(self.cap).tanh_().mul_(self.cap)

    def slope(self, z: Tensor) -> Tensor | float:
        """s f'(z): what the chain rule puts between a logit and W h."""
        return self.scale if self.cap is None else self.scale * (1 - (z / self.cap) ** 2)

    def chunks(self, h_TD: Tensor, size: int | None = None) -> Iterator[tuple[slice, Tensor]]:
        """The vocabulary in slices, each with its logits [T, slice]; size overrides the budget."""
        vocabulary = self.weight_VD.shape[0]
        budget = BUDGET if h_TD.device.type == "cpu" else GPU_BUDGET
        size = size or max(256, budget // max(len(h_TD), 1))
        for v in range(0, vocabulary, size):
            here = slice(v, min(v + size, vocabulary))
            yield here, self.logits(h_TD, self.weight_VD[here], None if self.bias_V is None else self.bias_V[here])

    def label_logits(self, h_TD: Tensor, y_T: Tensor) -> Tensor:
        """z_t[y_t] [T]."""
        return self.some_logits(h_TD[:, None], y_T[:, None])[:, 0, 0]

    def some_logits(self, h_NLD: Tensor, y_NL: Tensor) -> Tensor:
        """z_s[y_t] [N, L, L] for the tokens s, t of each of N rows with L tokens."""
        z = h_NLD @ self.weight_VD[y_NL].to(h_NLD.dtype).mT
        return self.finished(z if self.bias_V is None else z.add_(self.bias_V[y_NL].to(z.dtype)[:, None]))


@dataclass(frozen=True)
class Directions:
    """R directions in the space of errors, [V, R]. Only the rows of A tokens are not zero."""

    tokens_A: Tensor
    """Ascending."""
    u_AR: Tensor

    @cached_property
    def order(self) -> list[int]:
        return self.tokens_A.tolist()

    def of(self, y_T: Tensor) -> Tensor:
        """The rows of tokens y: [T, R]."""
        index_T = torch.searchsorted(self.tokens_A, y_T).clamp_max(len(self.tokens_A) - 1)
        return self.u_AR[index_T] * (self.tokens_A[index_T] == y_T)[:, None]

    def inside(self, chunk: slice) -> tuple[Tensor | slice, Tensor]:
        """The tokens of a chunk of the vocabulary whose rows are not zero, as columns of the chunk, and their rows."""
        low, high = bisect_left(self.order, chunk.start), bisect_left(self.order, chunk.stop)
        full = high - low == chunk.stop - chunk.start
        return slice(None) if full else self.tokens_A[low:high] - chunk.start, self.u_AR[low:high]


@dataclass(frozen=True)
class Errors:
    """The results of one visit of T tokens to the vocabulary, from which the errors e_t can be computed."""

    logprob_T: Tensor
    """log p_t[y_t]."""
    log_total_T: Tensor
    """log sum_v exp(z_t[v]): what turns logits into probabilities."""
    push_T: Tensor
    """e_t[y_t], never negative: s f'(z_t[y_t]) (1 - p_t[y_t])."""
    along_TR: Tensor | None
    """U^T e_t, where directions U were given."""
    self_values: list[float] | None
    """|G(row)|_F^2 of each row, where row lengths were given."""


def errors(
    h_TD: Tensor,
    y_T: Tensor,
    head: Head,
    along: Directions | None = None,
    *,
    lengths: Sequence[int] | None = None,
    chunk: int | None = None,
) -> Errors:
    """One visit to the vocabulary. h_TD float32 or float64; y_T int64.

    lengths: how many tokens each row has, one row after the other; with them, self_values are computed. Adjacent rows
    of equal length are computed in one product, so rows ordered by length are faster.
    """
    groups = [] if lengths is None else _groups(lengths)
    z_T = head.label_logits(h_TD, y_T)
    tokens = torch.arange(len(y_T), device=h_TD.device)
    top_T = z_T.clone()  # the largest logit so far
    rest_T = torch.zeros_like(z_T)  # sum of exp(z - top) over v != y
    sum_TR = None if along is None else z_T.new_zeros(len(y_T), along.u_AR.shape[1])
    dots = [z_T.new_zeros(n, length, length) for n, length in groups]  # sum over v of the same, twice
    for here, z in head.chunks(h_TD, chunk):
        inside = (y_T >= here.start) & (y_T < here.stop)
        z[tokens[inside], y_T[inside] - here.start] = -torch.inf
        higher_T = torch.maximum(top_T, z.amax(1))
        shrink_T = (top_T - higher_T).exp_()
        slope = head.slope(z) if head.cap is not None else None  # before z is overwritten
        weight = z.sub_(higher_T[:, None]).exp_()
        rest_T = rest_T * shrink_T + weight.sum(1)
        if slope is not None:
            weight = torch.where(weight > 0, weight * slope, 0)  # the label's slope is not finite
        if sum_TR is not None and along is not None:
            columns, u_CR = along.inside(here)
            sum_TR.mul_(shrink_T[:, None]).addmm_(weight[:, columns], u_CR.to(weight.dtype))
        for dot, part, fade in zip(dots, _rows(weight, groups), _rows(shrink_T, groups), strict=True):
            dot.mul_(fade[:, :, None] * fade[:, None]).baddbmm_(part, part.mT)
        top_T = higher_T

    own_T = (z_T - top_T).exp()
    total_T = rest_T + own_T
    logprob_T = (z_T - top_T) - torch.log1p(rest_T + (own_T - 1))
    push_T = head.slope(z_T) * (rest_T / total_T)
    fraction_T = (1.0 if head.cap is not None else head.scale) / total_T  # with a cap, the weights hold the scale
    log_total_T = top_T + torch.log1p(total_T - 1)
    along_TR = None
    if sum_TR is not None and along is not None:
        along_TR = push_T[:, None] * along.of(y_T).to(sum_TR.dtype) - sum_TR * fraction_T[:, None]
    squares = None
    if lengths is not None:
        squares = _self_values(
            h_TD, y_T, head, groups, dots=dots, log_total_T=log_total_T, push_T=push_T, fraction_T=fraction_T
        )
    return Errors(logprob_T, log_total_T, push_T, along_TR, squares)


def likeliest(h_TD: Tensor, head: Head, chunk: int | None = None) -> Tensor:
    """The model's likeliest token at each position: argmax_v z_t[v] [T], the first of equals."""
    best_T = h_TD.new_full((len(h_TD),), -torch.inf)
    token_T = torch.zeros(len(h_TD), dtype=torch.int64, device=h_TD.device)
    for here, z in head.chunks(h_TD, chunk):
        top_T, index_T = z.max(1)
        better_T = top_T > best_T
        best_T = torch.where(better_T, top_T, best_T)
        token_T = torch.where(better_T, index_T + here.start, token_T)
    return token_T


def error_chunks(
    h_TD: Tensor, y_T: Tensor, head: Head, visited: Errors, chunk: int | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """The errors themselves, e [T, slice of the vocabulary], chunk by chunk. This is a second visit.

    visited: the results of the first visit of the same tokens.
    """
    tokens = torch.arange(len(y_T), device=h_TD.device)
    for here, z in head.chunks(h_TD, chunk):
        slope = head.slope(z)
        e = (z - visited.log_total_T[:, None]).exp_().mul_(slope).neg_()
        inside = (y_T >= here.start) & (y_T < here.stop)
        e[tokens[inside], y_T[inside] - here.start] = visited.push_T[inside]
        yield here, e


def gradient(
    h_TD: Tensor,
    y_T: Tensor,
    head: Head,
    into: Directions,
    *,
    beside_TR: Tensor | None = None,
    chunk: int | None = None,
) -> None:
    """Add sum_t e_t x_t^T to `into` [V, R], for the tokens that it has. This takes two visits to the vocabulary.

    x is h by default, which gives G, or `beside_TR`.
    """
    x_TR = h_TD if beside_TR is None else beside_TR
    for here, e in error_chunks(h_TD, y_T, head, errors(h_TD, y_T, head, chunk=chunk), chunk):
        columns, sum_CR = into.inside(here)
        sum_CR.addmm_(e[:, columns].T.to(sum_CR.dtype), x_TR.to(sum_CR.dtype))


def pairwise(a: tuple[Tensor, Tensor, Sequence[int]], b: tuple[Tensor, Tensor, Sequence[int]], head: Head) -> Tensor:
    """<G(i), G(j)> [rows of a, rows of b], exact; a and b are states [T, D], tokens [T] and row lengths.

    It costs a product of all tokens of a with all tokens of b over the vocabulary, so it is meant for small sets.
    """
    (h_SD, y_S, lengths_a), (h_TD, y_T, lengths_b) = a, b
    pairs_ST = token_pairs((h_SD, y_S), (h_TD, y_T), head)
    return torch.stack([
        torch.stack([block.sum() for block in rows.split(list(lengths_b), dim=1)])
        for rows in pairs_ST.split(list(lengths_a))
    ])  # fmt: skip


def token_pairs(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], head: Head) -> Tensor:
    """(h_s . h_t) (e_s . e_t) [S, T] of states [S, D] and tokens [S] with states [T, D] and tokens [T]."""
    (h_SD, y_S), (h_TD, y_T) = a, b
    dots_ST = h_SD.new_zeros(len(y_S), len(y_T))
    size = max(256, BUDGET // max(len(y_S), len(y_T)))
    chunks_a = error_chunks(h_SD, y_S, head, errors(h_SD, y_S, head), size)
    chunks_b = error_chunks(h_TD, y_T, head, errors(h_TD, y_T, head), size)
    for (_, e_SC), (_, e_TC) in zip(chunks_a, chunks_b, strict=True):
        dots_ST.addmm_(e_SC, e_TC.T)
    return dots_ST.mul_(h_SD @ h_TD.T)


def _product(h_TD: Tensor, weight_CD: Tensor) -> Tensor:
    """h W^T in the dtype of h. Factors in half precision are multiplied in half precision and summed in float32."""
    if weight_CD.dtype == h_TD.dtype:
        return h_TD @ weight_CD.T
    if weight_CD.is_cuda and weight_CD.dtype in (torch.bfloat16, torch.float16):
        return torch.mm(h_TD.to(weight_CD.dtype), weight_CD.T, out_dtype=torch.float32)
    return (h_TD.to(weight_CD.dtype) @ weight_CD.T).to(h_TD.dtype)  # no CPU kernel gives the sums unrounded


def _groups(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of adjacent rows of the same length: (rows, length)."""
    edges = [0, *(i for i in range(1, len(lengths)) if lengths[i] != lengths[i - 1]), len(lengths)]
    return [(stop - start, lengths[start]) for start, stop in neighbours(edges)]


def _rows(x: Tensor, groups: list[tuple[int, int]]) -> list[Tensor]:
    """[T, ...] as one tensor [rows, length, ...] per group."""
    if not groups:
        return []
    parts = x.split([n * length for n, length in groups])
    return [part.unflatten(0, (n, length)) for part, (n, length) in zip(parts, groups, strict=True)]


def _self_values(
    h_TD: Tensor,
    y_T: Tensor,
    head: Head,
    groups: list[tuple[int, int]],
    *,
    dots: list[Tensor],
    log_total_T: Tensor,
    push_T: Tensor,
    fraction_T: Tensor,
) -> list[float]:
    """sum_{s,t} (h_s . h_t) (e_s . e_t) of each row.

    e_s . e_t is push_s push_t where both have the same label; else each token's push meets the other's probability of
    that label. The sum over all other tokens of the vocabulary, which is in `dots`, is added.
    """
    squares: list[float] = []
    parts = (_rows(x, groups) for x in (h_TD, y_T, log_total_T, push_T, fraction_T))
    for h, y, log_total, push, fraction, dot in zip(*parts, dots, strict=True):
        same = y[:, :, None] == y[:, None]
        z = head.some_logits(h, y)
        pull = (z - log_total[:, :, None]).exp() * head.slope(z)  # minus e_s[y_t] where y_s != y_t
        across = torch.where(same, 0, push[:, None] * pull)
        pairs = torch.where(same, push[:, :, None] * push[:, None], 0) - across - across.mT
        pairs += dot * (fraction[:, :, None] * fraction[:, None])
        squares += ((h @ h.mT) * pairs).sum((1, 2)).tolist()
    return squares
