"""Loads a model's files as body, head and tokenizer or processor. Refuses a head that we cannot reproduce."""

import json
import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.utils import logging as transformers_logging

from oresight.tasks.scoring.adapter import merge_adapter
from oresight.tasks.scoring.device import choose_float32_kernels, devices
from oresight.tasks.scoring.formula import Head
from oresight.tasks.scoring.loaded import Loaded, Tap
from oresight.tasks.scoring.parallel import Followers, split
from oresight.tasks.scoring.picture import Picture
from oresight.tasks.scoring.precision import MIXED, auto_dtype, loaded_dtype, mix
from oresight.tasks.scoring.prompt import Endless, Unscorable, encode, encode_texts
from oresight.tasks.scoring.source import Source, UnusableModel, converted
from oresight.tasks.scoring.vision import Vision, processor_of
from oresight.tasks.scoring.weights import require_varied, require_weights

PROBE = 16
"""Tokens of the text on which our logits are compared with the model's."""
PROBE_TEXT = "Most of what is written here has been read twice: once by its author, and once by somebody who had to."
"""A plain sentence. On random ids the states of a model in half precision are chaotic."""

MOST_LAYERS, LEAST_POSITIONS = 10_000, 16
"""Sizes that a configuration may name."""


def load(source: Source, device: str = "auto", dtype: str = "auto", parallel: int = 1) -> Loaded:
    """Load a model, and check on one batch that we reproduce its logits. Raises UnusableModel with the difference.

    parallel: how many processes share the model, each on a device of its own; this process is the first of them.
    """
    target = torch.device(devices(device)[0])
    if parallel == 1:
        return load_part(source, target, dtype)
    if source.adapter:
        raise UnusableModel(
            "model.parallel: an adapter cannot be merged into a model that is split; merge it into the model's files"
            " (peft: merge_and_unload, save_pretrained) and remove model.adapter"
        )
    source = plain(source)
    followers = Followers.of(parallel, target)
    try:
        followers.load(source, dtype)
        loaded = load_part(source, target, dtype, parallel)
        followers.wait()
    except BaseException:
        followers.stop()
        raise
    loaded.followers = followers
    return loaded


def load_part(source: Source, target: torch.device, dtype: str = "auto", parallel: int = 1) -> Loaded:
    """Load this process's part of a model; all of it where no other process shares it. Raises UnusableModel."""
    model, tokenizer, vision, used = load_pretrained(source, dtype, target, parallel)
    question, answer = ({"role": role, "content": PROBE_TEXT} for role in ("user", "assistant"))
    try:
        (probe,) = [None] if vision else encode_texts([([question, answer], None)], tokenizer, PROBE)
        if isinstance(probe, Endless):
            raise UnusableModel(f"model.name: {source.name}: {probe}")
        ids = list(tokenizer(PROBE_TEXT)["input_ids"])[:PROBE]
        return take_apart(model.to(target).eval(), tokenizer, source.name, ids, vision, is_mixed=used == MIXED)
    except UnusableModel:
        raise
    except Exception as error:  # a configuration with absurd values fails anywhere
        if dtype == "auto" and used == MIXED:  # some layers refuse weights and states of different dtypes
            return load_part(source, target, "float32")
        raise UnusableModel(_loading_error(source, source.folder, error)) from error


def plain(source: Source) -> Source:
    """The same model as safetensors, where it is a GGUF file. Raises UnusableModel."""
    try:
        return replace(source, folder=converted(source), gguf=None) if source.gguf else source
    except Exception as error:  # damaged files raise errors of every library
        raise UnusableModel(_loading_error(source, source.folder, error)) from error


def load_pretrained(
    source: Source, dtype: str, device: torch.device | None = None, parallel: int = 1
) -> tuple[Any, PreTrainedTokenizerBase, Vision | None, str]:
    """The model with its adapter merged, its tokenizer, the processor of a vision-language model, and its dtype.

    dtype: as in the configuration. parallel: how many processes share the model, all of which must call this. Raises
    UnusableModel.
    """
    _silence_transformers()
    folder = plain(source).folder
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        _require_sizes(config, source.name)
        reads_pictures = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and hasattr(config, "vision_config")
        auto_class = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        auto_class = AutoModelForImageTextToText if reads_pictures else auto_class
        device = device or torch.device("cpu")
        choose_float32_kernels(device)
        dtype = auto_dtype(config, device, parallel) if dtype == "auto" else dtype
        vision = Vision(processor_of(config, folder)) if reads_pictures else None
        tokenizer = vision.tokenizer if vision else AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        options = {"distributed_config": split(auto_class, config, parallel)} if parallel > 1 else {}
        options["output_loading_info"] = True
        model, keys = auto_class.from_pretrained(
            folder, dtype=loaded_dtype(dtype, config), use_safetensors=True, trust_remote_code=False, **options
        )
    except UnusableModel:
        raise
    except Exception as error:  # damaged files and absurd values raise errors of every library
        raise UnusableModel(_loading_error(source, folder, error)) from error
    require_weights(model, keys, source, folder)
    model = model if source.adapter is None else merge_adapter(model, source.adapter)
    if dtype == MIXED:
        mix(model)
    return model, tokenizer, vision, dtype


def take_apart(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    probe: list[int] | None = None,
    vision: Vision | None = None,
    *,
    is_mixed: bool = False,
) -> Loaded:
    """Split a loaded model into body and head, and test both on the probe's ids.

    is_mixed: whether the model went through `mix`. Raises UnusableModel if our head does not give the model's logits.
    """
    head, start = _read_head(model, name)
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
        same_shape = our_logits.shape == their_logits.shape
        difference = _difference(our_logits, their_logits) if same_shape else float("inf")
        if not difference <= tolerance:
            raise UnusableModel(
                f"model.name: {name} ({type(model).__name__}) computes its logits from the last state in another way"
                f" than by a linear head with a scale and a soft cap (logits differ by {difference:.1%}), so its values"
                " would be wrong; name another model"
            )
    loaded.shares = start is None and _can_share_prefix(loaded, ids, h, tolerance)
    if vision is not None:
        loaded.vision = vision
        loaded.shares &= _can_share_picture(loaded, name, tolerance)
    return loaded


def _read_head(model: Any, name: str) -> tuple[Head, int | None]:
    """The head as our formula needs it, and the decoder's first token; None for a decoder-only model.

    Raises UnusableModel if the model lacks either.
    """
    module = model.get_output_embeddings()
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2 or not weight.is_floating_point():
        raise UnusableModel(f"model.name: {name} has no language-model head with one matrix of plain weights")
    config = model.config.get_text_config(decoder=True)
    scale = getattr(config, "logit_scale", None) or getattr(config, "lm_head_multiplier", None) or 1.0
    scale = float(scale) / float(getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    bias = getattr(module, "bias", None)
    head = Head(weight.detach(), scale, cap, None if bias is None else bias.detach())
    start = getattr(model.config, "decoder_start_token_id", None) if model.config.is_encoder_decoder else None
    if model.config.is_encoder_decoder and start is None:
        raise UnusableModel(f"model.name: {name}: its configuration lacks decoder_start_token_id; add it")
    return head, start


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


def _require_sizes(config: Any, name: str) -> None:
    """Raises UnusableModel if the configuration names sizes that no model has: it would be built for hours."""
    for part in (config, *(getattr(config, key, None) for key in ("text_config", "vision_config"))):
        layers = getattr(part, "num_hidden_layers", None)
        if isinstance(layers, int) and not 0 < layers <= MOST_LAYERS:
            raise UnusableModel(
                f"model.name: the config.json of {name} says num_hidden_layers {layers}, but 1 to {MOST_LAYERS} can be;"
                " download it again, or name another model"
            )
    if (positions := positions_of(config)) is not None and positions < LEAST_POSITIONS:
        raise UnusableModel(
            f"model.name: {name} reads {positions} tokens at most (max_position_embeddings in its config.json), too few"
            " for a question and an answer; download it again, or name another model"
        )


def _loading_error(source: Source, folder: Path, error: Exception) -> str:
    """Why a model cannot be loaded, in one line with the cure."""
    reason = " ".join(str(error).split())[:300]
    quantised = None
    with suppress(OSError, ValueError, AttributeError):
        quantised = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("quantization_config")
    if isinstance(quantised, dict):
        method = quantised.get("quant_method", "an unnamed method")
        return (
            f"model.name: {source.name} is quantised with {method}, which cannot be loaded here ({reason});"
            " give the unquantised model or a GGUF file"
        )
    file = folder / source.gguf if source.gguf else folder
    return (
        f"model.name: {source.name} cannot be loaded ({type(error).__name__}: {reason}); if {file} is damaged,"
        " download it again, else name another model"
    )


def _silence_transformers() -> None:
    """Switch off the progress bars and the advice of transformers. Our own log tells the user what matters."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
