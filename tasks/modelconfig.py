"""Section `model` of the configuration: the model that scores the rows, its precision and its devices."""

from typing import Literal

from pydantic import Field, model_validator

from oresight.tasks.paths import ModelName
from oresight.tasks.section import Section


class Model(Section):
    """The model that scores the rows. Use the model that you will finetune, if you can."""

    name: ModelName = "smollm2-135m-instruct"
    """The embedded default model, a folder, a .gguf file, or a hub id."""
    adapter: ModelName | None = None
    """Folder or hub id of a PEFT adapter that is merged into the model. It must change weights, as LoRA does."""
    revision: str | None = None
    """Revision of a model from the hub: a branch, a tag or a commit."""
    dtype: Literal["auto", "float32", "mixed", "bfloat16", "float16"] = "auto"
    """Precision of the model. mixed: products in bfloat16, all else in float32. auto: what is measured to be fastest on
    the device, of float32 and, on a CPU, mixed, or elsewhere bfloat16 if the model was saved in half precision."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """Device that runs the model. auto: every CUDA device, else mps, else the CPU."""
    parallel: int = Field(1, ge=1, le=64)
    """Processes that share the model, each with a part of every layer on a GPU of its own: for a model that one GPU
    cannot hold (tensor parallelism). The model's attention heads must divide by it. Another number rounds otherwise, so
    rows are scored again."""

    spread: bool = False
    """Put the layers on all GPUs one after another, then in main memory, then on the disk: for a model that no device
    can hold, and `parallel` cannot split. One GPU works at a time. The scores are those of one device."""

    @model_validator(mode="after")
    def _is_split_in_one_way(self) -> "Model":
        if self.parallel > 1 and self.dtype == "mixed":
            raise ValueError("dtype: mixed does not go with parallel; set dtype to float32 or bfloat16")
        if self.spread and self.dtype == "mixed":
            raise ValueError("dtype: mixed does not go with spread; set dtype to float32 or bfloat16")
        if self.spread and self.parallel > 1:
            raise ValueError("spread and parallel are two ways to split a model; remove one of them")
        return self
