"""Each method's products of rows with queries are what they say: autograd on a small real model is the judge."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from oresight.tasks.evaluation.pairs import full_gradient, paired
from oresight.tasks.evaluation.trainable import Trainable, trainable
from oresight.tasks.evaluation.training import Recipe, losses_after
from oresight.tasks.scoring.prompt import Encoded, encode, plain_text
from oresight.tasks.scoring.source import Source, find
from oresight.tasks.workload.cost import resident

DOLLY = (Path(__file__).parent / "data" / "dolly.jsonl").read_text().splitlines()


@pytest.fixture(scope="module")
def source(stories: Path) -> Source:
    return find(str(stories))


@pytest.fixture(scope="module")
def rows(source: Source) -> list[Encoded]:
    made = [json.loads(line) for line in DOLLY[:40]]
    turns = [
        [{"role": "user", "content": one["instruction"]}, {"role": "assistant", "content": one["output"]}]
        for one in made
    ]
    tokenizer = trainable(source, "cpu", lora=False).tokenizer
    return [encode(turn, None, tokenizer, 96) for turn in turns]


def gradients(made: Trainable, rows: list[Encoded], parameters: list[Tensor]) -> Tensor:
    """Each row's, of its summed loss by transformers' own way of computing it, flat [N, P]."""
    found = []
    for row in rows:
        labels = torch.tensor([[-100] * row.start + row.answer])
        loss = made.model(input_ids=torch.tensor([row.ids]), labels=labels).loss * len(row.answer)
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    return torch.stack(found)


def test_value_and_cosine_are_products_of_the_heads_gradients(source: Source, rows: list[Encoded]) -> None:
    made = trainable(source, "cpu", lora=False)
    head = made.model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone())  # the tied table is not the head's own gradient
    shorter = replace(rows[0], ids=rows[0].ids[:-3], end=rows[0].end - 3)  # the same tokens, but for the last
    rows = [shorter, *rows[:11]]
    g = gradients(made, rows, [head.weight]).double()
    found = paired("value", source, "cpu", "float32", rows[:7], rows[7:12])
    assert found.scores["value"] == pytest.approx((g[:7] @ g[7:].T).numpy(), rel=1e-3, abs=1e-3)
    unit = torch.nn.functional.normalize(g, dim=1)
    assert found.scores["value_cosine"] == pytest.approx((unit[:7] @ unit[7:].T).numpy(), abs=1e-4)
    assert found.seconds > 0 and found.peak_mb > 100


def test_a_methods_memory_is_not_that_of_the_process_which_asked() -> None:
    held = np.ones(2**27)  # 1 GiB
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        assert process.submit(resident).result() < held.nbytes <= resident()


def test_whole_gradients_are_products_of_all_parameters_with_the_mean(source: Source, rows: list[Encoded]) -> None:
    made = trainable(source, "cpu", lora=False)
    g = gradients(made, rows[:30], list(made.model.parameters())).double()
    expected = (g[:20] @ g[20:].mean(0)).numpy()
    found = full_gradient(made, rows[:20], rows[20:30])
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4 * np.abs(expected).max())


def test_kronfluences_gradient_products_are_those_of_the_lora_matrices(source: Source, rows: list[Encoded]) -> None:
    pytest.importorskip("kronfluence")
    made = trainable(source, "cpu")
    g = gradients(made, rows[:12], [p for name, p in made.model.named_parameters() if "lora_B" in name]).double()
    found = paired("gradient", source, "cpu", "float32", rows[:7], rows[7:12]).scores["gradient"]
    assert found == pytest.approx((g[:7] @ g[7:].T).numpy(), rel=1e-3, abs=1e-2)


def test_every_method_is_an_inner_product_and_the_index_is_close_to_the_value(
    source: Source, rows: list[Encoded]
) -> None:
    pytest.importorskip("kronfluence")
    scores = {}
    for method in ("value", "index", "embedding cosine", "ekfac"):
        score = scores[method] = paired(method, source, "cpu", "float32", rows, rows).scores[method]
        largest = np.abs(score).max()
        assert score == pytest.approx(score.T, rel=1e-2, abs=1e-3 * largest), method
        size = np.sqrt(np.diag(score))
        assert (score <= np.outer(size, size) * 1.001 + 1e-3 * largest).all(), "no row helps another more than itself"
    assert np.corrcoef(scores["index"].ravel(), scores["value"].ravel())[0, 1] > 0.85


def test_a_finetune_lowers_the_loss_of_what_it_is_trained_on_and_a_seed_decides_it(
    source: Source, rows: list[Encoded]
) -> None:
    for recipe in (Recipe(rate=3e-3, epochs=4), Recipe(lora=False, epochs=4)):
        before = losses_after(source, "cpu", [], rows[:8], recipe, 0)
        after = losses_after(source, "cpu", rows[:8], rows[:8], recipe, 0)
        assert np.mean(after) < np.mean(before) - 0.05
        assert losses_after(source, "cpu", rows[:8], rows[:8], recipe, 0) == pytest.approx(after, rel=1e-5)
    assert losses_after(source, "cpu", rows[:8], rows[:8], recipe, 1) != pytest.approx(after, rel=1e-5)


def test_the_loss_is_that_of_transformers(source: Source, rows: list[Encoded]) -> None:
    made = trainable(source, "cpu", lora=False)
    expected = []
    for row in rows[:6]:
        labels = torch.tensor([[-100] * row.start + row.answer])
        expected.append(made.model(input_ids=torch.tensor([row.ids]), labels=labels).loss.item())
    assert losses_after(source, "cpu", [], rows[:6], Recipe(), 0) == pytest.approx(expected, rel=1e-4)


def test_logits_before_the_first_answer_are_neither_computed_nor_missed(source: Source, rows: list[Encoded]) -> None:
    made = trainable(source, "cpu", lora=False)
    plain = replace(made, keeps=False)
    batch, whole = made.batch(rows[:4]), plain.batch(rows[:4])
    output, expected = made.model(**batch), made.model(**whole)
    assert output.logits.shape[1] < expected.logits.shape[1] == batch["input_ids"].shape[1]
    assert output.loss.item() == pytest.approx(expected.loss.item(), rel=1e-6)
    assert made.losses(batch).tolist() == pytest.approx(plain.losses(whole).tolist(), rel=1e-6)


def test_of_a_plain_text_all_tokens_are_scored_but_the_first(source: Source) -> None:
    tokenizer = trainable(source, "cpu", lora=False).tokenizer
    row = plain_text("Once upon a time", tokenizer, 512)
    assert (row.start, row.end) == (1, len(row.ids)) and row.ids[0] == tokenizer.bos_token_id
    assert len(plain_text("Once upon a time " * 50, tokenizer, 20).ids) == 20
