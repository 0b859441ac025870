"""The text of each token, for readers. Concatenated, the texts are exactly the answer.

A token cannot be decoded alone. SentencePiece marks a leading space that decoding a single token drops, and a character
outside ASCII may consist of several byte tokens. So a token's text is the text that it adds to the tokens before it.
Only a short window before the token is decoded again, so that the work is linear in the tokens and not quadratic.
Special tokens add no text. If a character consists of several tokens, the last one has its text and the others none.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

BROKEN = "\ufffd"
"""The character that decoding gives for the bytes of an incomplete character."""


def token_texts(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], others: Sequence[int] | None = None
) -> tuple[list[str], list[str]]:
    """The text that each of the ids adds, and the text that each of the others would have added in its place.

    others: an alternative for each of ids, or None; then the second result is empty. Source: inference servers decode
    incrementally with the same windows.
    """
    texts: list[str] = []
    alternatives: list[str] = []
    begin = end = 0  # ids[begin:end] is a window whose text has only complete characters
    for i in range(len(ids)):
        before = _decoded(tokenizer, ids[begin:end])
        if others is not None:
            alternatives.append(_decoded(tokenizer, [*ids[begin:i], others[i]])[len(before) :])
        now = _decoded(tokenizer, ids[begin : i + 1])
        is_incomplete = now.endswith(BROKEN) and i + 1 < len(ids)  # the next token completes the character
        texts.append("" if is_incomplete else now[len(before) :])
        if texts[-1]:  # a window without text would lose the next token's leading space
            begin, end = end, i + 1
    return texts, alternatives


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    if not ids:
        return ""
    backend = getattr(tokenizer, "backend_tokenizer", None)  # decodes the same, without checking the kind of the ids
    if backend is not None:
        text = backend.decode(list(ids), skip_special_tokens=True)
    else:
        text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text
