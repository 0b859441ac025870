"""A vision-language model's processor: turns text with pictures into ids, and pictures into the model's input tensors.

The number of ids of a picture depends on its size alone. So rows are encoded with blank pictures of the right sizes,
each of which is processed once per size. The pictures themselves are decoded shortly before their batch.
"""

import copy
import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.video_processing_utils import VideoProcessorMixin

from oresight.tasks.scoring.picture import Picture, pixels

TOKEN_TYPES = ("token_type_ids", "mm_token_type_ids")
"""Inputs of some models with one number per id: whether it stands for a picture, or belongs to the answer."""
TEXT_INPUTS = {*TOKEN_TYPES, "input_ids", "attention_mask", "labels"}
SIZES = 64
"""Sizes for which the processed blank picture is kept in memory."""


def processor_of(config: Any, folder: Path) -> Any:
    """The processor in a model's folder. Raises what transformers raises."""
    processor_class = PROCESSOR_MAPPING.get(type(config), None)
    if processor_class is None or "video_processor" not in processor_class.get_attributes():
        return AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    parts = {"tokenizer": AutoTokenizer, "image_processor": AutoImageProcessor}
    loaded = [
        NoVideos() if name == "video_processor" else parts[name].from_pretrained(folder, trust_remote_code=False)
        for name in processor_class.get_attributes()
    ]
    settings, _ = processor_class.get_processor_dict(folder)
    return stills(processor_class).from_args_and_dict(loaded, settings)


class NoVideos(VideoProcessorMixin):  # type: ignore[misc]
    """An empty video processor: transformers needs torchvision to make one, and some processors require one."""

    num_frames, fps = 0, 1


def stills(processor_class: type) -> Any:
    """A subclass of a processor class that accepts `NoVideos` as its video processor."""

    def check(self: Any, name: str, part: Any) -> Any:
        if name == "video_processor":
            return NoVideos
        return processor_class.check_argument_for_proper_class(self, name, part)  # type: ignore[attr-defined]

    return type(processor_class.__name__, (processor_class,), {"check_argument_for_proper_class": check})


class Vision:
    """A transformers processor, wrapped for encoding rows and preparing pictures."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        processor.image_processor = _CachingBlanks(processor.image_processor)
        self.tokenizer = processor.tokenizer
        processor.chat_template = processor.chat_template or self.tokenizer.chat_template  # some models keep it there
        self.picture_ids = {int(i) for i in getattr(processor, "image_token_ids", None) or [processor.image_token_id]}
        """Ids that stand for a part of a picture."""

    @property
    def templated(self) -> bool:
        """Whether the model has a chat template."""
        return bool(self.processor.chat_template)

    @property
    def takes_suffix(self) -> bool:
        """Whether the processor takes the answer separately: some models attend to the prompt in both directions."""
        return "suffix" in inspect.signature(type(self.processor).__call__).parameters

    @property
    def mark(self) -> str:
        """The text that stands for a picture."""
        return str(self.processor.image_token)

    def rendered(self, messages: Sequence[Mapping[str, Any]], tools: Any, *, header: bool) -> str:
        """The conversation as the model's chat template writes it."""
        parts = [
            {"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]}
            if isinstance(turn["content"], str)
            else turn
            for turn in messages
        ]
        options = {"tools": tools} if tools else {}
        text = self.processor.apply_chat_template(parts, tokenize=False, add_generation_prompt=header, **options)
        return str(text)

    def ids(
        self, text: str, pictures: Sequence[Picture], suffix: str | None = None
    ) -> tuple[list[int], dict[str, list[int]]]:
        """The ids of a text, with each mark expanded to its picture's ids, and the token types of these ids.

        suffix: the answer, for processors that take it separately. Raises what the processor raises.
        """
        bos = self.tokenizer.bos_token
        options: dict[str, Any] = {} if suffix is None else {"suffix": [suffix]}
        options["add_special_tokens"] = not (bos and text.startswith(bos))  # as in the processors' own templating
        images = [_blank(picture) for picture in pictures]
        output = self.processor(
            text=[text], images=[images] if images else None, return_mm_token_type_ids=True, **options
        )
        return _row(output["input_ids"]), {name: _row(output[name]) for name in TOKEN_TYPES if name in output}

    def inputs(
        self, pictures: Sequence[Sequence[Picture]], token_types: Sequence[Mapping[str, list[int]]], length: int
    ) -> dict[str, Tensor]:
        """The model's inputs for these rows beside their ids, padded to `length`; empty where no row has a picture.

        Raises Unreadable if a picture's file is missing or has changed.
        """
        if not any(pictures):
            return {}
        prepared: dict[tuple[str, ...], dict[str, Tensor]] = {}
        parts: list[dict[str, Tensor]] = []
        for row in pictures:
            if row:
                key = tuple(picture.key for picture in row)
                if key not in prepared:
                    prepared[key] = self._tensors(row)
                parts.append(prepared[key])
        result = {name: _concatenate([part[name] for part in parts]) for name in parts[0]}
        for name in {name for row in token_types for name in row}:
            # Padding gets the type of the id before it: the end of an answer.
            unpadded = [row.get(name, [0])[:length] for row in token_types]
            result[name] = torch.tensor([row + row[-1:] * (length - len(row)) for row in unpadded])
        return result

    def _tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        images = [_blank(picture) if picture.blank else pixels(picture) for picture in pictures]
        output = self.processor(text=[self.mark * len(images)], images=[images], return_tensors="pt")
        return {name: value for name, value in output.items() if name not in TEXT_INPUTS and isinstance(value, Tensor)}


class _CachingBlanks:
    """An image processor that processes blank pictures once per size."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._results: OrderedDict[Any, Any] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # requested while this object is copied, before `_inner` is set
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __call__(self, images: Any, *args: Any, **options: Any) -> Any:
        flat = list(_flat(images))
        if not all(isinstance(image, Image.Image) and image.info.get("blank") for image in flat):
            return self._inner(images, *args, **options)
        key = tuple(image.size for image in flat), isinstance(images[0], list), repr(sorted(options.items()))
        result = self._results.get(key)
        if result is None:
            result = self._results[key] = self._inner(images, *args, **options)
            if len(self._results) > SIZES:
                self._results.popitem(last=False)
        return copy.copy(result)  # the processor removes parts from it


def _blank(picture: Picture) -> Image.Image:
    blank = pixels(Picture("", "", picture.width, picture.height, blank=True))
    blank.info["blank"] = True
    return blank


def _flat(images: Any) -> Any:
    """The pictures in nested lists, one by one."""
    for item in images if isinstance(images, list | tuple) else [images]:
        if isinstance(item, list | tuple):
            yield from _flat(item)
        else:
            yield item


def _row(ids: Any) -> list[int]:
    """The single row of a batch, given as a list or a tensor."""
    return [int(i) for i in ids[0]]


def _concatenate(parts: Sequence[Tensor]) -> Tensor:
    """Concatenated along the first dimension; the other dimensions are padded with zeros to the largest size."""
    sizes = [max(part.shape[d] for part in parts) for d in range(1, parts[0].dim())]
    padded = []
    for part in parts:
        missing = [size - own for size, own in zip(sizes, part.shape[1:], strict=True)]
        padded.append(torch.nn.functional.pad(part, [x for m in reversed(missing) for x in (0, m)]))
    return torch.cat(padded)
