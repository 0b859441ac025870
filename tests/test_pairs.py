"""Each method's products of rows with queries, judged by autograd on a small real model."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from oresight.tasks.evaluation.influence import plain_text
from oresight.tasks.evaluation.pairs import full_gradient, score_pairs
from oresight.tasks.evaluation.trainable import ModelSpec, Trainable, trainable
from oresight.tasks.evaluation.training import Recipe, TestRow, outcome_after, share_exact
from oresight.tasks.scoring.prompt import Encoded, encode
from oresight.tasks.scoring.source import Source, find
from oresight.tasks.workload.clock import peak_memory

DOLLY = (Path(__file__).parent / "data" / "dolly.jsonl").read_text().splitlines()


@pytest.fixture(scope="module")
def source(stories: Path) -> Source:
    return find(str(stories))


@pytest.fixture(scope="module")
def rows(source: Source) -> list[Encoded]:
    records = [json.loads(line) for line in DOLLY[:40]]
    turns = [
        [{"role": "user", "content": record["instruction"]}, {"role": "assistant", "content": record["output"]}]
        for record in records
    ]
    tokenizer = trainable(source, "cpu", lora=False).tokenizer
    return [encode(turn, None, tokenizer, 96) for turn in turns]


def gradients(model: Trainable, rows: list[Encoded], parameters: list[Tensor]) -> Tensor:
    """The gradient of each row's summed loss, computed by transformers, flattened [N, P]."""
    gradient_of = []
    for row in rows:
        labels = torch.tensor([[-100] * row.start + row.answer])
        loss = model.model(input_ids=torch.tensor([row.ids]), labels=labels).loss * len(row.answer)
        gradient_of.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    return torch.stack(gradient_of)


def test_value_and_cosine_are_products_of_the_heads_gradients(source: Source, rows: list[Encoded]) -> None:
    model = trainable(source, "cpu", lora=False)
    head = model.model.get_output_embeddings()
    head.weight = torch.nn.Parameter(
        head.weight.detach().clone()
    )  # a tied table would add the gradient of the embedding
    shorter = replace(rows[0], ids=rows[0].ids[:-3], end=rows[0].end - 3)  # the same row without its last tokens
    rows = [shorter, *rows[:11]]
    g = gradients(model, rows, [head.weight]).double()
    pairs = score_pairs("value", ModelSpec(source, "cpu", "float32"), rows[:7], rows[7:12])
    assert pairs.scores["value"] == pytest.approx((g[:7] @ g[7:].T).numpy(), rel=1e-3, abs=1e-3)
    unit = torch.nn.functional.normalize(g, dim=1)
    assert pairs.scores["value_cosine"] == pytest.approx((unit[:7] @ unit[7:].T).numpy(), abs=1e-4)
    assert pairs.seconds > 0 and pairs.peak_mb > 100


def test_the_memory_of_a_method_does_not_include_the_parent_process() -> None:
    held = np.ones(2**27)  # 1 GiB
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        assert process.submit(peak_memory).result() < held.nbytes <= peak_memory()


def test_full_gradients_are_products_of_all_parameters_with_the_mean(source: Source, rows: list[Encoded]) -> None:
    model = trainable(source, "cpu", lora=False)
    g = gradients(model, rows[:30], list(model.model.parameters())).double()
    expected = (g[:20] @ g[20:].mean(0)).numpy()
    products = full_gradient(model, rows[:20], rows[20:30])
    assert products == pytest.approx(expected, rel=1e-3, abs=1e-4 * np.abs(expected).max())


def test_kronfluences_gradient_products_are_those_of_the_lora_matrices(source: Source, rows: list[Encoded]) -> None:
    pytest.importorskip("kronfluence")
    model = trainable(source, "cpu")
    g = gradients(model, rows[:12], [p for name, p in model.model.named_parameters() if "lora_B" in name]).double()
    products = score_pairs("gradient", ModelSpec(source, "cpu", "float32"), rows[:7], rows[7:12]).scores["gradient"]
    assert products == pytest.approx((g[:7] @ g[7:].T).numpy(), rel=1e-3, abs=1e-2)


def test_every_method_is_an_inner_product_and_the_index_is_close_to_the_value(
    source: Source, rows: list[Encoded]
) -> None:
    pytest.importorskip("kronfluence")
    scores = {}
    for method in ("value", "index", "embedding cosine", "ekfac"):
        score = scores[method] = score_pairs(method, ModelSpec(source, "cpu", "float32"), rows, rows).scores[method]
        largest = np.abs(score).max()
        assert score == pytest.approx(score.T, rel=1e-2, abs=1e-3 * largest), method
        size = np.sqrt(np.diag(score))
        assert (score <= np.outer(size, size) * 1.001 + 1e-3 * largest).all(), "no row helps another more than itself"
    assert np.corrcoef(scores["index"].ravel(), scores["value"].ravel())[0, 1] > 0.85


def test_a_finetune_lowers_the_loss_of_its_rows_and_a_seed_decides_the_result(
    source: Source, rows: list[Encoded]
) -> None:
    spec = ModelSpec(source, "cpu")
    for recipe in (Recipe(lora=True, rate=3e-3, epochs=4), Recipe(lora=False, rate=1e-3, epochs=4)):
        before = losses_after(spec, [], rows[:8], recipe, seed=0)
        after = losses_after(spec, rows[:8], rows[:8], recipe, seed=0)
        assert np.mean(after) < np.mean(before) - 0.05
        assert losses_after(spec, rows[:8], rows[:8], recipe, seed=0) == pytest.approx(after, rel=1e-5)
    assert losses_after(spec, rows[:8], rows[:8], recipe, seed=1) != pytest.approx(after, rel=1e-5)


def losses_after(spec: ModelSpec, rows: list[Encoded], test: list[Encoded], recipe: Recipe, seed: int) -> list[float]:
    return outcome_after(spec, rows, [TestRow(row, "") for row in test], recipe, seed).losses


def test_answers_are_greedy_ones_whatever_rows_are_answered_beside(source: Source, rows: list[Encoded]) -> None:
    model = trainable(source, "cpu", lora=False)
    right = []
    for row in rows[:4]:
        made = model.model.generate(
            torch.tensor([row.ids[: row.start]]),
            max_new_tokens=max(len(r.answer) for r in rows[:4]) + 8,
            do_sample=False,
        )
        right.append(model.tokenizer.decode(made[0, row.start :], skip_special_tokens=True))
    answers = [*right[:3], "something else"]
    test = [TestRow(row, answer) for row, answer in zip(rows[:4], answers, strict=True)]
    assert share_exact(model, test) == 0.75


def test_the_loss_is_that_of_transformers(source: Source, rows: list[Encoded]) -> None:
    model = trainable(source, "cpu", lora=False)
    expected = []
    for row in rows[:6]:
        labels = torch.tensor([[-100] * row.start + row.answer])
        expected.append(model.model(input_ids=torch.tensor([row.ids]), labels=labels).loss.item())
    recipe = Recipe(lora=True, rate=1e-3)
    assert losses_after(ModelSpec(source, "cpu"), [], rows[:6], recipe, seed=0) == pytest.approx(expected, rel=1e-4)


def test_logits_before_the_first_answer_are_left_out_and_losses_stay_the_same(
    source: Source, rows: list[Encoded]
) -> None:
    model = trainable(source, "cpu", lora=False)
    plain = replace(model, skips_logits=False)
    batch, full_batch = model.batch(rows[:4]), plain.batch(rows[:4])
    output, expected = model.model(**batch), model.model(**full_batch)
    assert output.logits.shape[1] < expected.logits.shape[1] == batch["input_ids"].shape[1]
    assert output.loss.item() == pytest.approx(expected.loss.item(), rel=1e-6)
    assert model.losses(batch).tolist() == pytest.approx(plain.losses(full_batch).tolist(), rel=1e-6)


def test_all_tokens_of_a_plain_text_but_the_first_are_scored(source: Source) -> None:
    tokenizer = trainable(source, "cpu", lora=False).tokenizer
    row = plain_text("Once upon a time", tokenizer, 512)
    assert (row.start, row.end) == (1, len(row.ids)) and row.ids[0] == tokenizer.bos_token_id
    assert len(plain_text("Once upon a time " * 50, tokenizer, 20).ids) == 20
