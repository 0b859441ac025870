"""Splits a loaded model into body and head, and tests both. Refuses a head that we cannot reproduce."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

from oresight.tasks.scoring.formula import Head
from oresight.tasks.scoring.loaded import Loaded, Tap
from oresight.tasks.scoring.picture import Picture
from oresight.tasks.scoring.prompt import Unscorable, encode
from oresight.tasks.scoring.source import UnusableModel
from oresight.tasks.scoring.spread import brought
from oresight.tasks.scoring.vision import Vision
from oresight.tasks.scoring.weights import require_varied

PROBE = 16
"""Tokens of the text on which our logits are compared with the model's."""
PROBE_TEXT = "Most of what is written here has been read twice: once by its author, and once by somebody who had to."
"""A plain sentence. On random ids the states of a model in half precision are chaotic."""


def take_apart(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    probe: list[int] | None = None,
    vision: Vision | None = None,
    *,
    is_mixed: bool = False,
    device: torch.device | None = None,
) -> Loaded:
    """Split a loaded model into body and head, and test both on the probe's ids.

    is_mixed: whether the model went through `mix`. device: where the head must be; by default where it is. Raises
    UnusableModel if our head does not give the model's logits.
    """
    head, start = _read_head(model, name, device)
    vocabulary, dtype = len(head.weight_VD), head.weight_VD.dtype
    ids = torch.tensor([probe or list(range(2, 2 + PROBE))]) % vocabulary
    decoder = None if start is None else ids
    tap = Tap(head.weight_VD)
    loaded = Loaded(
        body=model,
        tap=tap,
        head=head,
        tokenizer=tokenizer,
        device=head.weight_VD.device,
        dtype=dtype,
        is_mixed=is_mixed,
        start_token=start,
        positions=positions_of(model.config),
    )
    inputs = {"input_ids": ids.to(loaded.device), "use_cache": False}
    inputs |= {} if decoder is None else {"decoder_input_ids": decoder.to(loaded.device)}
    with loaded.running():
        theirs = require_varied(model(**inputs).logits[0], name)
        model.set_output_embeddings(tap)
        try:
            h = loaded.states(ids, lengths=[ids.shape[1]], decoder=decoder)
        except RuntimeError:
            tap.width = vocabulary
            h = loaded.states(ids, lengths=[ids.shape[1]], decoder=decoder)
        ours = torch.cat([z for _, z in head.chunks(h[0].to(dtype))], dim=1)
        # Logits of any size, put where the head's logits would be, show whether the model scales or caps them.
        tap.answer = torch.linspace(-60, 60, theirs.numel(), dtype=h.dtype, device=h.device).view(1, *theirs.shape)
        their_finish = model(**inputs).logits[0]
        our_finish = head.finished(tap.answer[0].clone())
        tap.answer = tap.kept = None
    tolerance = 5e-2 if is_mixed or dtype not in (torch.float32, torch.float64) else 1e-3
    for our_logits, their_logits in ((ours, theirs), (our_finish, their_finish)):
        _require_same(our_logits, their_logits, tolerance, f"{name} ({type(model).__name__})")
    loaded.shares = start is None and _can_share_prefix(loaded, ids, h, tolerance)
    if vision is not None:
        loaded.vision = vision
        loaded.shares &= _can_share_picture(loaded, name, tolerance)
    return loaded


def _read_head(model: Any, name: str, device: torch.device | None) -> tuple[Head, int | None]:
    """The head as our formula needs it, and the decoder's first token; None for a decoder-only model.

    device: where the head must be, if its layer may be elsewhere. Raises UnusableModel if the model lacks either.
    """
    module = model.get_output_embeddings()
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2 or not weight.is_floating_point():
        raise UnusableModel(f"model.name: {name} has no language-model head with one matrix of plain weights")
    config = model.config.get_text_config(decoder=True)
    scale = getattr(config, "logit_scale", None) or getattr(config, "lm_head_multiplier", None) or 1.0
    scale = float(scale) / float(getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    weight, bias = (weight, getattr(module, "bias", None)) if device is None else brought(module, device)
    assert weight is not None, "was tested"
    head = Head(weight.detach(), scale, cap, None if bias is None else bias.detach())
    start = getattr(model.config, "decoder_start_token_id", None) if model.config.is_encoder_decoder else None
    if model.config.is_encoder_decoder and start is None:
        raise UnusableModel(f"model.name: {name}: its configuration lacks decoder_start_token_id; add it")
    return head, start


def _require_same(ours: Tensor, theirs: Tensor, tolerance: float, name: str) -> None:
    """Raises UnusableModel if our logits are not the model's."""
    difference = _difference(ours, theirs) if ours.shape == theirs.shape else float("inf")
    if not difference <= tolerance:
        raise UnusableModel(
            f"model.name: {name} computes its logits from the last state in another way than by a linear head with a"
            f" scale and a soft cap (logits differ by {difference:.1%}), so its values would be wrong; name another"
            " model"
        )


def _can_share_prefix(loaded: Loaded, ids: Tensor, full_NLD: Tensor, tolerance: float) -> bool:
    """Whether the second half of a row has the same states when the first half comes from kept keys and values."""
    with loaded.running():
        cache = getattr(loaded.body(input_ids=ids.to(loaded.device), use_cache=True), "past_key_values", None)
        loaded.tap.take()
    plain = (DynamicLayer, DynamicSlidingWindowLayer)  # a state space model's cache cannot be shared in this way
    if not isinstance(cache, Cache) or not all(type(layer) in plain for layer in cache.layers):
        return False
    half = ids.shape[1] // 2
    rest = loaded.states(ids[:, half:], past=loaded.prefix(ids[0, :half].tolist()))
    loaded.clear()
    return _difference(rest, full_NLD[:, half:]) <= tolerance


def _can_share_picture(loaded: Loaded, name: str, tolerance: float) -> bool:
    """The same test with a picture as the first part. Raises UnusableModel if the model refuses a picture."""
    vision, picture = loaded.vision, Picture("", "", 80, 64, blank=True)
    assert vision is not None
    question = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROBE_TEXT}]}
    answer = {"role": "assistant", "content": PROBE_TEXT}
    try:
        row = encode([question, answer], None, loaded.tokenizer, 1 << 20, vision=vision, pictures=[picture])
    except Unscorable as error:
        raise UnusableModel(f"model.name: {name} cannot read a picture: {error}") from error
    ids, cut = torch.tensor([row.ids]), row.pictures_end
    full_NLD = loaded.states(ids, pictures=vision.inputs([row.pictures], [row.token_types], len(row.ids)))
    past = loaded.prefix(row.ids[:cut], row.key[:cut], vision.inputs([row.pictures], [row.token_types], cut))
    rest = loaded.states(ids[:, cut:], past=past)
    loaded.clear()
    return _difference(rest, full_NLD[:, cut:]) <= tolerance


def _difference(a: Tensor, b: Tensor) -> float:
    """The largest difference, as a share of the largest number in b."""
    return float((a.float() - b.float()).abs().max() / b.float().abs().max().clamp_min(1e-6))


def positions_of(config: Any) -> int | None:
    """The longest text that the model reads, in tokens; None if it does not say."""
    positions = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    return positions if positions and positions > 0 else None
