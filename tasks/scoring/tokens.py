"""The text of each token, for people to read: together the texts are the answer, letter by letter.

A token on its own has no text. SentencePiece marks a leading space that decoding one token drops, and a character
outside ASCII may be several byte tokens. So a token's text is what it adds to the text of the tokens before it. Only a
short window before the token is decoded again, so that the work grows with the tokens and not with their square.
Special tokens add nothing. Of a character that is several tokens, the last one has the text and the others have none.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

BROKEN = "\ufffd"
"""What decoding gives for bytes that are no whole character."""


def token_texts(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], others: Sequence[int] | None = None
) -> tuple[list[str], list[str]]:
    """What each of the ids adds to the text, and what each of the others would have added in its place.

    others: one id for each of ids, or None; then the second result is empty. Source: the windows are those of the
    incremental detokenisers of inference servers.
    """
    texts: list[str] = []
    alternatives: list[str] = []
    begin = end = 0  # ids[begin:end] is the window whose text is known to be whole
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
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text
