"""Trains the embedded vision-language model, a toy for the demo and the tests, and says how well it answers.

    python tests/data/make_easy_vqa_llava.py [FOLDER]

A LLaVA (CLIP's encoder, a projector, Llama) of 1.8 million parameters, from nothing, on the 4,000 training pictures of
the PyPI package easy-vqa (MIT) and their questions; then its answers to the questions on the 1,000 test pictures.
Takes about 20 minutes on 2 cores. The encoder first learns to name colours and shapes: with the questions alone it sits
for long where it answers without looking. One picture in twenty is blank, and one prompt in twenty is missing, so that
the model also knows what is likely without them: that is what the gains are measured against.
"""

import sys
import time
from pathlib import Path

import easy_vqa
import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

FOLDER = Path(__file__).parents[2] / "tasks" / "scoring" / "easy-vqa-llava"
SIDE, PATCH, WIDTH = 64, 16, 128
PATCHES = (SIDE // PATCH) ** 2
NAMES = (
    ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow"),
    ("circle", "rectangle", "triangle"),
)
SEEING, PICTURES, BLANK = 80, 8, 0.05
ROUNDS = ((10, 1e-3), (6, 1e-3))
"""Epochs and highest learning rate; each round warms up and cools down. A folder with a model goes on with the last."""
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper ~ ': ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\n' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '</s>' if message['role'] == 'assistant' else '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

Rows = list[tuple[str, str, int]]


def tokenizer_of(rows: Rows) -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text can be written, and every word of easy-VQA is one token."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<image>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=special, initial_alphabet=alphabet)
    inner.train_from_iterator((f"USER: \n{q}\nASSISTANT: {a}" for q, a, _ in rows), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>", image_token="<image>"
    )


def processor_of(rows: Rows) -> LlavaProcessor:
    size = {"height": SIDE, "width": SIDE}
    pictures = CLIPImageProcessorPil(
        size=size, crop_size=size, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    return LlavaProcessor(
        pictures,
        tokenizer_of(rows),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )


def model_of(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    vision = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=4, num_attention_heads=4,
        image_size=SIDE, patch_size=PATCH, projection_dim=WIDTH,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=3 * WIDTH, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1, vision_feature_select_strategy="default", tie_word_embeddings=True,
    )  # fmt: skip
    return LlavaForConditionalGeneration(config)


def pixels_of(paths: dict[int, str], processor: LlavaProcessor) -> Tensor:
    """Every picture [pictures, 3, SIDE, SIDE], as the processor gives it."""
    pictures = [Image.open(paths[i]).convert("RGB") for i in range(len(paths))]
    parts = [pictures[i : i + 200] for i in range(0, len(pictures), 200)]
    return torch.cat([processor.image_processor(part, return_tensors="pt")["pixel_values"] for part in parts])


class Texts:
    """Rows as ids: the text behind the picture up to and with the answer, and where the answer is."""

    def __init__(self, rows: Rows, processor: LlavaProcessor) -> None:
        tokenizer = processor.tokenizer
        self.before = tokenizer("USER: ")["input_ids"]
        self.header = tokenizer("ASSISTANT:")["input_ids"]
        ask = tokenizer([f"\n{q}\nASSISTANT:" for q, _, _ in rows])["input_ids"]
        tell = tokenizer([f" {a}</s>" for _, a, _ in rows])["input_ids"]
        self.asks, self.tells = ask, tell
        self.pictures = [i for _, _, i in rows]

    def batch(self, rows: list[int], alone: set[int]) -> tuple[Tensor, Tensor]:
        """Ids and labels [rows, length]; the picture's places hold -1. Rows in `alone` are header and answer only."""
        ids, labels = [], []
        for row in rows:
            before = self.header if row in alone else [*self.before, *[-1] * PATCHES, *self.asks[row]]
            ids.append(torch.tensor([*before, *self.tells[row]]))
            labels.append(torch.tensor([*[-100] * len(before), *self.tells[row]]))
        pad = torch.nn.utils.rnn.pad_sequence
        return pad(ids, batch_first=True), pad(labels, batch_first=True, padding_value=-100)


def logits_of(model: LlavaForConditionalGeneration, pixels: Tensor, place: Tensor, ids: Tensor, rows: Tensor) -> Tensor:
    """Logits at the places [positions, V], a picture encoded once for all its questions."""
    seen = torch.stack(list(model.get_image_features(pixel_values=pixels).pooler_output))
    embedded = model.get_input_embeddings()(ids.clamp_min(0))
    here = ids == -1
    wanted = seen[place[here.any(1)]].reshape(-1, embedded.shape[-1])
    embedded = embedded.masked_scatter(here[..., None], wanted)
    states = model.model.language_model(inputs_embeds=embedded).last_hidden_state
    return model.lm_head(states[rows[:, 0], rows[:, 1]])


def run(model: LlavaForConditionalGeneration, pixels: Tensor, texts: Texts, rows: list[int], alone: set[int],
        ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Logits, labels and row of every answer token."""
    pictures = sorted({texts.pictures[row] for row in rows})
    place = torch.tensor([pictures.index(texts.pictures[row]) for row in rows])
    ids, labels = texts.batch(rows, alone)
    positions = (labels[:, 1:] != -100).nonzero()  # the state at i predicts the token at i + 1
    logits = logits_of(model, pixels[pictures], place, ids, positions)
    return logits, labels[:, 1:][positions[:, 0], positions[:, 1]], positions[:, 0]


def learn_to_see(model: LlavaForConditionalGeneration, pixels: Tensor, rows: Rows, chance: np.random.Generator) -> None:
    """Train encoder and projector to name colour and shape, over all patches, where the rows tell them."""
    told = torch.full((len(NAMES), len(pixels)), -100)
    for _, answer, picture in rows:
        for kind, names in enumerate(NAMES):
            if answer in names:
                told[kind, picture] = names.index(answer)
    sizes = [len(names) for names in NAMES]
    head = torch.nn.Linear(WIDTH, sum(sizes))
    parameters = [p for n, p in model.named_parameters() if "language_model" not in n] + list(head.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-3, total_steps=SEEING * -(-len(pixels) // 64), pct_start=0.1
    )
    for epoch in range(SEEING):
        right = 0
        for part in np.array_split(chance.permutation(len(pixels)), -(-len(pixels) // 64)):
            seen = torch.stack(list(model.get_image_features(pixel_values=flipped(pixels[part], chance)).pooler_output))
            found = list(zip(head(seen.mean(1)).split(sizes, dim=1), told[:, part], strict=True))
            loss = sum(torch.nn.functional.cross_entropy(logits, names) for logits, names in found)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            right += sum(int((logits.argmax(1) == names).sum()) for logits, names in found)
        if epoch % 5 == 4:
            print(f"seeing, epoch {epoch + 1}: {right / int((told >= 0).sum()):.3f} named rightly", flush=True)


def flipped(pixels: Tensor, chance: np.random.Generator) -> Tensor:
    """Mirrored or not, either way: a shape stays what it is."""
    pixels = pixels.flip(-1) if chance.random() < 0.5 else pixels
    return pixels.flip(-2) if chance.random() < 0.5 else pixels


def learn_to_answer(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    pixels: Tensor,
    rows: Rows,
    chance: np.random.Generator,
    epochs: int,
    rate: float,
) -> None:
    """One round over the questions, a few pictures with all their questions at a time."""
    texts = Texts(rows, processor)
    of: dict[int, list[int]] = {}
    for row, picture in enumerate(texts.pictures):
        of.setdefault(picture, []).append(row)
    steps = epochs * -(-len(of) // PICTURES)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    begun = time.monotonic()
    for epoch in range(epochs):
        model.train()
        order, total = chance.permutation(len(of)), 0.0
        for start in range(0, len(order), PICTURES):
            pictures = order[start : start + PICTURES].tolist()
            rows = [row for picture in pictures for row in of[picture]]
            mixed = flipped(pixels[pictures], chance)
            blank = torch.from_numpy(chance.random(len(pictures)) < BLANK)
            mixed = torch.where(blank[:, None, None, None], torch.zeros_like(mixed), mixed)
            alone = {row for row in rows if chance.random() < BLANK}
            table = {picture: i for i, picture in enumerate(pictures)}
            ids, labels = texts.batch(rows, alone)
            positions = (labels[:, 1:] != -100).nonzero()
            place = torch.tensor([table[texts.pictures[row]] for row in rows])
            logits = logits_of(model, mixed, place, ids, positions)
            loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:][positions[:, 0], positions[:, 1]])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        model.eval()
        seconds = time.monotonic() - begun
        print(f"epoch {epoch + 1}: loss {total * PICTURES / len(order):.4f}, {seconds:.0f} s", flush=True)


def accuracy(model: LlavaForConditionalGeneration, pixels: Tensor, texts: Texts) -> float:
    """Share of questions of which every answer token, the end included, is the likeliest one."""
    right = 0
    with torch.inference_mode():
        for start in range(0, len(texts.asks), 500):
            rows = list(range(start, min(start + 500, len(texts.asks))))
            logits, labels, row = run(model, pixels, texts, rows, set())
            wrong = row[logits.argmax(-1) != labels].unique()
            right += len(rows) - len(wrong)
    return right / len(texts.asks)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    torch.manual_seed(0)
    chance = np.random.default_rng(0)
    train: Rows = list(zip(*easy_vqa.get_train_questions(), strict=True))
    test: Rows = list(zip(*easy_vqa.get_test_questions(), strict=True))
    processor = processor_of(train)
    model = model_of(processor.tokenizer)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(processor.tokenizer)} tokens", flush=True)
    pixels = pixels_of(easy_vqa.get_train_image_paths(), processor)
    held_pixels = pixels_of(easy_vqa.get_test_image_paths(), processor)
    rounds = ROUNDS
    if (folder / "model.safetensors").is_file():
        model, rounds = LlavaForConditionalGeneration.from_pretrained(folder), ROUNDS[-1:]
    else:
        learn_to_see(model, pixels, train, chance)
    model.model.vision_tower.requires_grad_(False)  # or it forgets the shapes before the questions need them
    for epochs, rate in rounds:
        learn_to_answer(model, processor, pixels, train, chance, epochs, rate)
        texts = Texts(test, processor)
        print(f"held-out accuracy {accuracy(model, held_pixels, texts):.4f}", flush=True)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)


if __name__ == "__main__":
    main()
