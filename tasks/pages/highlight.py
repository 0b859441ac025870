"""Finds the tokens of an answer in its text, so that a page shows the row's own text with the tokens coloured.

The texts of the tokens need not make up the answer: it may have been cut to `scoring.max_tokens`, or the tokenizer has
no token for a character, or the template of the chat strips spaces.
"""

from typing import Any

REACH = 16
"""Most characters of the answer that may be left out before a token."""
Part = tuple[str, dict[str, Any] | None]
"""A piece of the answer, and the token that it is; None for a piece that is no token."""


def highlighted(answer: str, tokens: list[dict[str, Any]]) -> list[Part]:
    """The answer in pieces. Joined, their texts are exactly the answer.

    tokens: the results of token_shares. A token that is not where it should be is left out.
    """
    parts: list[Part] = []
    end = 0
    for token in tokens:
        text = token["token"]
        if not answer.startswith(text, end):
            text = text.strip()
        begin = answer.find(text, end, end + REACH + len(text)) if text else -1
        if begin < 0:
            continue
        if begin > end:
            parts.append((answer[end:begin], None))
        end = begin + len(text)
        parts.append((text, token))
    return [*parts, (answer[end:], None)] if end < len(answer) else parts
