"""Finetune by transformers' Trainer and measure loss and answers on a test set: the worth of a choice of rows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from tempfile import TemporaryDirectory

import numpy as np
import torch

from oresight.tasks.evaluation.trainable import ModelSpec, Trainable, trainable
from oresight.tasks.scoring.parts import PROBE, PROBE_TEXT, take_apart
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.signals import mean_logprobs

ANSWERED = 16
"""Test rows that are answered together."""
ROOM = 8
"""Tokens that an answer may have more than the longest right answer beside it."""
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Recipe:
    """How a model is finetuned. Field names stand in the conditions of results."""

    lora: bool
    """Train LoRA matrices only; False trains all weights."""
    rate: float
    """The highest learning rate; it decays linearly to 0."""
    rows_a_step: int = 4
    """Batch size."""
    epochs: int = 1


@dataclass(frozen=True)
class TestRow:
    """A row that a finetuned model is tested on."""

    __test__ = False  # pytest takes the name for a class of tests
    ids: Encoded
    answer: str


@dataclass(frozen=True)
class Outcome:
    """What a finetuned model does on test rows."""

    losses: list[float]
    """Mean cross-entropy of each test row's answer tokens, in nats."""
    loss: float
    """The mean over all answer tokens of the test rows."""
    exact: float | None = None
    """Share of the test rows that are answered exactly right; None if it was not asked for."""


def outcome_after(
    model: ModelSpec,
    rows: Sequence[Encoded],
    test: Sequence[TestRow],
    recipe: Recipe,
    seed: int,
    metric: str | None = None,
) -> Outcome:
    """Train a model on the rows' answers and test it. metric: 'exact' to let it answer the test rows too.

    Without rows the model is measured as it is. The seed decides the LoRA matrices and the order of the rows.
    """
    made = trainable(model.source, model.device, lora=recipe.lora and bool(rows), seed=seed)
    if rows:
        _train(made, rows, recipe, seed)
    trained = made.model.merge_and_unload() if recipe.lora and rows else made.model
    made.model = trained.eval()
    exact = share_exact(made, test) if metric == "exact" else None
    probe = list(made.tokenizer(PROBE_TEXT)["input_ids"])[:PROBE]
    with torch.no_grad():
        loaded = take_apart(made.model, made.tokenizer, model.source.name, probe, made.vision)
    encoded = [row.ids for row in test]
    losses = [-mean for mean in mean_logprobs(loaded, encoded, 4096)]
    return Outcome(losses, float(np.average(losses, weights=[len(row.answer) for row in encoded])), exact)


def _train(made: Trainable, rows: Sequence[Encoded], recipe: Recipe, seed: int) -> None:
    """Train the model in place."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    on_cpu = made.device.type == "cpu"
    with TemporaryDirectory(prefix="oresight-finetune-") as folder:
        arguments = TrainingArguments(
            output_dir=folder, learning_rate=recipe.rate, per_device_train_batch_size=recipe.rows_a_step,
            num_train_epochs=recipe.epochs, seed=seed, data_seed=seed, use_cpu=on_cpu,
            bf16=_trains_in_bfloat16(made.device),
            save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
            remove_unused_columns=False, dataloader_pin_memory=not on_cpu,
        )  # fmt: skip
        trainer = Trainer(made.model, arguments, train_dataset=list(rows), data_collator=made.batch)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        # The trainer wraps the model in a half-precision forward; the loss is that of the model without it.
        made.model = trainer.accelerator.unwrap_model(made.model, keep_fp32_wrapper=False)


def share_exact(made: Trainable, test: Sequence[TestRow]) -> float:
    """Share of the test rows whose greedy answer is the right one, after `normalised`."""
    right = 0
    for group in _alike(made, test):
        answers = _greedy(made, [row.ids for row in group])
        right += sum(is_same_answer(answer, row.answer) for answer, row in zip(answers, group, strict=True))
    return right / len(test)


def _alike(made: Trainable, test: Sequence[TestRow]) -> list[list[TestRow]]:
    """Rows that are answered together: of similar length, and of equal length where there are pictures to place."""
    ordered = sorted(test, key=lambda row: row.ids.start)
    if made.vision is None:
        return [ordered[i : i + ANSWERED] for i in range(0, len(ordered), ANSWERED)]
    return [list(group) for _, group in groupby(ordered, key=lambda row: row.ids.start)]


def _greedy(made: Trainable, rows: Sequence[Encoded]) -> list[str]:
    """The model's likeliest answer to each prompt, token by token."""
    longest = max(row.start for row in rows)
    ids_NL = torch.tensor([[0] * (longest - row.start) + row.ids[: row.start] for row in rows])
    mask_NL = torch.tensor([[0] * (longest - row.start) + [1] * row.start for row in rows])
    inputs = {"input_ids": ids_NL, "attention_mask": mask_NL}
    if made.vision is not None:
        types = [{name: ids[: row.start] for name, ids in row.token_types.items()} for row in rows]
        inputs |= made.vision.inputs([row.pictures for row in rows], types, longest)
    tokens = max(len(row.answer) for row in rows) + ROOM
    with torch.no_grad():
        made_NL = made.model.generate(
            **made.to_device(inputs), max_new_tokens=tokens, do_sample=False,
            pad_token_id=made.tokenizer.pad_token_id or made.tokenizer.eos_token_id or 0,
        )  # fmt: skip
    return list(made.tokenizer.batch_decode(made_NL[:, longest:], skip_special_tokens=True))


def is_same_answer(answer: str, right: str) -> bool:
    """Whether an answer is right. If the right one ends with a number after ####, the last numbers are compared."""
    if numbers := NUMBER.findall(right.rpartition("####")[2] if "####" in right else ""):
        given = NUMBER.findall(answer)
        return bool(given) and _number(given[-1]) == _number(numbers[-1])
    return normalised(answer) == normalised(right)


def normalised(text: str) -> str:
    """A text in lower case, with single spaces and without a full stop at its end."""
    return " ".join(text.casefold().split()).rstrip(".").rstrip()


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _trains_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 products in hardware; training then uses them."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
