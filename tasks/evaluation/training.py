"""A finetune by transformers' Trainer, and the loss that is left on a test set: what a choice of rows is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import torch

from oresight.tasks.evaluation.trainable import trainable
from oresight.tasks.scoring.model import PROBE, PROBE_TEXT, take_apart
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.signals import mean_logprobs
from oresight.tasks.scoring.source import Source


@dataclass(frozen=True)
class Recipe:
    """How a finetune goes."""

    lora: bool
    """LoRA matrices alone are trained, or else all weights."""
    rate: float
    """The highest learning rate; it falls to 0 in a straight line."""
    rows_a_step: int = 4
    epochs: int = 1


def losses_after(
    source: Source, device: str, rows: Sequence[Encoded], test: Sequence[Encoded], recipe: Recipe, seed: int
) -> list[float]:
    """The mean cross-entropy of each test row's answer tokens, in nats, after training on the rows' answers; with no
    rows that of the model as it is. The seed decides the LoRA matrices and the order of the rows.
    """
    from transformers import PrinterCallback, Trainer, TrainingArguments

    made = trainable(source, device, lora=recipe.lora and bool(rows), seed=seed)
    on_cpu = made.device.type == "cpu"
    if rows:
        with TemporaryDirectory(prefix="oresight-finetune-") as folder:
            arguments = TrainingArguments(
                output_dir=folder, learning_rate=recipe.rate, per_device_train_batch_size=recipe.rows_a_step,
                num_train_epochs=recipe.epochs, seed=seed, data_seed=seed, use_cpu=on_cpu, bf16=_halves(made.device),
                save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
                remove_unused_columns=False, dataloader_pin_memory=not on_cpu,
            )  # fmt: skip
            trainer = Trainer(made.model, arguments, train_dataset=list(rows), data_collator=made.batch)
            trainer.remove_callback(PrinterCallback)
            trainer.train()
            # The trainer has put a forward in half precision in the model's place: the loss is that of the plain one.
            made.model = trainer.accelerator.unwrap_model(made.model, keep_fp32_wrapper=False)
    whole = made.model.merge_and_unload() if recipe.lora and rows else made.model
    probe = list(made.tokenizer(PROBE_TEXT)["input_ids"])[:PROBE]
    with torch.no_grad():
        done = take_apart(whole.eval(), made.tokenizer, source.name, probe, made.vision)
    return [-mean for mean in mean_logprobs(done, test, 4096)]


def _halves(device: torch.device) -> bool:
    """Whether products are computed in bfloat16 while training: where the device has them in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
