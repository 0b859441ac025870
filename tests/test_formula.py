"""The value is exact: autograd is the judge."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.scoring.formula import Factors, Head, errors, gradient, self_values, values
from tasks.scoring.reference import factored


def by_autograd(h: Tensor, y: Tensor, head: Head) -> Tensor:
    """Minus the gradient of the summed cross-entropy by the head's weight."""
    weight = head.weight_VD.detach().clone().requires_grad_()
    z = head.scale * h @ weight.T + (0 if head.bias_V is None else head.bias_V)
    z = z if head.cap is None else head.cap * torch.tanh(z / head.cap)
    loss = torch.nn.functional.cross_entropy(z, y, reduction="sum")
    return -torch.autograd.grad(loss, weight)[0]


HEADS = {
    "plain": {},
    "scaled": {"scale": 0.0625},
    "soft-capped": {"cap": 3.0},
    "scaled and soft-capped": {"scale": 2.5, "cap": 5.0},
    "biased": {"bias": True},
}


def a_head(
    generator: torch.Generator, v: int, d: int, scale: float = 1.0, cap: float | None = None, bias: bool = False
) -> Head:
    weight = torch.randn(v, d, generator=generator, dtype=torch.float64)
    return Head(weight, scale, cap, torch.randn(v, generator=generator, dtype=torch.float64) if bias else None)


@pytest.mark.parametrize("kind", HEADS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_value_tokens_and_self_value_are_those_of_autograd(kind: str, data: st.DataObject) -> None:
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10_000)))
    v, d = data.draw(st.integers(2, 40)), data.draw(st.integers(1, 12))
    lengths = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    chunk = data.draw(st.integers(1, 41))
    head = a_head(generator, v, d, **HEADS[kind])
    h = torch.randn(sum(lengths), d, generator=generator, dtype=torch.float64) * data.draw(
        st.sampled_from([0.1, 1.0, 30.0])
    )
    y = torch.randint(0, v, (sum(lengths),), generator=generator)
    g = torch.randn(v, d, generator=generator, dtype=torch.float64)

    found = errors(h, y, head, g, dots=True, vocab_chunk=chunk)
    v_t = values(found, h, Factors(g, None))
    row_t = torch.repeat_interleave(torch.tensor(lengths))
    squares = self_values(found, h, row_t, len(lengths))
    summed = torch.zeros_like(g)
    gradient(h, y, head, summed, vocab_chunk=chunk)

    by_token = [by_autograd(h[t : t + 1], y[t : t + 1], head) for t in range(len(y))]
    size = max(float(sum(x.abs().sum() for x in by_token)), 1e-30)
    torch.testing.assert_close(v_t, torch.stack([(x * g).sum() for x in by_token]), rtol=1e-9, atol=1e-11 * size)
    torch.testing.assert_close(summed, sum(by_token), rtol=1e-9, atol=1e-11 * size)
    for i, part in enumerate(torch.arange(len(y)).split(lengths)):
        exact = (sum(by_token[t] for t in part) ** 2).sum()
        torch.testing.assert_close(squares[i], exact, rtol=1e-9, atol=1e-11 * size**2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_probability_of_zero_or_one_gives_no_nan(dtype: torch.dtype) -> None:
    weight = torch.tensor([[400.0], [-400.0], [0.0]]).to(dtype)
    h, y = torch.tensor([[1.0], [1.0], [-1.0]]), torch.tensor([0, 1, 1])  # certain and right, certain and wrong
    found = errors(h, y, Head(weight), torch.ones(3, 1), dots=True, vocab_chunk=2)
    for numbers in (found.logprob_T, found.projected_Tr, found.dots_TT, found.push_T):
        assert numbers is not None and torch.isfinite(numbers).all()
    assert found.logprob_T.tolist() == pytest.approx([0, -800, 0])


def test_the_push_of_a_nearly_certain_token_keeps_its_digits() -> None:
    """1 - p is 1e-9 here: one minus the probability in float32 would be zero."""
    weight = torch.tensor([[math.log(1e9)], [0.0]])
    found = errors(torch.ones(1, 1), torch.tensor([0]), Head(weight), dots=False, vocab_chunk=2)
    assert float(found.push_T) == pytest.approx(1e-9, rel=1e-5)


def test_low_rank_stays_within_its_tolerance_and_zero_is_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    decay = 0.8 ** torch.arange(256, dtype=torch.float64)
    left = torch.linalg.qr(torch.randn(600, 256, generator=generator, dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(256, 256, generator=generator, dtype=torch.float64))[0]
    g = (left * decay) @ right.T
    found = factored(g, rows=3, tolerance=1e-3)
    assert found.factors.b_rD is not None
    missed = torch.linalg.matrix_norm(g - found.factors.u_Vr @ found.factors.b_rD) / torch.linalg.matrix_norm(g)
    assert float(missed) == pytest.approx(found.residual, rel=1e-3)
    assert found.residual <= 1e-3 < found.residual / 0.8  # one rank less would not do
    exact = factored(g, rows=3, tolerance=0)
    assert exact.factors.b_rD is None and exact.residual == 0 and exact.rank == 256
