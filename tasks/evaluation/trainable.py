"""A model whole, as a finetune trains it, and rows as batches for it. Everything else in this folder only looks."""

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

from oresight.tasks.scoring.model import devices, load_pretrained
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.source import Source, UnusableModel
from oresight.tasks.scoring.vision import Vision

IGNORED = -100
"""The label of a token that is no answer, for transformers and for torch."""
RANK = 8
"""Of LoRA matrices, on all linear layers but the head."""


@dataclass
class Trainable:
    """A causal model with its head, and what feeds it."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    vision: Vision | None
    device: torch.device
    positions: int | None
    keeps: bool
    """Whether the model computes the last logits alone when it is told to."""

    def batch(self, rows: Sequence[Encoded]) -> dict[str, Any]:
        """What the model is called with: ids and mask [N, L], padded on the right, the rows' pictures, and labels
        [N, K] from where the first answer of these rows is predicted, before which no logit is computed.
        """
        ids = [torch.tensor(row.ids) for row in rows]
        labels = [torch.tensor([IGNORED] * row.start + row.answer) for row in rows]
        batch: dict[str, Any] = {
            "input_ids": pad_sequence(ids, batch_first=True),
            "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        }
        if self.vision is not None:
            longest = batch["input_ids"].shape[1]
            batch |= self.vision.inputs([row.pictures for row in rows], [row.token_types for row in rows], longest)
        if self.keeps:
            batch["labels"] = batch["labels"][:, min(row.start for row in rows) - 1 :]
            batch["logits_to_keep"] = batch["labels"].shape[1]
        return batch

    def placed(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch where the model is."""
        return {name: one.to(self.device) if isinstance(one, Tensor) else one for name, one in batch.items()}

    def losses(self, batch: Mapping[str, Any]) -> Tensor:
        """The summed cross-entropy of each row's answer tokens [N], in float32."""
        output = self.model(**{name: one for name, one in batch.items() if name != "labels"})
        logits = output.logits[:, :-1].float().transpose(1, 2)  # at position i they are for the label at i + 1
        return cross_entropy(logits, batch["labels"][:, 1:], reduction="none", ignore_index=IGNORED).sum(1)


def trainable(source: Source, device: str = "auto", *, lora: bool = True, seed: int = 0) -> Trainable:
    """The model in float32, with LoRA matrices on its linear layers, of which alone then has gradients, or plain.

    Raises UnusableModel if the model cannot be loaded, or is not a decoder alone.
    """
    from peft import LoraConfig, get_peft_model

    place = torch.device(devices(device)[0])
    model, tokenizer, vision = load_pretrained(source, torch.float32)
    if model.config.is_encoder_decoder:
        raise UnusableModel(f"model.name: {source.name} has an encoder; finetunes are of decoders alone")
    config = model.config.get_text_config(decoder=True)
    keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
    if lora:
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of names that transformers will not have any more
            model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"))
    positions = getattr(config, "max_position_embeddings", None)
    return Trainable(model.to(place), tokenizer, vision, place, positions, keeps)
