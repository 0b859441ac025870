"""Which tokens are the answer is found from the ids themselves."""

import pytest
from transformers import AutoTokenizer

from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.prompt import Unscorable, encode

QUESTION = {"role": "user", "content": "What is two plus two?"}
ANSWER = {"role": "assistant", "content": "Four."}


def test_the_answer_is_the_last_assistant_turn_and_its_end_token(smollm: Loaded) -> None:
    tokenizer = smollm.tokenizer
    row = encode([QUESTION, ANSWER], None, tokenizer, 512)
    assert tokenizer.decode(row.answer) == "Four.<|im_end|>"
    assert tokenizer.decode(row.ids[: row.start]).endswith("What is two plus two?<|im_end|>\n<|im_start|>assistant\n")
    more = encode(
        [QUESTION, {**ANSWER, "content": "Five."}, {"role": "user", "content": "Sure?"}, ANSWER], None, tokenizer, 512
    )
    assert tokenizer.decode(more.answer) == "Four.<|im_end|>"
    assert "Five.<|im_end|>" in tokenizer.decode(more.ids[: more.start])


def test_a_template_whose_assistant_mask_is_all_zero_does_not_fool_it(smollm: Loaded) -> None:
    conversation = [QUESTION, ANSWER]
    theirs = smollm.tokenizer.apply_chat_template(conversation, return_assistant_tokens_mask=True, return_dict=True)
    assert sum(theirs["assistant_masks"]) == 0
    assert len(encode(conversation, None, smollm.tokenizer, 512).answer) > 1


def test_alone_keeps_the_answer_tokens_and_only_the_header_of_the_prompt(smollm: Loaded) -> None:
    row = encode([QUESTION, ANSWER], None, smollm.tokenizer, 512)
    alone = row.alone()
    assert alone.answer == row.answer
    assert smollm.tokenizer.decode(alone.ids) == "<|im_start|>assistant\nFour.<|im_end|>"


def test_a_row_that_is_too_long_loses_the_start_of_its_prompt_then_the_end_of_its_answer(smollm: Loaded) -> None:
    long = {"role": "user", "content": "word " * 200}
    row = encode([long, ANSWER], None, smollm.tokenizer, 64)
    assert (len(row.ids), row.truncated) == (64, True)
    assert smollm.tokenizer.decode(row.answer) == "Four.<|im_end|>"
    both = encode([long, {**ANSWER, "content": "word " * 200}], None, smollm.tokenizer, 64)
    assert (len(both.ids), both.start, both.truncated) == (64, 16, True)
    assert not encode([QUESTION, ANSWER], None, smollm.tokenizer, 64).truncated


def test_a_row_without_answer_tokens_is_refused(smollm: Loaded) -> None:
    dropping = AutoTokenizer.from_pretrained(smollm.tokenizer.name_or_path)
    dropping.chat_template = (
        "{% for m in messages %}{% if m.role != 'assistant' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    with pytest.raises(Unscorable, match="no answer token"):
        encode([QUESTION, ANSWER], None, dropping, 512)
    dropping.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(Unscorable, match="System role not supported"):
        encode([QUESTION, ANSWER], None, dropping, 512)


def test_a_model_without_a_template_gets_plain_lines_between_its_start_and_end_tokens(smollm: Loaded) -> None:
    plain = AutoTokenizer.from_pretrained(smollm.tokenizer.name_or_path)
    plain.chat_template = None
    row = encode([QUESTION, ANSWER], None, plain, 512)
    assert plain.decode(row.ids) == "<|im_start|>What is two plus two?\nFour.<|im_end|>"
    assert plain.decode(row.answer) == "Four.<|im_end|>"
