"""A row -> token ids, and which of them are the answer.

Chat templates can mark the assistant's tokens themselves, but most stock templates lack the marks and then return an
all-zero mask without a word. So the mask is not asked for: the conversation is rendered once up to the answer (with
the header that makes the model speak) and once whole, and where the two id sequences part the answer begins.
What the template adds behind the end-of-turn token (a line break, usually) is never generated, and not scored.
"""

from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

MASKING = "last assistant turn and its end-of-turn token, v1"

Message = dict[str, str]


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

    @property
    def answer(self) -> list[int]:
        return self.ids[self.start : self.end]

    def alone(self) -> "Encoded":
        """The same answer tokens without the prompt."""
        ids = [*self.header, *self.answer]
        return Encoded(ids, len(self.header), len(ids), self.header, self.truncated)


def encode(messages: list[Message], tools: Any, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Encoded:
    """The ids of a conversation whose last turn is the answer.

    Raises Unscorable when the template refuses the conversation or no answer token is left.
    """
    if tokenizer.chat_template:
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
    return _cut(Encoded(whole[:end], start, end, header), max_tokens)


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


def _cut(row: Encoded, max_tokens: int) -> Encoded:
    """At most max_tokens ids: the prompt loses its beginning down to a quarter of them, then the answer its end."""
    if len(row.ids) <= max_tokens:
        return row
    answer = min(row.end - row.start, max_tokens - min(row.start, max(max_tokens // 4, 1)))
    prompt = max_tokens - answer
    ids = row.ids[row.start - prompt : row.start + answer]
    return Encoded(ids, prompt, prompt + answer, row.header, truncated=True)
