"""Which tokens are the answer is found from the ids themselves."""

import json
import re
import resource
from pathlib import Path

import pytest
from jinja2.sandbox import SandboxedEnvironment
from transformers import AutoTokenizer

from oresight.tasks.scoring import encoded, prompt
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.model import load
from oresight.tasks.scoring.prompt import Unscorable, encode, encode_texts
from oresight.tasks.scoring.source import UnusableModel, find
from tests.test_models import copied

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


@pytest.mark.parametrize("question", [True, False])
def test_a_row_of_a_million_tokens_is_cut_before_it_is_tokenized(
    smollm: Loaded, question: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = " ".join(f"word {i}" for i in range(20_000))
    turns = [QUESTION | {"content": long} if question else QUESTION, ANSWER if question else ANSWER | {"content": long}]
    tokenized: list[int] = []
    real = prompt._tokenized
    monkeypatch.setattr(prompt, "_tokenized", lambda texts, t: tokenized.extend(map(len, texts)) or real(texts, t))
    cut = encode(turns, None, smollm.tokenizer, 64)
    assert cut.truncated and sum(tokenized) < 3 * 64 * 1024 + 1000 < len(long) * 3
    monkeypatch.setattr(encoded, "FAR", 10_000)
    assert encode(turns, None, smollm.tokenizer, 64) == cut, "as if it were tokenized whole"
    assert sum(tokenized) > len(long)


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


def test_rows_that_are_encoded_together_get_the_ids_that_each_gets_alone(smollm: Loaded) -> None:
    texts = ["Four.", "", "  two\n\nlines ", "\u00e9\U0001f600 \u4e2d", "word " * 300]
    rows = [([{**QUESTION, "content": text}, {**ANSWER, "content": text}], None) for text in texts]
    plain = AutoTokenizer.from_pretrained(smollm.tokenizer.name_or_path)
    plain.chat_template = None
    for tokenizer in (smollm.tokenizer, plain):
        together = encode_texts(rows, tokenizer, 128)
        alone = [encode_texts([row], tokenizer, 128)[0] for row in rows]
        assert [str(row) for row in together] == [str(row) for row in alone]
    assert encode_texts([], plain, 128) == []


ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
FAULTY = {
    "does not end": ENDLESS,
    "integer division or modulo by zero": "{{ 1 // (messages | length - messages | length) }}",
    "recursion": "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    "out of range": "{{ 2.5 ** 99999 }}",
}
DOUBLED = "{%% set all = namespace(x='ab') %%}{%% for i in range(99) %%}{%% set all.x = %s %%}{%% endfor %%}{{ all.x }}"
GREEDY = [
    "{{ 'a' * 10**10 }}",
    "{{ messages[0].content * 10**10 }}",
    "{{ ([[1] * 10**5] * 10**5) | string }}",
    "{% set n = messages | length * 999 %}{{ (((n ** n) ** n) ** n) ** n }}",
    *(DOUBLED % twice for twice in ("all.x ~ all.x", "all.x + all.x", "[all.x, all.x]", "[all.x, all.x] | join")),
    *(
        DOUBLED % twice
        for twice in ("'%s%s' % (all.x, all.x)", "'{0}{0}'.format(all.x)", "all.x.replace('b', 'ab' * 9)")
    ),
    "{% macro twice(n) %}{% if n %}{{ twice(n - 1) * 2 }}{% else %}x{% endif %}{% endmacro %}{{ twice(60) }}",
    "{% set x %}{{ 'a' * 10**8 }}{% endset %}{% set y %}{{ x }}{{ x }}{{ x }}{% endset %}",
    "{{ 'a' | center(10**10) }}",
    "{{ 'a'.ljust(10**10) }}",
    "{{ 'a\nb' | indent(10**10) }}",
    "{{ [1] | tojson(indent=10**10) }}",
    "{{ [1] | batch(10**10, 'x') | list }}",
    "{{ '%10000000000d' % 1 }}",
    "{{ '%*d' | format(10**10, 1) }}",
    "{{ '{:>10000000000}'.format(1) }}",
    "{{ '{:{}}'.format(1, 10**10) }}",
    "{{ ('a,' * 10**8).split(',') | length }}",
    "{{ range(99999) | map('center', 99999) | list | length }}",
]


@pytest.mark.parametrize("words", FAULTY)
def test_a_template_that_fails_or_does_not_end_costs_its_row_only(
    smollm: Loaded, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "TEMPLATE_S", 0.5)
    faulty = AutoTokenizer.from_pretrained(smollm.tokenizer.name_or_path)
    faulty.chat_template = (
        "{% if messages[0].content == 'bad' %}" + FAULTY[words] + "{% else %}" + faulty.chat_template + "{% endif %}"
    )
    rows = [([{**QUESTION, "content": text}, ANSWER], None) for text in ("good", "bad", "better")]
    good, bad, better = encode_texts(rows, faulty, 512)
    assert isinstance(bad, Unscorable) and words in str(bad).lower(), bad
    assert [encode_texts([row], smollm.tokenizer, 512)[0] for row in (rows[0], rows[2])] == [good, better]


@pytest.mark.parametrize("template", GREEDY)
def test_a_template_that_would_fill_the_memory_costs_its_row_only(template: str, stories: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    greedy = AutoTokenizer.from_pretrained(stories)
    greedy.chat_template = template
    (row,) = encode_texts([([QUESTION, ANSWER], None)], greedy, 512)
    assert isinstance(row, Unscorable) and re.search("would build more than|too wide", str(row)), row
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000, "less than a GB"


def test_what_templates_do_with_texts_is_not_changed_by_the_limit(stories: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(stories)
    tokenizer.chat_template = (
        "{% set all = namespace(x='') %}{% for m in messages %}{% set all.x = all.x ~ m.role ~ (1 + 2) %}{% endfor %}"
        "{{ all.x.replace('user', '%s-%05d' % ('u', 7)) }} {{ '{:>6}|{}'.format('ab', none) }} {{ [1, 'a'] + [2.5] }}"
        "{{ 7 * 6 % 5 ** 2 }} {{ {'k': [1, none]} | tojson(indent=2) }} {{ 'a b'.split() | join('-') }} {{ missing }}|"
        "{{ messages | map(attribute='role') | list }} {{ ('ab' * 2) | center(8) }}"
    )
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    plain = SandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    plain.filters["tojson"] = lambda value, indent: json.dumps(value, indent=indent)
    expected = plain.from_string(tokenizer.chat_template).render(messages=turns)
    assert tokenizer.apply_chat_template(turns, tokenize=False) == expected


def test_a_model_whose_template_never_ends_is_refused_before_rows_are(
    stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "TEMPLATE_S", 0.5)
    model = copied(stories, tmp_path / "model")
    (model / "chat_template.jinja").write_text(ENDLESS)
    with pytest.raises(UnusableModel, match="chat template does not end within"):
        load(find(str(model)), "cpu", "float32")
