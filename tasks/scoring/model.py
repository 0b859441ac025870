"""Loads the files of a model, its tokenizer or its processor."""

import json
import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from oresight.tasks.scoring.adapter import merge_adapter
from oresight.tasks.scoring.device import choose_float32_kernels, devices
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.parallel import Followers, split
from oresight.tasks.scoring.parts import PROBE, PROBE_TEXT, positions_of, take_apart
from oresight.tasks.scoring.precision import MIXED, auto_dtype, loaded_dtype, mix
from oresight.tasks.scoring.prompt import Endless, encode_texts
from oresight.tasks.scoring.source import Source, UnusableModel, converted
from oresight.tasks.scoring.spread import Spread
from oresight.tasks.scoring.vision import Vision, processor_of
from oresight.tasks.scoring.weights import require_weights

MOST_LAYERS, LEAST_POSITIONS = 10_000, 16
"""Sizes that a configuration may name."""


def load(
    source: Source, device: str = "auto", dtype: str = "auto", parallel: int = 1, *, spread: bool = False
) -> Loaded:
    """Load a model, and check on one batch that we reproduce its logits. Raises UnusableModel with the difference.

    Args:
        source: The model's files.
        device: As in the configuration, or a name of torch.
        dtype: As in the configuration.
        parallel: How many processes share the model, each on a device of its own; this process is the first of them.
        spread: Put the layers on all devices, one after another.
    """
    target = torch.device(devices(device)[0])
    if source.adapter and (spread or parallel > 1):
        raise UnusableModel(
            f"model.{'spread' if spread else 'parallel'}: an adapter cannot be merged into a model that is split; merge"
            " it into the model's files (peft: merge_and_unload, save_pretrained) and remove model.adapter"
        )
    if spread:
        return load_part(source, target, dtype, spread=Spread(target))
    if parallel == 1:
        return load_part(source, target, dtype)
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


def load_part(
    source: Source, target: torch.device, dtype: str = "auto", parallel: int = 1, spread: Spread | None = None
) -> Loaded:
    """Load this process's part of a model; all of it where no other process shares it. Raises UnusableModel."""
    model, tokenizer, vision, used = load_pretrained(source, dtype, target, parallel, spread)
    question, answer = ({"role": role, "content": PROBE_TEXT} for role in ("user", "assistant"))
    try:
        (probe,) = [None] if vision else encode_texts([([question, answer], None)], tokenizer, PROBE)
        if isinstance(probe, Endless):
            raise UnusableModel(f"model.name: {source.name}: {probe}")
        ids = list(tokenizer(PROBE_TEXT)["input_ids"])[:PROBE]
        model = (model if spread else model.to(target)).eval()
        head_device = target if spread else None
        loaded = take_apart(model, tokenizer, source.name, ids, vision, is_mixed=used == MIXED, device=head_device)
        loaded.spread = spread
        return loaded
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
    source: Source,
    dtype: str,
    device: torch.device | None = None,
    parallel: int = 1,
    spread: Spread | None = None,
) -> tuple[Any, PreTrainedTokenizerBase, Vision | None, str]:
    """The model with its adapter merged, its tokenizer, the processor of a vision-language model, and its dtype.

    dtype: as in the configuration. parallel: how many processes share the model, all of which must call this. spread:
    where its layers go. Raises UnusableModel.
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
        if dtype == "auto":
            dtype = auto_dtype(config, device, parallel, can_mix=spread is None)
        elif dtype == MIXED and spread:
            raise UnusableModel(
                "model.spread: the scores of this database are in mixed, which needs the whole model on one device; set"
                " model.dtype: float32"
            )
        vision = Vision(processor_of(config, folder)) if reads_pictures else None
        tokenizer = vision.tokenizer if vision else AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        options = {"distributed_config": split(auto_class, config, parallel)} if parallel > 1 else {}
        options |= (spread.options() if spread else {}) | {"output_loading_info": True}
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
