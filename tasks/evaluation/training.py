"""Finetune by transformers' Trainer and measure the loss on a test set: the worth of a choice of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import torch

from oresight.tasks.evaluation.trainable import ModelSpec, trainable
from oresight.tasks.scoring.model import PROBE, PROBE_TEXT, take_apart
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.signals import mean_logprobs


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


def losses_after(
    model: ModelSpec, rows: Sequence[Encoded], test: Sequence[Encoded], recipe: Recipe, seed: int
) -> list[float]:
    """Train a model on the rows' answers; returns the mean cross-entropy of each test row's answer tokens, in nats.

    Without rows the model is measured as it is. The seed decides the LoRA matrices and the order of the rows.
    """
    from transformers import PrinterCallback, Trainer, TrainingArguments

    made = trainable(model.source, model.device, lora=recipe.lora and bool(rows), seed=seed)
    on_cpu = made.device.type == "cpu"
    if rows:
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
    trained = made.model.merge_and_unload() if recipe.lora and rows else made.model
    probe = list(made.tokenizer(PROBE_TEXT)["input_ids"])[:PROBE]
    with torch.no_grad():
        loaded = take_apart(trained.eval(), made.tokenizer, model.source.name, probe, made.vision)
    return [-mean for mean in mean_logprobs(loaded, test, 4096)]


def _trains_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 products in hardware; training then uses them."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
