"""A vision-language model's processor: text with pictures -> ids, and pictures -> the tensors that the model sees.

How many ids a picture becomes depends on its size alone, so rows are encoded with blank pictures of the right sizes,
which are processed once a size; the pictures themselves are decoded when their batch comes up, ahead of the model.
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

KINDS = ("token_type_ids", "mm_token_type_ids")
"""What some models want to know of every id: whether it stands for a picture, or belongs to the answer."""
TEXT_ONLY = {*KINDS, "input_ids", "attention_mask", "labels"}
SIZES = 64
"""Sizes of pictures whose blank is kept in memory."""


def processor_of(config: Any, folder: Path) -> Any:
    """The processor that lies with a model. Raises what transformers raises."""
    kind = PROCESSOR_MAPPING.get(type(config), None)
    if kind is None or "video_processor" not in kind.get_attributes():
        return AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    parts = {"tokenizer": AutoTokenizer, "image_processor": AutoImageProcessor}
    loaded = [
        NoVideos() if name == "video_processor" else parts[name].from_pretrained(folder, trust_remote_code=False)
        for name in kind.get_attributes()
    ]
    told, _ = kind.get_processor_dict(folder)
    return stills(kind).from_args_and_dict(loaded, told)


class NoVideos(VideoProcessorMixin):  # type: ignore[misc]
    """Stands for a video processor: transformers makes none without torchvision, and its processors insist on one."""

    num_frames, fps = 0, 1


def stills(kind: type) -> Any:
    """A processor class that is content with `NoVideos`."""

    def check(self: Any, name: str, part: Any) -> Any:
        return NoVideos if name == "video_processor" else kind.check_argument_for_proper_class(self, name, part)  # type: ignore[attr-defined]

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check})


class Vision:
    """A transformers processor, wrapped."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        processor.image_processor = _Remembering(processor.image_processor)
        self.tokenizer = processor.tokenizer
        processor.chat_template = processor.chat_template or self.tokenizer.chat_template  # some models keep it there
        self.places = {int(i) for i in getattr(processor, "image_token_ids", None) or [processor.image_token_id]}
        """Ids that stand for a part of a picture."""

    @property
    def templated(self) -> bool:
        return bool(self.processor.chat_template)

    @property
    def takes_suffix(self) -> bool:
        """Whether the processor wants the answer apart, because the model reads the prompt in both directions."""
        return "suffix" in inspect.signature(type(self.processor).__call__).parameters

    @property
    def mark(self) -> str:
        """What stands for a picture in a text."""
        return str(self.processor.image_token)

    def rendered(self, messages: Sequence[Mapping[str, Any]], tools: Any, *, header: bool) -> str:
        """The conversation as the model's chat template writes it."""
        parts = [
            {"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]}
            if isinstance(turn["content"], str)
            else turn
            for turn in messages
        ]
        more = {"tools": tools} if tools else {}
        text = self.processor.apply_chat_template(parts, tokenize=False, add_generation_prompt=header, **more)
        return str(text)

    def ids(
        self, text: str, pictures: Sequence[Picture], suffix: str | None = None
    ) -> tuple[list[int], dict[str, list[int]]]:
        """Ids of a text in which each mark has become as many as its picture has, and what is told of every id.

        suffix: the answer, for processors that take it apart. Raises what the processor raises.
        """
        bos = self.tokenizer.bos_token
        more: dict[str, Any] = {} if suffix is None else {"suffix": [suffix]}
        more["add_special_tokens"] = not (bos and text.startswith(bos))  # as the processors' own templating has it
        shown = [_blank(picture) for picture in pictures]
        found = self.processor(text=[text], images=[shown] if shown else None, return_mm_token_type_ids=True, **more)
        return _row(found["input_ids"]), {name: _row(found[name]) for name in KINDS if name in found}

    def inputs(
        self, pictures: Sequence[Sequence[Picture]], kinds: Sequence[Mapping[str, list[int]]], length: int
    ) -> dict[str, Tensor]:
        """What the model needs beside the ids of these rows, padded to `length`; nothing where no row has a picture.

        Raises Unreadable if a picture's file is gone or has changed.
        """
        if not any(pictures):
            return {}
        seen: dict[tuple[str, ...], dict[str, Tensor]] = {}
        parts: list[dict[str, Tensor]] = []
        for row in pictures:
            if row:
                key = tuple(picture.key for picture in row)
                if key not in seen:
                    seen[key] = self._tensors(row)
                parts.append(seen[key])
        found = {name: _joined([part[name] for part in parts]) for name in parts[0]}
        for name in {name for row in kinds for name in row}:
            # Padding is told as what stands before it: the end of an answer.
            padded = [row.get(name, [0])[:length] for row in kinds]
            found[name] = torch.tensor([row + row[-1:] * (length - len(row)) for row in padded])
        return found

    def _tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        shown = [_blank(picture) if picture.blank else pixels(picture) for picture in pictures]
        found = self.processor(text=[self.mark * len(shown)], images=[shown], return_tensors="pt")
        return {name: value for name, value in found.items() if name not in TEXT_ONLY and isinstance(value, Tensor)}


class _Remembering:
    """An image processor that processes blank pictures once a size."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._known: OrderedDict[Any, Any] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # asked for while this object is copied, before it has an inner one
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __call__(self, images: Any, *args: Any, **options: Any) -> Any:
        flat = list(_flat(images))
        if not all(isinstance(one, Image.Image) and one.info.get("blank") for one in flat):
            return self._inner(images, *args, **options)
        key = tuple(one.size for one in flat), isinstance(images[0], list), repr(sorted(options.items()))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._inner(images, *args, **options)
            if len(self._known) > SIZES:
                self._known.popitem(last=False)
        return copy.copy(found)  # the processor takes parts out of it


def _blank(picture: Picture) -> Image.Image:
    blank = pixels(Picture("", "", picture.width, picture.height, blank=True))
    blank.info["blank"] = True
    return blank


def _flat(images: Any) -> Any:
    for one in images if isinstance(images, list | tuple) else [images]:
        if isinstance(one, list | tuple):
            yield from _flat(one)
        else:
            yield one


def _row(ids: Any) -> list[int]:
    """The only row of a batch of one, which comes as a list or a tensor."""
    return [int(i) for i in ids[0]]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Along the first dimension; the others padded with zeros to the largest."""
    sizes = [max(part.shape[d] for part in parts) for d in range(1, parts[0].dim())]
    padded = []
    for part in parts:
        missing = [size - have for size, have in zip(sizes, part.shape[1:], strict=True)]
        padded.append(torch.nn.functional.pad(part, [x for m in reversed(missing) for x in (0, m)]))
    return torch.cat(padded)
