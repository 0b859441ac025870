"""A row with pictures has the numbers of autograd through the whole vision-language model, in any batch."""

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from oresight.tasks.scoring import encoded, forward
from oresight.tasks.scoring.engine import Options, open_engine
from oresight.tasks.scoring.parts import take_apart
from oresight.tasks.scoring.picture import Picture, Unreadable, pixels
from oresight.tasks.scoring.precision import mix
from oresight.tasks.scoring.prompt import Encoded, Unscorable, encode
from oresight.tasks.scoring.vision import Vision
from tests.support.tiny import Wide
from tests.support.tiny_vlm import FAMILIES, build
from tests.test_architectures import judged

OPTIONS = Options(batch_tokens=120, rank_tolerance=0.0)
SIZES = [(40, 30), (64, 64), (30, 70)]
# Ids that the pictures above become, by hand: patches of 8 x 8 in what the family makes of them.
EXPECTED = {
    "llava": [16, 16, 16],  # 32 x 32, class token left out
    "qwen2-vl": [4, 16, 8],  # the nearest even multiples of 16, 2 x 2 patches an id: 2 x 2, 4 x 4, 2 x 4
    "qwen2.5-vl": [4, 16, 8],
    "qwen3-vl": [4, 16, 8],
    "idefics3": [20, 20, 12],  # tiles of 32 x 32 with 4 ids each, and the whole: 2 x 2 + 1, 2 x 2 + 1, 1 x 2 + 1
    "smolvlm": [20, 20, 12],
    "gemma3": [4, 4, 4],
    "paligemma": [16, 16, 16],
    "internvl": [4, 20, 12],  # 4 ids a tile of 32 x 32: one; 2 x 2 and the whole; 1 x 2 and the whole
}
ONE_PICTURE = {"paligemma"}
"""Takes rows with pictures only."""


@pytest.fixture(autouse=True)
def _sharing_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """These rows are so short and few that sharing would not pay, and would not be tried."""
    monkeypatch.setattr(forward, "SPLIT", 1)


def picture(folder: Path, number: int) -> Picture:
    width, height = SIZES[number]
    path = folder / f"{number}.png"
    if not path.exists():
        noise = np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return Picture(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), width, height)


def asked(pictures: int, question: str, answer: str) -> list[dict[str, Any]]:
    parts = [{"type": "image"}] * pictures + [{"type": "text", "text": question}]
    return [{"role": "user", "content": parts if pictures else question}, {"role": "assistant", "content": answer}]


def conversations(name: str, folder: Path) -> list[tuple[list[dict[str, Any]], list[Picture]]]:
    """Several questions on one picture, pictures of other sizes, two pictures at once, no picture."""
    a, b, c = (picture(folder, number) for number in range(3))
    rows = [
        (asked(1, "what is this?", "red"), [a]),
        (asked(1, "what is that thing there?", "yes"), [a]),
        (asked(1, "is it?", "no, it is not"), [a]),
        (asked(1, "what is this?", "green"), [b]),
        (asked(1, "is it?", "no"), [c]),
        (asked(1, "is this red?", "yes"), [c]),
        (asked(1, "what is this?", "blue"), [a]),
    ]
    if name not in ONE_PICTURE:
        rows += [(asked(2, "are they the same?", "no"), [a, b]), (asked(2, "and these?", "yes"), [a, c])]
        rows += [(asked(0, "what is red?", "a colour"), []), (asked(0, "what is green?", "another"), [])]
    return rows


def native(processor: Any, one: Encoded, messages: list[dict[str, Any]], shown: Sequence[Picture]) -> dict[str, Tensor]:
    """What the family's own processor makes of the row, cut where the answer ends."""
    images = [pixels(part) for part in shown]
    if processor.chat_template:
        parts = [
            turn | {"content": [{"type": "text", "text": turn["content"]}]}
            if isinstance(turn["content"], str)
            else turn
            for turn in messages
        ]
        text = processor.apply_chat_template(parts, tokenize=False)
        more = {"add_special_tokens": not text.startswith("<s>")}
    else:
        text, more = "<image>" * len(images) + messages[0]["content"][-1]["text"], {"suffix": messages[1]["content"]}
    found = processor(text=[text], images=[images] if images else None, return_tensors="pt", **more)
    kept = {key: value for key, value in found.items() if key != "labels"}
    for key, value in kept.items():
        if value.shape == found["input_ids"].shape:
            kept[key] = value[:, : len(one.ids)]
    return kept


def by_token(judge: Any, one: Encoded, inputs: dict[str, Tensor]) -> tuple[list[Tensor], Tensor]:
    wide = {key: value.double() if value.is_floating_point() else value for key, value in inputs.items()}
    z = judge(**wide, use_cache=False).logits[0, one.start - 1 : one.end - 1]
    logs = z.log_softmax(-1)[torch.arange(len(one.answer)), torch.tensor(one.answer)]
    weight = judge.get_output_embeddings().weight
    return [torch.autograd.grad(log, weight, retain_graph=True)[0] for log in logs], logs.detach()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", FAMILIES)
def test_values_are_those_of_autograd_through_the_whole_model(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    with Wide() if dtype == torch.float64 else nullcontext():
        _compare(name, dtype, tmp_path)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_mixed_model_differs_by_little(name: str, tmp_path: Path) -> None:
    values = []
    for is_mixed in (False, True):
        whole, processor = build(name, torch.float32)
        if is_mixed:
            mix(whole)
        vision = Vision(processor)
        model = take_apart(whole, vision.tokenizer, name, vision=vision, is_mixed=is_mixed)
        told = conversations(name, tmp_path)
        rows = [encode(messages, None, model.tokenizer, 1024, vision, shown) for messages, shown in told]
        opened = open_engine(model, rows[:3], rows[3:], OPTIONS).opening
        values.append(torch.tensor([[one.value, one.self_value, one.nll] for one in opened]))
    difference = (values[1] - values[0]).abs().amax(0) / values[0].abs().amax(0)
    assert 0 < difference.max() < 0.04


def _compare(name: str, dtype: torch.dtype, folder: Path) -> None:
    whole, processor = build(name, dtype)
    judge, (_, plain) = judged(whole), build(name, torch.float32)
    vision = Vision(processor)
    model = take_apart(whole, vision.tokenizer, name, vision=vision)
    rtol = 1e-9 if dtype == torch.float64 else 1e-4
    told = conversations(name, folder)
    rows = [encode(messages, None, model.tokenizer, 1024, vision, shown) for messages, shown in told]
    exact = []
    for one, (messages, shown) in zip(rows, told, strict=True):
        inputs = native(plain, one, messages, shown)
        assert inputs["input_ids"][0].tolist() == one.ids
        exact.append(by_token(judge, one, inputs))
    g = [sum(tokens) for tokens, _ in exact]
    gbar = torch.stack(g[:3]).mean(0)
    scale = [sum(float((x * gbar).sum().abs()) for x in tokens) for tokens, _ in exact]
    done = open_engine(model, rows[:3], rows[3:], OPTIONS)
    for one in done.reference:
        others = torch.stack([x for j, x in enumerate(g[:3]) if j != one.row]).mean(0)
        bound = rtol * max(float((g[one.row] * x).sum().abs()) for x in g[:3])
        assert one.value == pytest.approx(float((g[one.row] * others).sum()), rel=rtol, abs=bound)

    def check(found: Any, i: int) -> None:
        tokens, logs = exact[i]
        values = [float((x * gbar).sum()) for x in tokens]
        assert found.token_values == pytest.approx(values, rel=rtol, abs=rtol * scale[i])
        assert found.self_value == pytest.approx(float(g[i].square().sum()), rel=rtol)
        assert found.nll == pytest.approx(-float(logs.mean()), rel=rtol)

    for sharing in {model.shares, False}:
        model.shares = sharing
        for order in (list(range(len(rows))), list(range(len(rows)))[::-1]):
            for batch in done.engine.score([rows[i] for i in order]):
                for found in batch:
                    check(found, order[found.row])
        for i in (0, 4, len(rows) - 1):
            check(next(done.engine.score([rows[i]]))[0], i)

    # The gain of the picture is against a grey one of its size, computed by the family's own processor.
    (found,) = next(done.engine.score([rows[4]]))
    messages, shown = told[4]
    grey = [Picture("", "", part.width, part.height, blank=True) for part in shown]
    _, logs = by_token(judge, rows[4], native(plain, rows[4], messages, grey))
    assert found.image_gain == pytest.approx(float(exact[4][1].mean() - logs.mean()), rel=1e-3, abs=10 * rtol)
    if name not in ONE_PICTURE:
        assert next(done.engine.score([rows[-1]]))[0].image_gain is None


@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_is_marked_where_a_picture_is_many_ids(name: str, tmp_path: Path) -> None:
    _, processor = build(name, torch.float32)
    vision = Vision(processor)
    for number, expected in enumerate(EXPECTED[name]):
        row = encode(asked(1, "what?", "dark red"), None, vision.tokenizer, 1024, vision, [picture(tmp_path, number)])
        ends = {"idefics3": "<end_of_utterance>", "smolvlm": "<end_of_utterance>"}
        assert vision.tokenizer.decode(row.answer) == "dark red" + ends.get(name, "</s>")
        mark = processor.tokenizer.convert_tokens_to_ids("<image_soft_token>") if name == "gemma3" else None
        assert row.ids.count(mark or processor.image_token_id) == expected
        assert all(position < row.start for position in row.picture_positions) and row.pictures_end <= row.start - 1
        assert vision.tokenizer.decode(row.ids[: row.start]).rstrip().endswith(("assistant:", "what?"))


@pytest.mark.parametrize("name", FAMILIES)
def test_questions_on_one_picture_share_it_where_the_model_reads_forward(name: str) -> None:
    whole, processor = build(name, torch.float32)
    vision = Vision(processor)
    assert take_apart(whole, vision.tokenizer, name, vision=vision).shares == (name != "paligemma")


def test_a_picture_with_many_questions_goes_through_the_encoder_once(tmp_path: Path) -> None:
    whole, processor = build("llava", torch.float32)
    vision = Vision(processor)
    model = take_apart(whole, vision.tokenizer, "llava", vision=vision)
    shown = [picture(tmp_path, 0)]
    rows = [
        encode(asked(1, f"what is {i} * {i}?", "yes"), None, model.tokenizer, 999, vision, shown) for i in range(30)
    ]
    engine = open_engine(model, rows[:3], rows[3:6], Options(batch_tokens=200, conditional_gain=False)).engine
    seen = []
    model.release()
    whole.model.vision_tower.register_forward_hook(lambda *_: seen.append(1))
    assert sum(len(batch) for batch in engine.score(rows)) == 30
    assert len(seen) == 1


def test_a_prompt_with_pictures_is_not_cut_but_the_answer_is(tmp_path: Path) -> None:
    _, processor = build("llava", torch.float32)
    vision = Vision(processor)
    shown = [picture(tmp_path, 0)]
    whole = encode(asked(1, "what?", "red " * 40), None, vision.tokenizer, 999, vision, shown)
    cut = encode(asked(1, "what?", "red " * 40), None, vision.tokenizer, whole.start + 5, vision, shown)
    assert (cut.ids, cut.truncated, cut.end) == (whole.ids[: whole.start + 5], True, whole.start + 5)
    with pytest.raises(Unscorable, match=r"the prompt with its pictures has .* tokens .* raise scoring.max_tokens"):
        encode(asked(1, "what?", "red"), None, vision.tokenizer, whole.start, vision, shown)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("pictures", [1, 0])
@pytest.mark.parametrize("part", ["question", "answer"])
def test_a_row_of_a_million_characters_is_cut_before_the_processor_reads_it(
    name: str, pictures: int, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not pictures and name in ONE_PICTURE:
        pytest.skip("this family takes rows with pictures only")
    _, processor = build(name, torch.float32)
    vision, shown = Vision(processor), [picture(tmp_path, 0)] * pictures
    texts, read = {"question": "what is this?", "answer": "red"}, list[int]()
    turns = asked(pictures, *(texts | {part: "yes, no, red, green " * 12_000}).values())
    ids = vision.ids
    monkeypatch.setattr(
        vision, "ids", lambda text, *more: read.append(len(text + "".join(more[1:]))) or ids(text, *more)
    )
    if pictures and part == "question":
        with pytest.raises(
            Unscorable, match=r"the prompt with its pictures has 240,\d+ characters .* raise scoring.max"
        ):
            encode(turns, None, vision.tokenizer, 100, vision, shown)
        assert not read
        return
    row = encode(turns, None, vision.tokenizer, 100, vision, shown)
    assert row.truncated and len(row.ids) == 100 and max(read) < 70_000
    monkeypatch.setattr(encoded, "FAR", 150)
    assert encode(turns, None, vision.tokenizer, 100, vision, shown) == row, "the same from more of the text"
    assert max(read) > 150_000


def test_a_text_model_refuses_a_row_with_pictures(tmp_path: Path) -> None:
    _, processor = build("llava", torch.float32)
    with pytest.raises(Unscorable, match="the row has pictures and the model reads texts only"):
        encode(asked(1, "what?", "red"), None, processor.tokenizer, 999, None, [picture(tmp_path, 0)])


def test_a_picture_that_is_gone_stops_the_batch_with_a_sentence(tmp_path: Path) -> None:
    _, processor = build("llava", torch.float32)
    vision, shown = Vision(processor), picture(tmp_path, 0)
    Path(shown.path).unlink()
    with pytest.raises(Unreadable, match=r"cannot be read .* run ingest again"):
        vision.inputs([[shown]], [{}], 10)
