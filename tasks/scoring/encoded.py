"""A row as token ids, and how a row that is too long is cut, before its texts are tokenized and after."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from oresight.tasks.scoring.picture import Picture

FAR = 64
"""Characters per token of `max_tokens` beyond which a text is not tokenized. No text has so many on average."""


class Unscorable(ValueError):
    """This model cannot score this row. The message is the reason for `rejects`."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row as ids. Token i is part of the answer for start <= i < end, and the state at i - 1 predicts it."""

    ids: list[int]
    start: int
    end: int
    header: list[int]
    """The ids before the answer when it is scored without its prompt: the template's header, or the first token."""
    truncated: bool = False
    pictures: tuple[Picture, ...] = ()
    picture_positions: Sequence[int] = ()
    """Positions of the ids that stand for pictures."""
    token_types: Mapping[str, list[int]] = field(default_factory=dict)
    """Further inputs with one number per id (vision.TOKEN_TYPES)."""

    @property
    def key(self) -> list[int]:
        """The ids, with a hash of the pictures at the pictures' positions. Rows with equal keys have equal states."""
        if not self.pictures:
            return self.ids
        content = hashlib.sha256(" ".join(picture.key for picture in self.pictures).encode()).digest()
        key, mark = list(self.ids), -1 - int.from_bytes(content[:7])
        for position in self.picture_positions:
            key[position] = mark
        return key

    @property
    def pictures_end(self) -> int:
        """The position after the last picture, 0 without pictures. A prefix is shared only if it holds all pictures."""
        return self.picture_positions[-1] + 1 if self.picture_positions else 0

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


def near_answer(texts: tuple[str, str, str], far: int) -> tuple[str, str, str]:
    """The texts without what is so many characters away from the answer's start that `cut` would drop it anyway.

    Tokenizing a text takes a hundred times its size in memory, and a row can have 64 MB.
    """
    prompt, with_header, full = texts
    drop = max(len(prompt) - far, 0)
    if not with_header.startswith(prompt[:drop]) or not full.startswith(prompt[:drop]):
        drop = 0
    return prompt[drop:], with_header[drop:], full[drop : len(with_header) + far]


def far_from_answer(max_tokens: int) -> int:
    """So many characters away from the answer's start, no token is used."""
    return FAR * max(max_tokens, 1024)


def near_pictures(texts: tuple[str, str, str], far: int, max_tokens: int) -> tuple[str, str, str]:
    """The same for a row with pictures, whose prompt stays complete.

    Raises Unscorable if the prompt is so long that it leaves no token for the answer.
    """
    prompt, with_header, full = texts
    if len(prompt) > far:
        raise Unscorable(
            f"the prompt with its pictures has {len(prompt):,} characters and leaves no token for the answer; raise"
            f" scoring.max_tokens ({max_tokens})"
        )
    return prompt, with_header, full[: len(with_header) + far]


def cut_answer(row: Encoded, max_tokens: int) -> Encoded:
    """At most max_tokens ids, for a row with pictures: the prompt stays complete, and the answer loses its end."""
    if len(row.ids) <= max_tokens:
        return row
    if row.start >= max_tokens:
        raise Unscorable(
            f"the prompt with its pictures has {row.start} tokens and leaves none for the answer; raise"
            f" scoring.max_tokens ({max_tokens})"
        )
    token_types = {name: numbers[:max_tokens] for name, numbers in row.token_types.items()}
    return replace(row, ids=row.ids[:max_tokens], end=max_tokens, token_types=token_types, truncated=True)


def cut(row: Encoded, max_tokens: int) -> Encoded:
    """At most max_tokens ids. The prompt loses its beginning, down to max_tokens / 4; then the answer loses its end."""
    if len(row.ids) <= max_tokens:
        return row
    answer = min(row.end - row.start, max_tokens - min(row.start, max(max_tokens // 4, 1)))
    prompt = max_tokens - answer
    ids = row.ids[row.start - prompt : row.start + answer]
    return Encoded(ids, prompt, prompt + answer, row.header, truncated=True)
