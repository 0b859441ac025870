"""Rows of easy-VQA's test pictures (PyPI package easy-vqa, MIT), which the embedded model was not trained on, and wrong
answers to plant in them: another answer of the same type."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import easy_vqa

TYPES = (
    ("yes", "no"),
    ("circle", "rectangle", "triangle"),
    ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow"),
)


class Row(NamedTuple):
    """A question on a picture."""

    id: str
    file: str
    question: str
    answer: str
    wrong: bool = False


def drawn(seed: int, rows: int, trusted: int, wrong: float) -> tuple[list[Row], list[Row]]:
    """Rows with a share of planted wrong answers, and trusted rows, on other pictures."""
    draw = random.Random(seed)
    files = easy_vqa.get_test_image_paths()
    by_picture: dict[int, list[Row]] = {}
    for number, (question, answer, picture) in enumerate(zip(*easy_vqa.get_test_questions(), strict=True)):
        by_picture.setdefault(picture, []).append(Row(f"easy-{number}", files[picture], question, answer))
    pictures = draw.sample(sorted(by_picture), len(by_picture))
    clean: list[Row] = []
    while len(clean) < trusted:
        clean += by_picture[pictures.pop()]
    raw: list[Row] = []
    while len(raw) < rows:
        raw += by_picture[pictures.pop()]
    raw = raw[:rows]
    planted = set(draw.sample(range(rows), round(rows * wrong)))
    return [mistaken(row, draw) if i in planted else row for i, row in enumerate(raw)], clean[:trusted]


def mistaken(row: Row, draw: random.Random) -> Row:
    """The row with another answer of the same type."""
    kind = next(answers for answers in TYPES if row.answer in answers)
    return row._replace(answer=draw.choice([answer for answer in kind if answer != row.answer]), wrong=True)


def as_llava(rows: Sequence[Row], folder: str = "images") -> list[dict[str, object]]:
    """The rows in LLaVA's layout."""
    return [
        {
            "id": row.id,
            "image": f"{folder}/{row.file.rsplit('/', 1)[-1]}",
            "conversations": [
                {"from": "human", "value": f"<image>\n{row.question}"},
                {"from": "gpt", "value": row.answer},
            ],
        }
        for row in rows
    ]
