"""Load a complete model for training, and make batches of rows for it.

Scoring takes models apart; training needs them with their head.
"""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from oresight.tasks.runs.record import Run
from oresight.tasks.scoring.device import devices
from oresight.tasks.scoring.model import load_pretrained
from oresight.tasks.scoring.parts import positions_of
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.source import Source, UnusableModel
from oresight.tasks.scoring.vision import Vision

IGNORED = -100
"""The label that transformers and torch skip: it marks tokens that belong to no answer."""
RANK = 8
"""Rank of the LoRA matrices, which are on all linear layers but the head."""


@dataclass(frozen=True)
class ModelSpec:
    """Which model an evaluation loads, on which device and in which precision."""

    source: Source
    device: str = "auto"
    dtype: str = "auto"

    @staticmethod
    def of(run: Run) -> "ModelSpec":
        """The configured model of a run."""
        model = run.config.model
        return ModelSpec(run.model.files, model.device, model.dtype)


@dataclass
class Trainable:
    """A causal model with its head, its tokenizer and its picture processor."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    vision: Vision | None
    device: torch.device
    positions: int | None
    skips_logits: bool
    """Whether the model takes `logits_to_keep`, and so can leave out the logits before the answers."""

    def batch(self, rows: Sequence[Encoded]) -> dict[str, Any]:
        """The model's inputs for some rows: ids and mask [N, L], padded on the right, pictures, and labels [N, K].

        Labels start where the first answer of these rows is predicted: no logit before it is computed.
        """
        ids = [torch.tensor(row.ids) for row in rows]
        labels = [torch.tensor([IGNORED] * row.start + row.answer) for row in rows]
        batch: dict[str, Any] = {
            "input_ids": pad_sequence(ids, batch_first=True),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        }
        if self.vision is not None:
            longest = batch["input_ids"].shape[1]
            batch |= self.vision.inputs([row.pictures for row in rows], [row.token_types for row in rows], longest)
        if self.skips_logits:
            batch["labels"] = batch["labels"][:, min(row.start for row in rows) - 1 :]
            batch["logits_to_keep"] = batch["labels"].shape[1]
        return batch

    def to_device(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch on the model's device."""
        return {name: x.to(self.device) if isinstance(x, Tensor) else x for name, x in batch.items()}

    def losses(self, batch: Mapping[str, Any]) -> Tensor:
        """The summed cross-entropy of each row's answer tokens [N], in float32."""
        output = self.model(**{name: x for name, x in batch.items() if name != "labels"})
        logits = output.logits[:, :-1].float().transpose(1, 2)  # logits at position i predict the label at i + 1
        return cross_entropy(logits, batch["labels"][:, 1:], reduction="none", ignore_index=IGNORED).sum(1)


def trainable(source: Source, device: str = "auto", *, lora: bool = True, seed: int = 0) -> Trainable:
    """Load the model in float32, to be trained: with LoRA matrices on its linear layers, or with all its weights.

    With lora only the LoRA matrices have gradients. Raises UnusableModel if the model cannot be loaded or has an
    encoder.
    """
    from peft import LoraConfig, get_peft_model

    torch_device = torch.device(devices(device)[0])
    model, tokenizer, vision, _ = load_pretrained(source, "float32")
    if model.config.is_encoder_decoder:
        raise UnusableModel(f"model.name: {source.name} has an encoder; only decoders are finetuned")
    config = model.config.get_text_config(decoder=True)
    skips_logits = "logits_to_keep" in inspect.signature(model.forward).parameters
    if lora:
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # on names that transformers is about to remove
            model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"))
    return Trainable(
        model=model.to(torch_device),
        tokenizer=tokenizer,
        vision=vision,
        device=torch_device,
        positions=positions_of(config),
        skips_logits=skips_logits,
    )
