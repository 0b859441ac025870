"""A row -> token ids, and which of them are the answer. A picture is as many ids as the model makes of its size.

Chat templates can mark the assistant's tokens themselves, but most stock templates lack the marks and then return an
all-zero mask without a word. So the mask is not asked for: the conversation is rendered once up to the answer (with
the header that makes the model speak) and once whole, and where the two id sequences part the answer begins.
What the template adds behind the end-of-turn token (a line break, usually) is never generated, and not scored.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from oresight.tasks.scoring.picture import Picture
from oresight.tasks.scoring.vision import Vision

MASKING = "last assistant turn and its end-of-turn token, v1"

Message = dict[str, Any]


class Unscorable(ValueError):
    """This row cannot be scored by this model; the message is the sentence for `rejects`."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row as ids. Token i of `ids` is part of the answer for start <= i < end; the state at i - 1 predicts it."""

    ids: list[int]
    start: int
    end: int
    header: list[int]
    """What precedes the answer when it is scored without its prompt: the template's header, or the first token."""
    truncated: bool = False
    pictures: tuple[Picture, ...] = ()
    places: Sequence[int] = ()
    """Positions of the ids that stand for pictures."""
    kinds: Mapping[str, list[int]] = field(default_factory=dict)
    """What the model wants to know of every id (vision.KINDS)."""

    @property
    def key(self) -> list[int]:
        """The ids, with the pictures' content in the places of pictures: rows with equal keys have equal states."""
        if not self.pictures:
            return self.ids
        content = hashlib.sha256(" ".join(picture.key for picture in self.pictures).encode()).digest()
        key, mark = list(self.ids), -1 - int.from_bytes(content[:7])
        for place in self.places:
            key[place] = mark
        return key

    @property
    def seen(self) -> int:
        """Where the last picture ends; a prefix that rows share holds all pictures or is not shared."""
        return self.places[-1] + 1 if self.places else 0

    @property
    def answer(self) -> list[int]:
        return self.ids[self.start : self.end]

    def alone(self) -> "Encoded":
        """The same answer tokens without the prompt."""
        ids = [*self.header, *self.answer]
        return Encoded(ids, len(self.header), len(ids), self.header, self.truncated)

    def blanked(self) -> "Encoded":
        """The same ids with grey pictures of the same sizes."""
        return replace(self, pictures=tuple(replace(picture, blank=True) for picture in self.pictures))


def encode(
    messages: list[Message],
    tools: Any,
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    vision: Vision | None = None,
    pictures: Sequence[Picture] = (),
) -> Encoded:
    """The ids of a conversation whose last turn is the answer.

    Raises Unscorable when the template refuses the conversation, the model reads no pictures, or no answer token is
    left.
    """
    if pictures and vision is None:
        raise Unscorable("the row has pictures and the model reads texts only")
    kinds: Mapping[str, list[int]] = {}
    if vision is not None:
        before, with_header, whole, kinds = _with_pictures(messages, tools, vision, pictures)
    elif tokenizer.chat_template:
        before, with_header, whole = _templated(messages, tools, tokenizer)
    else:
        before, with_header, whole = _plain(messages, tokenizer)
    start = common_prefix(with_header, whole)
    end = _without_trailing_space(whole, start, tokenizer)
    if start >= end:
        raise Unscorable(
            "no answer token is left after the chat template: the answer is empty or the template drops it"
        )
    header = with_header[common_prefix(before, with_header) :] or whole[:1]
    if start == 0:
        raise Unscorable("nothing precedes the answer: this tokenizer has no start token and the prompt is empty")
    row = Encoded(whole[:end], start, end, header)
    if vision is None or not pictures:
        return _cut(row, max_tokens)
    places = [i for i in range(start) if whole[i] in vision.places]
    kinds = {name: told[:end] for name, told in kinds.items()}
    return _cut_answer(replace(row, pictures=tuple(pictures), places=places, kinds=kinds), max_tokens)


def _with_pictures(
    messages: list[Message], tools: Any, vision: Vision, pictures: Sequence[Picture]
) -> tuple[list[int], list[int], list[int], Mapping[str, list[int]]]:
    """Ids before the answer, with the header, and of the whole, and what the model is told of every id."""
    try:
        if vision.templated:
            texts = [(messages[:-1], False), (messages[:-1], True), (messages, False)]
            before, header, (whole, kinds) = (
                vision.ids(vision.rendered(turns, tools, header=header), pictures) for turns, header in texts
            )
            return before[0], header[0], whole, kinds
        parts = [part for turn in messages[:-1] for part in _parts(turn)]
        text = "".join(vision.mark if part["type"] == "image" else f"{part['text']}\n" for part in parts)
        answer = messages[-1]["content"]
        if vision.takes_suffix:
            (prompt, _), (whole, kinds) = vision.ids(text[:-1], pictures), vision.ids(text[:-1], pictures, answer)
        else:
            end = vision.tokenizer.eos_token or ""
            (prompt, _), (whole, kinds) = vision.ids(text, pictures), vision.ids(text + answer + end, pictures)
        return prompt, prompt, whole, kinds
    except (TemplateError, ValueError, TypeError, KeyError, IndexError) as error:
        raise Unscorable(f"the model's processor refuses this conversation: {' '.join(str(error).split())}") from error


def _parts(turn: Message) -> list[dict[str, Any]]:
    content = turn["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _templated(
    messages: list[Message], tools: Any, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[int], list[int], list[int]]:
    """Ids before the answer, the same with the header that makes the model speak, and the whole conversation."""

    def ids(turns: list[Message], header: bool) -> list[int]:
        text = tokenizer.apply_chat_template(turns, tools=tools, tokenize=False, add_generation_prompt=header)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    try:
        return ids(messages[:-1], False), ids(messages[:-1], True), ids(messages, False)
    except (TemplateError, ValueError, TypeError, KeyError, IndexError) as error:
        raise Unscorable(f"the model's chat template refuses this conversation: {error}") from error


def _plain(messages: list[Message], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int], list[int]]:
    """For a model without a chat template: start token, the turns one a line, the answer, end token."""
    first = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    last = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    text = "".join(f"{turn['content']}\n" for turn in messages[:-1])
    prompt = [*first, *tokenizer(text, add_special_tokens=False)["input_ids"]] if text else first
    whole = [*first, *tokenizer(text + messages[-1]["content"], add_special_tokens=False)["input_ids"], *last]
    return prompt, prompt, whole


def common_prefix(a: list[int], b: list[int]) -> int:
    """How many ids two sequences share from the beginning."""
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


def _without_trailing_space(ids: list[int], start: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """Where the answer ends once trailing white-space tokens are left off; special tokens count as text."""
    end = len(ids)
    while end > start and not tokenizer.decode([ids[end - 1]]).strip():
        end -= 1
    return end


def _cut_answer(row: Encoded, max_tokens: int) -> Encoded:
    """At most max_tokens ids: a prompt with pictures stays whole, and the answer loses its end."""
    if len(row.ids) <= max_tokens:
        return row
    if row.start >= max_tokens:
        raise Unscorable(
            f"the prompt with its pictures has {row.start} tokens, more than scoring.max_tokens ({max_tokens}) leaves"
        )
    kinds = {name: told[:max_tokens] for name, told in row.kinds.items()}
    return replace(row, ids=row.ids[:max_tokens], end=max_tokens, kinds=kinds, truncated=True)


def _cut(row: Encoded, max_tokens: int) -> Encoded:
    """At most max_tokens ids: the prompt loses its beginning down to a quarter of them, then the answer its end."""
    if len(row.ids) <= max_tokens:
        return row
    answer = min(row.end - row.start, max_tokens - min(row.start, max(max_tokens // 4, 1)))
    prompt = max_tokens - answer
    ids = row.ids[row.start - prompt : row.start + answer]
    return Encoded(ids, prompt, prompt + answer, row.header, truncated=True)


def plain_text(text: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Encoded:
    """A text of which every token is scored but the first, without a template.

    Raises Unscorable if it has no second token.
    """
    first = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids = [*first, *tokenizer(text, add_special_tokens=False)["input_ids"]][:max_tokens]
    if len(ids) < 2:
        raise Unscorable("the text has no token that another one precedes")
    return Encoded(ids, 1, len(ids), ids[:1])
