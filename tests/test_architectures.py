"""In every architecture a row's numbers are those of autograd through the whole model."""

import copy
import random
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from oresight.tasks.scoring import forward
from oresight.tasks.scoring.engine import Options, open_engine
from oresight.tasks.scoring.formula import pairwise
from oresight.tasks.scoring.forward import Answers, visit
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.parts import take_apart
from oresight.tasks.scoring.precision import mix
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.signals import Signals
from oresight.tasks.scoring.source import UnusableModel
from tests.support.tiny import APART, FAMILIES, SHARING, V, Wide, build, widened

OPTIONS = Options(batch_tokens=60, rank_tolerance=0.0, conditional_gain=False)


@pytest.fixture(autouse=True)
def _sharing_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """These rows are so short and few that sharing would not pay, and would not be tried."""
    monkeypatch.setattr(forward, "SPLIT", 1)


def row(ids: Sequence[int], start: int) -> Encoded:
    return Encoded(list(ids), start, len(ids), list(ids[:1]))


def some_rows() -> list[Encoded]:
    """Rows that share a prefix and rows that do not, one of one answer token, two that are the same."""
    draw = random.Random(3)
    prefix = [draw.randrange(3, V) for _ in range(20)]
    ids = [[draw.randrange(3, V) for _ in range(n)] for n in (5, 12, 7, 9, 3, 14, 6, 8)]
    rows = [row([*prefix, *more], 22) for more in ids[:4]] + [row(more, 2) for more in ids[4:]]
    return [*rows, row(ids[5], len(ids[5]) - 1), row(ids[1], 4), row(ids[1], 4)]


def judged(model: Any) -> Any:
    """A copy in float64 with a head of its own, so that autograd sees the head's use of the weight only."""
    judge = widened(copy.deepcopy(model))
    old = judge.get_output_embeddings()
    head = torch.nn.Linear(old.weight.shape[1], old.weight.shape[0], bias=old.bias is not None, dtype=torch.float64)
    head.load_state_dict(old.state_dict())
    judge.set_output_embeddings(head)
    judge.requires_grad_(False)
    head.weight.requires_grad_()
    return judge


def by_token(judge: Any, one: Encoded, start_token: int | None, padding: int = 0) -> tuple[list[Tensor], Tensor]:
    """Minus the gradient of each answer token's cross-entropy by the head, and the tokens' log-probabilities."""
    if start_token is None:
        ids = torch.tensor([[0] * padding + one.ids])
        inputs = {"input_ids": ids, "use_cache": False}
        if padding:
            inputs["attention_mask"] = (torch.arange(ids.shape[1]) >= padding).long()[None]
        z = judge(**inputs).logits[0, padding + one.start - 1 : padding + one.end - 1]
    else:
        decoder = torch.tensor([[start_token, *one.answer[:-1]]])
        z = judge(input_ids=torch.tensor([one.ids[: one.start]]), decoder_input_ids=decoder, use_cache=False).logits[0]
    logs = z.log_softmax(-1)[torch.arange(len(one.answer)), torch.tensor(one.answer)]
    weight = judge.get_output_embeddings().weight
    return [torch.autograd.grad(log, weight, retain_graph=True)[0] for log in logs], logs.detach()


def joined(model: Loaded, rows: Sequence[Encoded]) -> tuple[Tensor, Tensor, list[int], list[int]]:
    parts = list(visit(model, rows, 50, lambda part: part))
    return (
        torch.cat([part.h_TD for part in parts]),
        torch.cat([part.y_T for part in parts]),
        [n for part in parts for n in part.lengths],
        [i for part in parts for i in part.rows],
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", FAMILIES)
def test_values_are_those_of_autograd_in_every_architecture(name: str, dtype: torch.dtype) -> None:
    with Wide() if dtype == torch.float64 else nullcontext():
        _compare(name, dtype)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_mixed_model_differs_by_little(name: str) -> None:
    rows, whole = some_rows(), build(name, torch.float32)
    mix(whole)
    plain, mixed = take_apart(build(name, torch.float32), None, name), take_apart(whole, None, name, is_mixed=True)  # type: ignore[arg-type]
    assert mixed.shares == plain.shares
    expected, found = (
        torch.tensor([[one.value, one.self_value, one.nll] for one in opened])
        for opened in (open_engine(model, rows[:5], rows[5:], OPTIONS).opening for model in (plain, mixed))
    )
    difference = (found - expected).abs().amax(0) / expected.abs().amax(0)
    assert 0 < difference.max() < 0.04


def _compare(name: str, dtype: torch.dtype) -> None:
    whole = build(name, dtype)
    judge = judged(whole)
    model = take_apart(whole, None, name)  # type: ignore[arg-type]
    rows, rtol = some_rows(), 1e-9 if dtype == torch.float64 else 1e-4
    exact = [by_token(judge, one, model.start_token) for one in rows]
    g = [sum(tokens) for tokens, _ in exact]
    gbar = torch.stack(g[:5]).mean(0)
    values = [float((x * gbar).sum()) for x in g]
    # A sum whose parts cancel is known as well as its largest part, not as well as itself.
    scale = [sum(float((x * gbar).sum().abs()) for x in tokens) for tokens, _ in exact]

    def check(found: Signals, i: int) -> None:
        tokens, logs = exact[i]
        assert found.value == pytest.approx(values[i], rel=rtol, abs=rtol * scale[i])
        assert found.token_values == pytest.approx(
            [float((x * gbar).sum()) for x in tokens], rel=rtol, abs=rtol * scale[i]
        )
        assert found.self_value == pytest.approx(float(g[i].square().sum()), rel=rtol)
        assert found.nll == pytest.approx(-float(logs.mean()), rel=rtol)
        assert found.worst_token == pytest.approx(float(logs.min()), rel=rtol)

    done = open_engine(model, rows[:5], rows[5:], OPTIONS)
    for one in done.reference:
        others = torch.stack([x for j, x in enumerate(g[:5]) if j != one.row]).mean(0)
        bound = rtol * max(float((g[one.row] * x).sum().abs()) for x in g[:5])
        assert one.value == pytest.approx(float((g[one.row] * others).sum()), rel=rtol, abs=bound)
    for one in done.opening:
        check(one, 5 + one.row)
    for sharing in {model.shares, False}:
        model.shares = sharing
        for batch in done.engine.score(rows):
            for one in batch:
                check(one, one.row)
        for batch in done.engine.score(rows[::-1]):
            for one in batch:
                check(one, len(rows) - 1 - one.row)
    for i in (0, 8):
        check(next(done.engine.score([rows[i]]))[0], i)
    h_TD, y_T, lengths, order = joined(model, rows)
    pairs = pairwise((h_TD, y_T, lengths), (h_TD, y_T, lengths), model.head)
    wanted = torch.stack([torch.stack([(g[i] * g[j]).sum() for j in order]) for i in order])
    sizes = wanted.diagonal().sqrt()
    assert float(((pairs - wanted).abs() / (sizes[:, None] * sizes)).max()) <= rtol


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prefix_is_shared_where_attention_is_all_there_is(name: str) -> None:
    model = take_apart(build(name, torch.float32), None, name)  # type: ignore[arg-type]
    assert model.shares == (name in SHARING) == (name not in APART)


@pytest.mark.parametrize("name", ["llama", "gpt2 (learned positions)", "opt (projected)", "gemma2 (capped, sliding)"])
def test_the_numbers_are_those_of_a_row_that_is_padded_on_the_left(name: str) -> None:
    with Wide():
        _compare_padded(name)


def _compare_padded(name: str) -> None:
    whole = build(name, torch.float64)
    judge = judged(whole)
    judge.set_attn_implementation("eager")  # the other one makes NaN of padding that sees nothing
    model = take_apart(whole, None, name)  # type: ignore[arg-type]
    if name.startswith("gpt2"):  # takes positions from the caller, and counts the padding if nobody says
        forward = judge.forward

        def counted(attention_mask: Tensor, **inputs: Any) -> Any:
            positions = (attention_mask.cumsum(-1) - 1).clamp_min(0)
            return forward(attention_mask=attention_mask, position_ids=positions, **inputs)

        judge.forward = counted
    rows = some_rows()
    done = open_engine(model, rows[:5], rows[5:], OPTIONS)
    g = [sum(by_token(judge, one, None, padding=4)[0]) for one in rows]
    gbar = torch.stack(g[:5]).mean(0)
    for one in done.opening:
        assert one.value == pytest.approx(float((g[5 + one.row] * gbar).sum()), rel=1e-9)


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_any_rows_in_any_batches_have_the_numbers_that_they_have_alone(data: st.DataObject) -> None:
    model = MODELS.setdefault("llama", take_apart(build("llama", torch.float64), None, "llama"))  # type: ignore[arg-type]
    prefix = data.draw(st.lists(st.integers(3, V - 1), max_size=24))
    lengths = st.tuples(st.lists(st.integers(0, V - 1), min_size=2, max_size=12), st.booleans(), st.integers(1, 11))
    drawn = data.draw(st.lists(lengths, min_size=2, max_size=8))
    rows = []
    for more, shared, answer in drawn:
        ids = [*prefix, *more] if shared else more
        rows.append(row(ids, max(1, len(ids) - answer)))
    reference = rows[: data.draw(st.integers(1, len(rows)))]
    options = Options(batch_tokens=data.draw(st.integers(1, 200)), rank_tolerance=0.0)
    engine = open_engine(model, reference, rows, options).engine
    found = {one.row: one for batch in engine.score(rows) for one in batch}
    for i, one in enumerate(rows):
        (alone,) = next(engine.score([one]))
        assert found[i].token_values == pytest.approx(alone.token_values, rel=1e-9, abs=1e-12)
        assert found[i].self_value == pytest.approx(alone.self_value, rel=1e-9)
        assert found[i].conditional_gain == pytest.approx(alone.conditional_gain, rel=1e-9, abs=1e-12)


MODELS: dict[str, Loaded] = {}


def test_a_head_that_is_not_ours_is_refused_with_a_sentence() -> None:
    uncapped = build("gemma2 (capped, sliding)", torch.float32)
    uncapped.config.final_logit_softcapping = 2.0
    model = copy.deepcopy(uncapped)
    uncapped.config.final_logit_softcapping = None
    kept = uncapped.forward

    def capped(*args: Any, **kwargs: Any) -> Any:
        out = kept(*args, **kwargs)
        out.logits = torch.tanh(out.logits)
        return out

    uncapped.forward = capped
    with pytest.raises(
        UnusableModel, match=r"gemma \(Gemma2ForCausalLM\) computes its logits .* its values would be wrong"
    ):
        take_apart(uncapped, None, "gemma")  # type: ignore[arg-type]
    assert take_apart(model, None, "gemma").head.cap == 2.0  # type: ignore[arg-type]

    small = build("llama", torch.float32)
    small.get_output_embeddings().weight.data.mul_(1e-4)  # so small that a cap would not show in its own logits
    forward = small.forward

    def softly(*args: Any, **kwargs: Any) -> Any:
        out = forward(*args, **kwargs)
        out.logits = 30 * torch.tanh(out.logits / 30)
        return out

    small.forward = softly
    with pytest.raises(UnusableModel, match="computes its logits from the last state in another way"):
        take_apart(small, None, "small")  # type: ignore[arg-type]


def test_a_model_without_a_head_of_plain_weights_is_refused() -> None:
    model = build("llama", torch.float32)
    model.set_output_embeddings(torch.nn.Identity())
    with pytest.raises(UnusableModel, match="no language-model head with one matrix of plain weights"):
        take_apart(model, None, "odd")  # type: ignore[arg-type]


def test_answers_are_cut_between_rows() -> None:
    part = Answers([4, 5, 6], torch.arange(9.0)[:, None], torch.arange(9), [2, 5, 2], torch.arange(3.0)[:, None])
    assert [(tile.rows, tile.lengths, tile.y_T.tolist(), tile.text_ND.tolist()) for tile in part.tiles(4)] == [
        ([4], [2], [0, 1], [[0]]), ([5], [5], [2, 3, 4, 5, 6], [[1]]), ([6], [2], [7, 8], [[2]])
    ]  # fmt: skip
    assert part.first().flatten().tolist() == [0, 2, 7]
