"""Merges a PEFT adapter into the weights of its model."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from oresight.tasks.scoring.source import UnusableModel


def merge_adapter(model: Any, adapter: Path) -> Any:
    """The model with the adapter merged into its weights, as a further finetune would start from it.

    Raises UnusableModel if the adapter cannot be merged, belongs to another model, or changes no weight: peft ignores
    weights that have no place in the model.
    """
    from peft import PeftModel

    before = _sums(model)
    try:
        adapted = PeftModel.from_pretrained(model, adapter, use_safetensors=True)
        unfit = _unfit_keys(adapted, adapter)
        merged = None if unfit else adapted.merge_and_unload(safe_merge=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UnusableModel(
            f"model.adapter: {adapter} cannot be merged into the model ({reason}); give an adapter that changes"
            " weights, such as LoRA; learned prompts cannot be merged"
        ) from error
    if unfit:
        names = f"{', '.join(unfit[:5])}{', ...' if len(unfit) > 5 else ''}"
        raise UnusableModel(
            f"model.adapter: {adapter} does not fit the model: {len(unfit)} weights are in one of them only ({names});"
            " give the adapter that was trained on this model"
        )
    if _sums(merged) == before:
        raise UnusableModel(f"model.adapter: {adapter} changes no weight of the model; remove model.adapter")
    return merged


def _unfit_keys(adapted: Any, adapter: Path) -> list[str]:
    """Keys of the adapter's file that have no place in the adapted model, and those of places that it leaves out."""
    from peft import get_peft_model_state_dict

    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        given = set(file.keys())
    places = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    return sorted((given - places - set(adapted.state_dict())) | (places - given))


def _sums(model: Any) -> list[tuple[float, float]]:
    """The sum and the sum of squares of every weight, which tell whether one has changed."""
    weights = [weight.detach() for weight in model.state_dict().values()]
    return [(float(weight.sum(dtype=torch.float64)), float(weight.double().square().sum())) for weight in weights]
