"""The texts of an answer's tokens are the answer, whichever tokenizer made them."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from oresight.tasks.pages.evidence import token_shares
from oresight.tasks.scoring.tokens import BROKEN, token_texts

ANSWERS = [
    "The salesman sold 17 bags.",
    "  two spaces first,\nand a\tline break ",
    "السعر هو ثلاثة دنانير",
    "价格是三元。不是四元。",
    "Well done 🎉👩‍🚀!",
    "naïve café: 10 €",
]


@pytest.fixture(scope="module")
def sentencepiece() -> PreTrainedTokenizerBase:
    """Made as Llama's and Mistral's are: spaces are ▁, and what is not in the vocabulary falls back to bytes."""
    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained = Tokenizer(BPE())
    trained.normalizer = normalizer
    corpus = ["The salesman sold seventeen bags and went home. " * 20, "two spaces first line break"]
    trained.train_from_iterator(corpus, BpeTrainer(vocab_size=120, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *model["vocab"]]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = Tokenizer(BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerBase:
    """Made as GPT-2's is: every byte is a letter of its alphabet."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["The salesman sold seventeen bags. " * 20], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("kind", ["sentencepiece", "byte_level", "llama"])
def test_the_texts_of_the_tokens_are_the_answer(answer: str, kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "llama":
        folder: Path = request.getfixturevalue("stories")
        tokenizer = AutoTokenizer.from_pretrained(folder)
    else:
        tokenizer = request.getfixturevalue(kind)
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    texts, _ = token_texts(tokenizer, [*ids, tokenizer.eos_token_id])
    assert "".join(texts) == tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert len(texts) == len(ids) + 1 and texts[-1] == "", "a special token is nothing that people read"
    if kind != "llama":  # its vocabulary of 512 has no letter for some of these
        assert "".join(texts).strip() == answer.strip() and not any(BROKEN in text for text in texts)


def test_words_keep_the_space_before_them(sentencepiece: PreTrainedTokenizerBase) -> None:
    ids = sentencepiece("The salesman sold bags.", add_special_tokens=False)["input_ids"]
    one_by_one = "".join(sentencepiece.decode([token]) for token in ids)
    assert "salesmansoldbags" in one_by_one, "decoded one at a time, tokens lose their spaces"
    assert "".join(token_texts(sentencepiece, ids)[0]) == "The salesman sold bags."


def test_a_character_of_several_tokens_is_the_text_of_its_last_one(byte_level: PreTrainedTokenizerBase) -> None:
    ids = byte_level("价")["input_ids"]
    assert len(ids) == 3 and token_texts(byte_level, ids)[0] == ["", "", "价"]
    cut = token_texts(byte_level, ids[:2])[0]
    assert cut[0] == "" and BROKEN in cut[1], "an answer that was cut inside a character shows that it was"


def test_another_token_has_the_text_that_it_would_have_had_in_that_place(
    sentencepiece: PreTrainedTokenizerBase,
) -> None:
    ids = sentencepiece("The salesman sold bags", add_special_tokens=False)["input_ids"]
    texts, others = token_texts(sentencepiece, ids, [*ids[1:], sentencepiece.eos_token_id])
    assert token_texts(sentencepiece, ids, ids)[1] == texts
    assert others[-1] == "" and len(others) == len(ids)


def test_a_page_shows_tokens_without_a_text_with_the_next_that_has_one() -> None:
    tokens, values, logprobs = ["a", "", "", "价", ""], [1.0, 2.0, -4.0, 0.5, 0.25], [-1.0, -2.0, -3.0, -4.0, -5.0]
    shown = token_shares(tokens, values, logprobs)
    assert [(token["token"], token["value"], token["logprob"]) for token in shown] == [
        ("a", 1.0, -1.0),
        ("价", -1.25, -14.0),
    ]
    assert [token["share"] for token in shown] == [0.8, -1.0]
