"""A canary has the defect that its kind says, always the same one, and is no row that is trusted."""

import re
from dataclasses import replace

import numpy as np
import pytest

from oresight.tasks.detection.defects import KINDS, Row, planted
from oresight.tasks.detection.twins import without_twin

WORDS = re.findall(r"\w+", "the river runs past an old mill where bread was once baked for the whole valley")
TEXTS = [
    Row(
        f"t{i:02}",
        f"Question {i % 7} about topic {i % 5}?",
        f"{' '.join(WORDS[: 8 + i % 8])} and {1000 + 37 * i} more.",
    )
    for i in range(60)
]
LABELS = [Row(f"l{i:02}", f"Is claim {i} of kind {i % 3} true?", "yes" if i % 3 else "no") for i in range(60)]
PICTURES = [
    Row(f"p{i:02}", f"what color is the {('square', 'circle')[i % 2]}?", ("red", "blue", "green")[i % 3], (f"sha {i}",))
    for i in range(60)
]  # fmt: skip
ALL = {row.sample_id: row for row in [*TEXTS, *LABELS, *PICTURES]}


def copies(kind: str, rows: list[Row]) -> list[tuple[Row, Row]]:
    """Twins and canaries."""
    return [(ALL[copy.sample_id], copy) for _, copy in planted(rows, 30, [kind])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [TEXTS, LABELS, PICTURES], ids=["texts", "labels", "pictures"])
def test_a_canary_differs_from_its_twin_and_from_every_trusted_row(kind: str, rows: list[Row]) -> None:
    trusted = {(row.prompt, row.answer.strip(), row.images, row.is_blank) for row in rows}
    for _, copy in copies(kind, rows):
        assert (copy.prompt, copy.answer.strip(), copy.images, copy.is_blank) not in trusted


def test_what_is_planted_depends_on_the_rows_alone() -> None:
    assert planted(TEXTS, 20) == planted(TEXTS, 20)
    assert planted(TEXTS, 10, ["truncated_answer"]) == planted(TEXTS, 20, ["truncated_answer"])[:10]


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        (TEXTS, {"swapped_answer", "family_answer", "changed_number", "truncated_answer", "foreign_text"}),
        (LABELS, {"swapped_answer", "another_label"}),
        (PICTURES, {"swapped_answer", "another_label", "swapped_image", "blanked_image"}),
    ],
    ids=["texts", "labels", "pictures"],
)
def test_kinds_are_planted_where_they_can_be(rows: list[Row], kinds: set[str]) -> None:
    assert {kind for kind, _ in planted(rows, 10)} == kinds


def test_a_number_is_changed_wherever_it_stands_and_keeps_its_digits() -> None:
    rows = [Row(f"n{i}", f"{i + 10} apples?", f"{i + 10} and 3 is {i + 13}. So {i + 13}.") for i in range(40)]
    for _, copy in planted(rows, 40, ["changed_number"]):
        first, three, sum_, again = re.findall(r"\d+", copy.answer)
        assert (first, three) == (str(int(copy.sample_id[1:]) + 10), "3")
        assert sum_ == again != str(int(first) + 3)
        assert len(sum_) == 2


def test_a_truncated_answer_is_the_beginning() -> None:
    for twin, copy in copies("truncated_answer", TEXTS):
        assert twin.answer.startswith(copy.answer)
        assert 0.2 < len(copy.answer) / len(twin.answer) < 0.85


def test_another_label_is_one_that_such_questions_have() -> None:
    for twin, copy in copies("another_label", PICTURES):
        assert {copy.answer, twin.answer} < {"red", "blue", "green"}
        assert copy == replace(twin, answer=copy.answer)


def test_a_family_answer_belongs_to_a_similar_prompt() -> None:
    other = {row.answer: row for row in TEXTS}
    shared = [
        len(set(twin.prompt.split()) & set(other[copy.answer].prompt.split()))
        for twin, copy in copies("family_answer", TEXTS)
    ]
    assert np.mean(shared) > 3.5  # of five words; any two prompts share 3.3


def test_a_swapped_image_shows_what_has_another_answer() -> None:
    of = {row.images: row for row in PICTURES}
    for twin, copy in copies("swapped_image", PICTURES):
        assert of[copy.images].answer != twin.answer


def test_without_its_twin_a_canary_is_valued_as_if_the_twin_were_not_trusted() -> None:
    draw = np.random.default_rng(0)
    vector_RM, vector_CM = draw.normal(size=(30, 8)), draw.normal(size=(5, 8))
    state_RS, twins = draw.normal(size=(30, 4)), np.array([3, 0, 29, 7, 3])
    value, local = without_twin(
        value_C=vector_CM @ vector_RM.mean(0),
        vector_CM=vector_CM,
        state_CS=state_RS[twins],
        twins_C=twins,
        vector_RM=vector_RM,
        state_RS=state_RS,
    )
    for i, twin in enumerate(twins):
        others = np.delete(np.arange(30), twin)
        assert np.isclose(value[i], vector_CM[i] @ vector_RM[others].mean(0))
        cosine = state_RS[others] @ state_RS[twin] / np.linalg.norm(state_RS[others], axis=1)
        assert np.isclose(local[i], (vector_RM[others[np.argsort(-cosine)[:20]]] @ vector_CM[i]).mean())
