"""A model that is ready: the body that computes states, the head that we compute ourselves, and what feeds them."""

import gc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase
from transformers.cache_utils import Cache, DynamicLayer

from oresight.tasks.scoring.formula import Head
from oresight.tasks.scoring.vision import Vision


@dataclass
class Loaded:
    """A model that is ready to score."""

    body: nn.Module
    """The transformers model with its head taken off: called, it leaves the head's input in `tap`."""
    tap: "Tap"
    head: Head
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    dtype: torch.dtype
    start_token: int | None = None
    """What an encoder-decoder model's decoder begins with; None for a decoder alone."""
    positions: int | None = None
    """Tokens that a row may have, where the model says so."""
    vision: Vision | None = None
    """The processor of a model that sees."""
    shares: bool = False
    """Whether rows may share the keys and values of a prefix, which is tried when the model is loaded."""
    _prefix: tuple[list[int], Cache, list[Any]] | None = field(default=None, repr=False)
    """Ids, with the pictures' content in place, their keys and values, and the positions that they end at."""

    def states(
        self,
        ids_NL: Tensor,
        *,
        past: Cache | None = None,
        lengths: list[int] | None = None,
        decoder: Tensor | None = None,
        seen: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """What the head receives [N, L, D], in the body's dtype.

        past: keys and values of what precedes ids. seen: what the model needs of the rows' pictures. For an
        encoder-decoder model, ids [N, any] of the given lengths go to the encoder and L are the ids of the decoder.
        """
        inputs: dict[str, Any] = {"input_ids": ids_NL.to(self.device), "use_cache": past is not None}
        for name, value in (seen or {}).items():
            inputs[name] = value.to(self.device, self.dtype if value.is_floating_point() else None)
        if self.vision is not None:
            kept = self._prefix[2] if past is not None and self._prefix and past is self._prefix[1] else None
            for i, module in enumerate(self._turning()):
                module.rope_deltas = kept[i] if kept else None
        if past is not None:
            inputs["past_key_values"] = past
        if decoder is not None:
            inside = torch.arange(ids_NL.shape[1]) < torch.tensor(lengths)[:, None]
            inputs |= {"attention_mask": inside.long().to(self.device), "decoder_input_ids": decoder.to(self.device)}
        with torch.inference_mode():
            self.body(**inputs)
        return self.tap.take()

    def prefix(self, ids: list[int], key: list[int] | None = None, seen: Mapping[str, Tensor] | None = None) -> Cache:
        """Keys and values of a prefix, to be shared by all rows of a batch; the last one asked for is kept.

        key: the ids with the pictures' content in place, where there are pictures; seen: what the model needs of them.
        """
        key = ids if key is None else key
        if self._prefix is None or self._prefix[0] != key:
            fresh = Cache(layer_class_to_replicate=DynamicLayer)
            self.states(torch.tensor([ids]), past=fresh, seen=seen)
            ends = [module.rope_deltas for module in self._turning()]
            self._prefix = key, Cache(layers=[SharedLayer(layer.keys, layer.values) for layer in fresh.layers]), ends
        return self._prefix[1]

    def _turning(self) -> list[Any]:
        """Modules that count positions by the pictures before them (M-RoPE), and remember where they were."""
        return [module for module in self.body.modules() if hasattr(module, "rope_deltas")]

    def release(self) -> None:
        """Give back the memory that is not needed between two batches."""
        self._prefix = None
        self.tap.kept = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class Tap(nn.Module):
    """Stands where the head stood and keeps what the head would have received: exactly that, for every architecture."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight[:0]  # some models ask their head for its dtype
        self.kept: Tensor | None = None
        self.answer: Tensor | None = None
        """Logits to give instead of none."""
        self.width = 0

    def forward(self, h: Tensor) -> Tensor:
        self.kept = h
        if self.answer is not None:
            return self.answer
        # Logits of an empty vocabulary: what the model does with them costs nothing, except where it insists on them.
        return h[..., :0] if self.width == 0 else h.new_zeros(1).expand(*h.shape[:-1], self.width)

    def take(self) -> Tensor:
        assert self.kept is not None, "the model did not call its head"
        kept, self.kept = self.kept, None
        return kept


class SharedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [1, heads, prefix, width] that every row of a batch attends to, and that do not grow."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        """The prefix and what is new, for this batch only."""
        n = len(key_states)
        return (
            torch.cat([self.keys.expand(n, -1, -1, -1), key_states], dim=-2),
            torch.cat([self.values.expand(n, -1, -1, -1), value_states], dim=-2),
        )
