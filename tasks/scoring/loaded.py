"""A loaded model: its body, which computes states, its head, which we compute ourselves, and its tokenizer."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase
from transformers.cache_utils import Cache, DynamicLayer

from oresight.tasks.scoring.formula import Head
from oresight.tasks.scoring.parallel import Followers, Past
from oresight.tasks.scoring.precision import MIXED, mixing
from oresight.tasks.scoring.spread import Spread
from oresight.tasks.scoring.vision import Vision


def weighted_sum(h_NLD: Tensor, lengths: Sequence[int], skipped: int = 0) -> Tensor:
    """Each row's sum of its states, position i weighted by i + 1: [N, D] in float32 (float64 for a float64 model).

    lengths: how many positions count; padding does not. skipped: positions of the text before these.
    """
    wide_NLD = h_NLD if h_NLD.dtype == torch.float64 else h_NLD.float()
    at_L = torch.arange(h_NLD.shape[1], device=h_NLD.device)
    inside_NL = at_L < torch.tensor(lengths, device=h_NLD.device)[:, None]
    weight_NL = torch.where(inside_NL, at_L + skipped + 1, 0).to(wide_NLD.dtype)
    return torch.bmm(weight_NL[:, None], wide_NLD)[:, 0]


@dataclass
class Loaded:
    """A model that is ready to score."""

    body: nn.Module
    """The transformers model without its head. A call leaves the head's input in `tap`."""
    tap: "Tap"
    head: Head
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    dtype: torch.dtype
    """The dtype of the head and of the states."""
    is_mixed: bool = False
    """Whether the body multiplies in bfloat16."""
    start_token: int | None = None
    """The first token of an encoder-decoder model's decoder; None for a decoder-only model."""
    positions: int | None = None
    """The most tokens that a row may have, where the model states a limit."""
    vision: Vision | None = None
    """The processor of a vision-language model."""
    shares: bool = False
    """Whether rows may share the keys and values of a prefix. This is tried when the model is loaded."""
    followers: Followers | None = None
    """The processes that share the model with this one."""
    spread: Spread | None = None
    """Where the layers are, if they are not all on the head's device."""
    _prefix: tuple[list[int], Cache, list[Any], Tensor] | None = field(default=None, repr=False)
    """The last shared prefix: its key, its keys and values, the positions where it ends (M-RoPE), and the weighted sum
    of its states."""

    @property
    def dtype_name(self) -> str:
        """The dtype as `model.dtype` takes it."""
        return MIXED if self.is_mixed else str(self.dtype).removeprefix("torch.")

    @property
    def device_name(self) -> str:
        """The type of the device, and of how many if several share the model: `cuda x 4`."""
        return f"{self.device.type} x {self.followers.size}" if self.followers else self.device.type

    def engines(self, devices: Sequence[str]) -> list[str]:
        """The names of the devices that score side by side, of those there are: one if they share the model."""
        return [self.device_name] if self.followers or self.spread else list(devices)

    @property
    def places(self) -> str:
        """Where the layers are, in words, if they are not all on one device; else empty."""
        places = self.spread.places(self.body) if self.spread else []
        return f", its layers on {', '.join(places)}" if places else ""

    @property
    def kept_prefix(self) -> Cache | None:
        """Keys and values of the latest prefix."""
        return self._prefix[1] if self._prefix else None

    def states(
        self,
        ids_NL: Tensor,
        *,
        past: Cache | None = None,
        lengths: list[int] | None = None,
        decoder: Tensor | None = None,
        pictures: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The head's input [N, L, D], in the body's dtype.

        past: keys and values of the ids before these. pictures: the inputs for the rows' pictures. For an
        encoder-decoder model, ids [N, any] of the given lengths go to the encoder, and L counts the decoder's ids.
        """
        inputs: dict[str, Any] = {"input_ids": ids_NL.to(self.device), "use_cache": past is not None}
        for name, value in (pictures or {}).items():
            inputs[name] = value.to(self.device, self.dtype if value.is_floating_point() else None)
        if self.vision is not None:
            rope_deltas = self._prefix[2] if self._prefix and past is self.kept_prefix else None
            for i, module in enumerate(self._rope_modules()):
                module.rope_deltas = rope_deltas[i] if rope_deltas else None
        if past is not None:
            inputs["past_key_values"] = past
        if decoder is not None:
            inside = torch.arange(ids_NL.shape[1]) < torch.tensor(lengths)[:, None]
            inputs |= {"attention_mask": inside.long().to(self.device), "decoder_input_ids": decoder.to(self.device)}
        with self.running(), self._followed(ids_NL, past, pictures or {}):
            self.body(**inputs)
        return self.tap.take().to(self.device, self.dtype)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, the body can be called: without gradients, and with its kind of products."""
        with torch.inference_mode(), mixing(self.device, enabled=self.is_mixed):
            yield

    def _followed(
        self, ids_NL: Tensor, past: Cache | None, pictures: Mapping[str, Tensor]
    ) -> AbstractContextManager[None]:
        """Where processes share the model, the others run the body too."""
        if self.followers is None:
            return nullcontext()
        kept = Past.KEPT if past is self.kept_prefix else Past.EMPTY
        return self.followers.running_body(ids_NL, Past.NOTHING if past is None else kept, pictures)

    def prefix(
        self, ids: list[int], key: list[int] | None = None, pictures: Mapping[str, Tensor] | None = None
    ) -> Cache:
        """Keys and values of a prefix, which all rows of a batch share. The latest prefix is kept.

        key: where there are pictures, the ids with the pictures' content in place (Encoded.key). pictures: the inputs
        for those pictures.
        """
        key = ids if key is None else key
        if self._prefix is None or self._prefix[0] != key:
            cache = Cache(layer_class_to_replicate=DynamicLayer)
            h_1LD = self.states(torch.tensor([ids]), past=cache, pictures=pictures)
            ends = [module.rope_deltas for module in self._rope_modules()]
            shared = Cache(layers=[SharedLayer(layer.keys, layer.values) for layer in cache.layers])
            self._prefix = key, shared, ends, weighted_sum(h_1LD, [len(ids)])
        return self._prefix[1]

    @property
    def prefix_sum(self) -> Tensor:
        """The `weighted_sum` of the states of the latest prefix [1, D]."""
        assert self._prefix is not None, "no prefix was computed"
        return self._prefix[3]

    def _rope_modules(self) -> list[Any]:
        """Modules that shift positions by the pictures before them (M-RoPE), and remember the shift."""
        return [module for module in self.body.modules() if hasattr(module, "rope_deltas")]

    def clear(self) -> None:
        """Drop what is kept from one batch to the next."""
        self._prefix = None
        self.tap.kept = None

    def close(self) -> None:
        """End the processes that share the model."""
        if self.followers:
            self.followers.stop()

    def release(self) -> None:
        """Free the memory that is not needed between two batches."""
        self.clear()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class Tap(nn.Module):
    """Takes the head's place in the model and keeps the head's exact input, for every architecture."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight[:0]  # some models read the dtype of their head's weight
        self.kept: Tensor | None = None
        """The head's input of the last call."""
        self.answer: Tensor | None = None
        """Logits to return, when the model's handling of logits is tested."""
        self.width = 0
        """Vocabulary of the logits that are returned otherwise; 0 unless the model needs them."""

    def forward(self, h: Tensor) -> Tensor:
        self.kept = h
        if self.answer is not None:
            return self.answer
        # Logits of an empty vocabulary cost the model nothing. A model that needs real ones gets zeros of `width`.
        return h[..., :0] if self.width == 0 else h.new_zeros(1).expand(*h.shape[:-1], self.width)

    def take(self) -> Tensor:
        assert self.kept is not None, "the model did not call its head"
        kept, self.kept = self.kept, None
        return kept


class SharedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [1, heads, prefix, width] that every row of a batch attends to. They do not grow."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        """The prefix followed by the new keys and values, for this batch only."""
        n = len(key_states)
        return (
            torch.cat([self.keys.expand(n, -1, -1, -1), key_states], dim=-2),
            torch.cat([self.values.expand(n, -1, -1, -1), value_states], dim=-2),
        )
