"""A model's files -> body, head and tokenizer or processor; refuses a head that we do not reproduce."""

import json
import logging
import time
from pathlib import Path
from statistics import median
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

from oresight.tasks.scoring.formula import Head
from oresight.tasks.scoring.loaded import Loaded, Tap
from oresight.tasks.scoring.picture import Picture
from oresight.tasks.scoring.prompt import Unscorable, encode
from oresight.tasks.scoring.source import Source, UnusableModel, converted
from oresight.tasks.scoring.vision import Vision, processor_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
GAIN = 1.5
"""Half precision is taken where it is at least so many times as fast as float32."""
PROBE = 16
"""Tokens of the text on which a model is compared with what we make of it."""
PROBE_TEXT = "Most of what is written here has been read twice: once by its author, and once by somebody who had to."
"""A plain sentence: on ids that no text has, the states of a model in half precision are chaotic."""


def devices(wanted: str) -> list[str]:
    """The devices that score side by side: with auto every CUDA device, else mps, else the CPU."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        return ["mps" if torch.backends.mps.is_available() else "cpu"]
    return [wanted]


def load(source: Source, device: str = "auto", dtype: str = "auto") -> Loaded:
    """Load a model and prove on one batch that we reproduce its logits. Raises UnusableModel, naming what differs."""
    place = torch.device(devices(device)[0])
    model, tokenizer, vision = load_pretrained(source, None if dtype == "auto" else DTYPES[dtype], place)
    ids = list(tokenizer(PROBE_TEXT)["input_ids"])[:PROBE]
    return take_apart(model.to(place).eval(), tokenizer, source.name, ids, vision)


def load_pretrained(
    source: Source, dtype: torch.dtype | None, place: torch.device | None = None
) -> tuple[Any, PreTrainedTokenizerBase, Vision | None]:
    """The transformers model with its adapter merged, its tokenizer, and its processor if it sees.

    dtype: None for what the place computes fastest in without harm. Raises UnusableModel.
    """
    _quiet()
    folder = converted(source) if source.gguf else source.folder
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        sees = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and hasattr(config, "vision_config")
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        kind = AutoModelForImageTextToText if sees else kind
        precision = dtype or _auto_dtype(config, place or torch.device("cpu"))
        vision = Vision(processor_of(config, folder)) if sees else None
        tokenizer = vision.tokenizer if vision else AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = kind.from_pretrained(folder, dtype=precision, use_safetensors=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise UnusableModel(_why_not(source, folder, error)) from error
    return model if source.adapter is None else _adapted(model, source.adapter), tokenizer, vision


def take_apart(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    probe: list[int] | None = None,
    vision: Vision | None = None,
) -> Loaded:
    """Split a loaded model into body and head, which is tried on the probe's ids.

    Raises UnusableModel if our head does not give the model's logits.
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
        raise UnusableModel(f"model.name: {name}: its configuration lacks decoder_start_token_id")

    ids = torch.tensor([probe or list(range(2, 2 + PROBE))]) % len(weight)
    decoder = None if start is None else ids
    tap = Tap(head.weight_VD)
    loaded = Loaded(model, tap, head, tokenizer, weight.device, weight.dtype, start)
    loaded.positions = getattr(config, "max_position_embeddings", None)
    inputs = {"input_ids": ids.to(weight.device), "use_cache": False}
    if decoder is not None:
        inputs["decoder_input_ids"] = decoder.to(weight.device)
    with torch.inference_mode():
        theirs = model(**inputs).logits[0]
        model.set_output_embeddings(tap)
        try:
            h = loaded.states(ids, lengths=[ids.shape[1]], decoder=decoder)
        except RuntimeError:
            tap.width = len(weight)
            h = loaded.states(ids, lengths=[ids.shape[1]], decoder=decoder)
        ours = torch.cat([z for _, z in head.chunks(h[0].to(weight.dtype))], dim=1)
        # What the model makes of logits of any size, whatever its weights are: planted ones show a scale or a cap.
        tap.answer = torch.linspace(-60, 60, theirs.numel(), dtype=h.dtype, device=h.device).view(1, *theirs.shape)
        made = model(**inputs).logits[0]
        expected = head.finished(tap.answer[0].clone())
        tap.answer = tap.kept = None
    tolerance = 1e-3 if weight.dtype in (torch.float32, torch.float64) else 5e-2
    for mine, model_s in ((ours, theirs), (expected, made)):
        same = mine.shape == model_s.shape
        off = _apart(mine, model_s) if same else float("inf")
        if not off <= tolerance:
            raise UnusableModel(
                f"model.name: {name} ({type(model).__name__}) does more between its last state and its logits than a"
                f" linear head with a scale and a soft cap (logits differ by {off:.1%}); its values would be wrong"
            )
    loaded.shares = start is None and _shares(loaded, ids, h, tolerance)
    if vision is not None:
        loaded.vision = vision
        loaded.shares &= _shares_pictures(loaded, name, tolerance)
    return loaded


def _shares(loaded: Loaded, ids: Tensor, whole_NLD: Tensor, tolerance: float) -> bool:
    """Whether the second half of a row has the same states when the first half comes from kept keys and values."""
    with torch.inference_mode():
        own = getattr(loaded.body(input_ids=ids.to(loaded.device), use_cache=True), "past_key_values", None)
        loaded.tap.take()
    plain = (DynamicLayer, DynamicSlidingWindowLayer)  # a state space keeps other things, which cannot be shared so
    if not isinstance(own, Cache) or not all(type(layer) in plain for layer in own.layers):
        return False
    half = ids.shape[1] // 2
    rest = loaded.states(ids[:, half:], past=loaded.prefix(ids[0, :half].tolist()))
    loaded.release()
    return _apart(rest, whole_NLD[:, half:]) <= tolerance


def _shares_pictures(loaded: Loaded, name: str, tolerance: float) -> bool:
    """The same, for a first half that is a picture. Raises UnusableModel if the model cannot be shown one."""
    vision, picture = loaded.vision, Picture("", "", 80, 64, blank=True)
    assert vision is not None
    asked = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROBE_TEXT}]}
    told = {"role": "assistant", "content": PROBE_TEXT}
    try:
        row = encode([asked, told], None, loaded.tokenizer, 1 << 20, vision, [picture])
    except Unscorable as error:
        raise UnusableModel(f"model.name: {name} cannot be shown a picture: {error}") from error
    ids, cut = torch.tensor([row.ids]), row.seen
    whole = loaded.states(ids, seen=vision.inputs([row.pictures], [row.kinds], len(row.ids)))
    past = loaded.prefix(row.ids[:cut], row.key[:cut], vision.inputs([row.pictures], [row.kinds], cut))
    rest = loaded.states(ids[:, cut:], past=past)
    loaded.release()
    return _apart(rest, whole[:, cut:]) <= tolerance


def _apart(a: Tensor, b: Tensor) -> float:
    """Largest difference, as a share of the largest number."""
    return float((a.float() - b.float()).abs().max() / b.float().abs().max().clamp_min(1e-6))


def _auto_dtype(config: Any, device: torch.device) -> torch.dtype:
    """bfloat16 for a model that was saved in half precision, where the device is faster in it; else float32.

    Rounding a float32 model's weights changes the ranking more than computing in bfloat16 does (docs/log.md).
    """
    saved = getattr(config, "dtype", None)
    if saved not in (torch.bfloat16, torch.float16):
        return torch.float32
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 1024, dtype=dtype, device=device)
        b = torch.ones(1024, 1024, dtype=dtype, device=device)
        times = []
        for _ in range(7):
            started = time.perf_counter()
            float((a @ b)[0, 0])  # waits for the device
            times.append(time.perf_counter() - started)
        seconds[dtype] = median(times)
    return torch.bfloat16 if seconds[torch.float32] >= GAIN * seconds[torch.bfloat16] else torch.float32


def _adapted(model: Any, adapter: Path) -> Any:
    """The model with the adapter's change in its weights, which is what a finetune would go on from."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, adapter, use_safetensors=True).merge_and_unload(safe_merge=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UnusableModel(
            f"model.adapter: {adapter} cannot be merged into the model ({reason}); adapters that change weights can"
            " (LoRA and its kin), prompts that are learned cannot"
        ) from error


def _why_not(source: Source, folder: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    config = folder / "config.json"
    quantised = json.loads(config.read_text(encoding="utf-8")).get("quantization_config") if config.is_file() else None
    if quantised:
        method = quantised.get("quant_method", "an unnamed method")
        return (
            f"model.name: {source.name} is quantised with {method}, which cannot be loaded here ({reason});"
            " give the unquantised model or a GGUF file"
        )
    return f"model.name: {source.name} cannot be loaded: {reason}"


def _quiet() -> None:
    """No progress bars and no advice from transformers: what the user should know, we say."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
