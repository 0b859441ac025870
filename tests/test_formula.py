"""The value is exact: autograd is the judge."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from oresight.tasks.scoring.formula import Directions, Head, errors, gradient, pairwise
from oresight.tasks.scoring.forward import Answers
from oresight.tasks.scoring.reference import fit, heavy_tokens


def by_autograd(h: Tensor, y: Tensor, head: Head) -> Tensor:
    """Minus the gradient of the summed cross-entropy by the head's weight."""
    weight = head.weight_VD.detach().clone().requires_grad_()
    z = head.scale * (h @ weight.T + (0 if head.bias_V is None else head.bias_V))
    z = z if head.cap is None else head.cap * torch.tanh(z / head.cap)
    loss = torch.nn.functional.cross_entropy(z, y, reduction="sum")
    return -torch.autograd.grad(loss, weight)[0]


HEADS = {
    "plain": {},
    "scaled": {"scale": 0.0625},
    "soft-capped": {"cap": 3.0},
    "scaled and soft-capped": {"scale": 2.5, "cap": 5.0},
    "biased": {"bias": True},
    "scaled and biased": {"scale": 0.5, "bias": True},
}


def a_head(
    generator: torch.Generator, v: int, d: int, scale: float = 1.0, cap: float | None = None, bias: bool = False
) -> Head:
    weight = torch.randn(v, d, generator=generator, dtype=torch.float64)
    return Head(weight, scale, cap, torch.randn(v, generator=generator, dtype=torch.float64) if bias else None)


def everything(g: Tensor) -> Directions:
    return Directions(torch.arange(len(g)), g)


@pytest.mark.parametrize("kind", HEADS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_value_tokens_self_value_and_pairs_are_those_of_autograd(kind: str, data: st.DataObject) -> None:
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10_000)))
    v, d = data.draw(st.integers(2, 40)), data.draw(st.integers(1, 12))
    lengths = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    chunk = data.draw(st.integers(1, 41))
    head = a_head(generator, v, d, **HEADS[kind])
    h = torch.randn(sum(lengths), d, generator=generator, dtype=torch.float64) * data.draw(
        st.sampled_from([0.1, 1.0, 30.0])
    )
    y = torch.randint(0, v, (sum(lengths),), generator=generator)
    if data.draw(st.booleans()):  # identical rows
        h, y, lengths = h.repeat(2, 1), y.repeat(2), lengths * 2
    tokens = torch.tensor(sorted(data.draw(st.sets(st.integers(0, v - 1), min_size=1))))
    u = torch.randn(len(tokens), d, generator=generator, dtype=torch.float64)

    found = errors(h, y, head, Directions(tokens, u), lengths=lengths, chunk=chunk)
    assert found.along_TR is not None and found.self_values is not None
    v_t = (found.along_TR * h).sum(1)
    summed = torch.zeros(v, d, dtype=torch.float64)
    gradient(h, y, head, everything(summed), chunk=chunk)
    pairs = pairwise((h, y, lengths), (h, y, lengths), head)

    g = torch.zeros(v, d, dtype=torch.float64)
    g[tokens] = u
    by_token = [by_autograd(h[t : t + 1], y[t : t + 1], head) for t in range(len(y))]
    by_row = [sum(by_token[t] for t in part) for part in torch.arange(len(y)).split(lengths)]
    # Autograd loses 1 - p to rounding where p is near one; ours does not.
    size = max(float(sum(x.abs().sum() for x in by_token)), 1e-4 * float(h.abs().max()))
    torch.testing.assert_close(v_t, torch.stack([(x * g).sum() for x in by_token]), rtol=1e-9, atol=1e-11 * size)
    torch.testing.assert_close(summed, sum(by_token), rtol=1e-9, atol=1e-11 * size)
    exact = torch.stack([torch.stack([(x * z).sum() for z in by_row]) for x in by_row])
    torch.testing.assert_close(pairs, exact, rtol=1e-9, atol=1e-11 * size**2)
    squares = torch.tensor(found.self_values, dtype=torch.float64)
    torch.testing.assert_close(squares, exact.diagonal(), rtol=1e-9, atol=1e-11 * size**2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_probability_of_zero_or_one_gives_no_nan(dtype: torch.dtype) -> None:
    weight = torch.tensor([[400.0], [-400.0], [0.0]]).to(dtype)
    h, y = torch.tensor([[1.0], [1.0], [-1.0]]), torch.tensor([0, 1, 1])  # certain and right, certain and wrong
    found = errors(h, y, Head(weight), everything(torch.ones(3, 1)), lengths=[2, 1], chunk=2)
    assert found.along_TR is not None and found.self_values is not None
    for numbers in (found.logprob_T, found.along_TR, found.push_T, torch.tensor(found.self_values)):
        assert torch.isfinite(numbers).all()
    assert found.logprob_T.tolist() == pytest.approx([0, -800, 0])


def test_the_push_of_a_nearly_certain_token_keeps_its_digits() -> None:
    """1 - p is 1e-9 here: one minus the probability in float32 would be zero."""
    weight = torch.tensor([[math.log(1e9)], [0.0]])
    found = errors(torch.ones(1, 1), torch.tensor([0]), Head(weight), chunk=2)
    assert float(found.push_T) == pytest.approx(1e-9, rel=1e-5)


def some_answers(generator: torch.Generator, head: Head, rows: int, kinds: Tensor) -> Answers:
    """Rows of four tokens whose states lie close to few directions, as those of a language model do."""
    directions = torch.randn(len(kinds), head.weight_VD.shape[1], generator=generator, dtype=torch.float64)
    mixed = torch.randn(rows * 4, len(kinds), generator=generator, dtype=torch.float64) * kinds
    y = torch.randint(0, len(head.weight_VD), (rows * 4,), generator=generator)
    h_TD = mixed @ directions
    return Answers(list(range(rows)), h_TD, y, [4] * rows, h_TD[::4])


def test_the_cheap_form_stays_within_its_tolerance_and_zero_is_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    head = a_head(generator, 500, 96)
    kinds = 0.8 ** torch.arange(96, dtype=torch.float64)
    everyone = some_answers(generator, head, 90, kinds)
    parts = [
        Answers(list(range(30)), everyone.h_TD[a : a + 120], everyone.y_T[a : a + 120], [4] * 30, everyone.text_ND[:30])
        for a in (0, 120, 240)
    ]
    reference, probe, others = parts
    exact, cheap = fit(head, [reference], probe=[probe], tolerance=0.03)
    assert exact.b_rD is None and cheap.b_rD is not None and cheap.rank < 48
    assert cheap.deviation <= 0.03
    values = {}
    for name, form in (("exact", exact), ("cheap", cheap)):
        along = errors(others.h_TD, others.y_T, head, form.along).along_TR
        assert along is not None
        values[name] = (along * form.states(others.h_TD)).sum(1).view(30, 4).sum(1)
    off = (values["exact"] - values["cheap"]).abs().max() / values["exact"].abs().max()
    assert 0 < off < 0.09  # rows that the form was not chosen on
    again = fit(head, [reference], probe=[others], tolerance=0.03, form=(cheap.tokens, cheap.rank))[1]
    torch.testing.assert_close(again.along.u_AR, cheap.along.u_AR)
    same, also = fit(head, [reference], probe=[probe], tolerance=0)
    assert same is also and same.residual == same.deviation == 0
    mean = torch.zeros(500, 96, dtype=torch.float64)
    gradient(reference.h_TD, reference.y_T, head, everything(mean))
    torch.testing.assert_close(same.along.u_AR, mean / 30)


def test_where_the_whole_gradient_has_no_room_the_tokens_that_weigh_most_are_taken() -> None:
    generator = torch.Generator().manual_seed(0)
    head = a_head(generator, 50, 4)
    h = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    part = Answers([0, 1], h, torch.tensor([3, 3, 7, 7, 9, 9]), [3, 3], h[:2])
    mass = sum(by_autograd(h[t : t + 1], part.y_T[t : t + 1], head).norm(dim=1) for t in range(6))
    assert heavy_tokens([part], head, 12 * 4).tolist() == mass.topk(12).indices.sort().values.tolist()
    assert heavy_tokens([part], head, 200).tolist() == list(range(50))


def test_a_reference_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="none of its rows can be scored"):
        fit(Head(torch.ones(3, 2)), [], probe=[], tolerance=0)
