"""Encodes a row as token ids, and finds which of them are the answer. A picture's size decides how many ids it takes.

Chat templates can mark the assistant's tokens themselves, but most stock templates lack the marks and then silently
return an all-zero mask. So we render the conversation twice: up to the answer (with the header that starts the
assistant's turn), and completely. The answer begins where the two id sequences differ. Text that the template adds
after the end-of-turn token (usually a line break) is never generated, and is not scored.
"""

from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from typing import Any

from transformers import PreTrainedTokenizerBase

from oresight.tasks.scoring.encoded import Encoded as Encoded
from oresight.tasks.scoring.encoded import Unscorable as Unscorable
from oresight.tasks.scoring.encoded import cut, cut_answer, far_from_answer, near_answer, near_pictures
from oresight.tasks.scoring.picture import Picture
from oresight.tasks.scoring.sandbox import memory_limit
from oresight.tasks.scoring.timelimit import TookTooLong, time_limit
from oresight.tasks.scoring.vision import Vision

TEMPLATE_S = 5.0
"""Seconds that the model's template or processor may take for a conversation."""
BATCH = 4_000_000
"""Characters of texts that are tokenized together."""
NO_PICTURES = "the row has pictures and the model reads texts only"
MASKING = "last assistant turn and its end-of-turn token, v1"

Message = dict[str, Any]


class Endless(Unscorable):
    """The model's template or processor does not end on this row."""


def encode(
    messages: list[Message],
    tools: Any,
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    vision: Vision | None = None,
    pictures: Sequence[Picture] = (),
) -> Encoded:
    """The ids of a conversation whose last turn is the answer.

    Raises Unscorable when the template refuses the conversation or does not end, the model reads no pictures, or no
    answer token is left.
    """
    if vision is None:
        if pictures:
            raise Unscorable(NO_PICTURES)
        (row,) = encode_texts([(messages, tools)], tokenizer, max_tokens)
        if isinstance(row, Unscorable):
            raise row
        return row
    prompt, with_header, full, token_types = _with_pictures(messages, tools, vision, pictures, max_tokens)
    row = _encoded(prompt, with_header, full, tokenizer)
    if not pictures:
        return cut(row, max_tokens)
    row = replace(
        row,
        pictures=tuple(pictures),
        picture_positions=[i for i in range(row.start) if full[i] in vision.picture_ids],
        token_types={name: numbers[: row.end] for name, numbers in token_types.items()},
    )
    return cut_answer(row, max_tokens)


def encode_texts(
    conversations: Sequence[tuple[list[Message], Any]], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> list["Encoded | Unscorable"]:
    """Encode conversations without pictures, each with its tools, like `encode`. A refused one gives its Unscorable."""
    render = _templated if tokenizer.chat_template else _plain
    rendered = [_or_refusal(render, messages, tools, tokenizer) for messages, tools in conversations]
    far = far_from_answer(max_tokens)
    near = [row if isinstance(row, Unscorable) else near_answer(row, far) for row in rendered]
    texts = [text for row in near if not isinstance(row, Unscorable) for text in row]
    first, last = ([], []) if tokenizer.chat_template else (_ids(tokenizer.bos_token_id), _ids(tokenizer.eos_token_id))
    ids = iter(_tokenized(texts, tokenizer))

    def encoded(is_whole: bool) -> Encoded:
        prompt, with_header, full = ([*first, *next(ids)] for _ in range(3))
        row = cut(_encoded(prompt, with_header, [*full, *last], tokenizer), max_tokens)
        return row if is_whole else replace(row, truncated=True)

    return [
        row if isinstance(row, Unscorable) else _or_refusal(encoded, row == part)
        for row, part in zip(rendered, near, strict=True)
    ]


def _or_refusal(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, or the Unscorable that it raises."""
    try:
        return function(*arguments)
    except Unscorable as refusal:
        return refusal


def _ids(token: int | None) -> list[int]:
    return [] if token is None else [token]


def _tokenized(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """The ids of each text. An empty text has none."""
    options = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}
    ids: list[list[int]] = []
    while rest := texts[len(ids) :]:
        count = bisect(list(accumulate(map(len, rest))), BATCH) or 1
        ids += tokenizer(rest[:count], **options)["input_ids"]
    return [numbers if text else [] for text, numbers in zip(texts, ids, strict=True)]


def _encoded(prompt: list[int], with_header: list[int], full: list[int], tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """The row of these ids. Raises Unscorable if no answer token is left."""
    start = common_prefix(with_header, full)
    end = _without_trailing_space(full, start, tokenizer)
    if start >= end:
        raise Unscorable(
            "no answer token is left after the chat template: the answer is empty or the template drops it"
        )
    header = with_header[common_prefix(prompt, with_header) :] or full[:1]
    if start == 0:
        raise Unscorable("nothing precedes the answer: this tokenizer has no start token and the prompt is empty")
    return Encoded(full[:end], start, end, header)


def _with_pictures(
    messages: list[Message], tools: Any, vision: Vision, pictures: Sequence[Picture], max_tokens: int
) -> tuple[list[int], list[int], list[int], Mapping[str, list[int]]]:
    """The prompt's ids, the same with the header, the ids of the full conversation, and its token types."""
    far = far_from_answer(max_tokens)
    with _foreign_code("the model's processor"):
        if vision.templated:
            turns = [(messages[:-1], False), (messages[:-1], True), (messages, False)]
            prompt_text, header_text, full_text = (
                vision.rendered(part, tools, header=header) for part, header in turns
            )
            texts = prompt_text, header_text, full_text
            near = near_pictures(texts, far, max_tokens) if pictures else near_answer(texts, far)
            (prompt, _), (with_header, _), (full, token_types) = (vision.ids(text, pictures) for text in near)
            return prompt, with_header, full, token_types
        parts = [part for turn in messages[:-1] for part in _parts(turn)]
        text = "".join(vision.mark if part["type"] == "image" else f"{part['text']}\n" for part in parts)
        answer = messages[-1]["content"]
        whole = text, text, text + answer
        text, _, full_text = near_pictures(whole, far, max_tokens) if pictures else near_answer(whole, far)
        answer = full_text[len(text) :]
        if vision.takes_suffix:
            prompt, _ = vision.ids(text[:-1], pictures)
            full, token_types = vision.ids(text[:-1], pictures, answer)
        else:
            prompt, _ = vision.ids(text, pictures)
            full, token_types = vision.ids(text + answer + (vision.tokenizer.eos_token or ""), pictures)
        return prompt, prompt, full, token_types


def _parts(turn: Message) -> list[dict[str, Any]]:
    content = turn["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _templated(messages: list[Message], tools: Any, tokenizer: PreTrainedTokenizerBase) -> tuple[str, str, str]:
    """The prompt's text, the same with the header that starts the assistant's turn, and the full conversation."""

    def text(turns: list[Message], header: bool) -> str:
        return str(tokenizer.apply_chat_template(turns, tools=tools, tokenize=False, add_generation_prompt=header))

    with _foreign_code("the model's chat template"):
        return text(messages[:-1], False), text(messages[:-1], True), text(messages, False)


def _plain(messages: list[Message], _tools: Any, _tokenizer: PreTrainedTokenizerBase) -> tuple[str, str, str]:
    """The same texts for a model without a chat template: one line per turn, and the answer."""
    text = "".join(f"{turn['content']}\n" for turn in messages[:-1])
    return text, text, text + messages[-1]["content"]


@contextmanager
def _foreign_code(name: str) -> Iterator[None]:
    """Run code that came with the model. What it raises is a reason not to score the row, and so is no end."""
    try:
        with time_limit(TEMPLATE_S), memory_limit():
            yield
    except Unscorable:
        raise
    except TookTooLong:
        raise Endless(f"{name} does not end within {TEMPLATE_S:.0f} s on this conversation") from None
    except Exception as error:  # a template can raise anything
        raise Unscorable(f"{name} refuses this conversation: {' '.join(str(error).split())}") from error


def common_prefix(a: list[int], b: list[int]) -> int:
    """How many ids two sequences have in common, from the first."""
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


def _without_trailing_space(ids: list[int], start: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """The end of the answer without trailing white-space tokens. Special tokens count as text."""
    end = len(ids)
    while end > start and not tokenizer.decode([ids[end - 1]]).strip():
        end -= 1
    return end
