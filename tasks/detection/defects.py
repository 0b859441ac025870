"""Known defects that are planted in copies of trusted rows. Such a copy is a canary.

Each kind of defect takes a row and returns the defective copy, or None where it cannot be planted, for instance because
there is no number to change. The random draws depend on the row, the kind and the other rows only, so that the same
reference always gives the same canaries.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

SEED = "canary 1"
NEAREST = 10
"""Rows with the most similar prompts, from which a plausible wrong answer is taken."""
LABEL_WORDS, LABEL_TIMES = 5, 3
"""An answer of at most LABEL_WORDS words that is given at least LABEL_TIMES times is a label."""
FOREIGN_TEXTS = (
    "Der Zug nach Leipzig fährt heute leider erst um halb neun von Gleis sieben ab.",
    "Il faut ajouter la farine petit à petit, sans cesser de remuer la pâte.",
    "La reunión se aplazó hasta el martes porque el director estaba de viaje.",
    "Завтра утром обещают сильный ветер и небольшой дождь на побережье.",
    "请在星期五之前把修改后的合同发给我们的办公室。",
    "この電車は次の駅で五分ほど停車いたします。",
    "&nbsp;</div><div class=\"footer\"><a href=\"/terms\">Terms</a> | <a href=\"/login\">Log in</a></div>",
    "Ã©tÃ© â€œcâ€™est-Ã -direâ€\x9d Ã¼berÃ¤ll \ufffd\ufffd\ufffd",
    "asdkj qwpeoi zxmnv ;;; lkjh0987 -- --- %%% aaaaaaaa",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    "ERROR 500: NullPointerException at line 1 (null) undefined undefined",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """The parts of a row that a defect can change."""

    sample_id: str
    prompt: str
    answer: str
    images: tuple[str, ...] = ()
    """SHA-256 of each of its pictures, in order."""
    is_blank: bool = False
    """Its pictures are replaced by grey ones of the same sizes."""


@dataclass(frozen=True)
class TrustedRows:
    """The rows that are copied. Wrong answers are taken from them too."""

    rows: Sequence[Row]

    @cached_property
    def labels(self) -> Counter[str]:
        """Answers that are labels, with the number of times that each is given."""
        times = Counter(row.answer.strip() for row in self.rows)
        return Counter({a: n for a, n in times.items() if n >= LABEL_TIMES and len(a.split()) <= LABEL_WORDS})

    @cached_property
    def _tfidf(self) -> Any:
        vectorizer = TfidfVectorizer(analyzer=re.compile(r"\w+").findall, sublinear_tf=True)
        return vectorizer.fit_transform([row.prompt.lower() for row in self.rows] + ["-"])[:-1]

    def similar(self, position: int) -> list[Row]:
        """The NEAREST other rows by TF-IDF cosine of their prompts, the most similar first."""
        cosine = (self._tfidf @ self._tfidf[position].T).toarray()[:, 0]
        cosine[position] = -1
        return [self.rows[i] for i in np.argsort(-cosine, kind="stable")[: min(NEAREST, len(self.rows) - 1)]]


Defect = Callable[[TrustedRows, int, random.Random], Row | None]
"""Trusted rows, the position of the row to copy, a random generator -> the defective copy."""


def swapped_answer(trusted: TrustedRows, position: int, draw: random.Random) -> Row | None:
    """Give the row the answer of another row."""
    row = trusted.rows[position]
    answers = [other.answer for other in trusted.rows if other.answer.strip() != row.answer.strip()]
    return replace(row, answer=draw.choice(answers)) if answers else None


def family_answer(trusted: TrustedRows, position: int, draw: random.Random) -> Row | None:
    """Give the row the answer to a similar prompt, if its own answer is no label."""
    row = trusted.rows[position]
    if row.answer.strip() in trusted.labels:
        return None
    answers = [other.answer for other in trusted.similar(position) if other.answer.strip() != row.answer.strip()]
    return replace(row, answer=draw.choice(answers[:3])) if answers else None


def another_label(trusted: TrustedRows, position: int, draw: random.Random) -> Row | None:
    """Replace a label by another label: no for yes, B for A, blue for red. Labels of similar prompts are preferred."""
    row, labels = trusted.rows[position], trusted.labels
    if row.answer.strip() not in labels:
        return None
    similar = Counter(other.answer.strip() for other in trusted.similar(position))
    choices = {a: n for a, n in similar.items() if a in labels and a != row.answer.strip()}
    choices = choices or {a: n for a, n in labels.items() if a != row.answer.strip()}
    return replace(row, answer=draw.choices([*choices], [*choices.values()])[0]) if choices else None


def changed_number(trusted: TrustedRows, position: int, draw: random.Random) -> Row | None:
    """Replace the last number of the answer that is not in the prompt by one with as many digits, everywhere."""
    row = trusted.rows[position]
    in_prompt = set(re.findall(r"\d+", row.prompt))
    numbers = [number for number in re.findall(r"\d+", row.answer) if number not in in_prompt and len(number) < 10]
    if not numbers:
        return None
    right, digits = numbers[-1], len(numbers[-1])
    low, high = 0 if digits == 1 else 10 ** (digits - 1), 10**digits
    candidates = draw.sample(range(low, high), min(high - low, 10))
    wrong = draw.choice([number for number in candidates if str(number) != right])
    return replace(row, answer=re.sub(rf"(?<!\d){right}(?!\d)", str(wrong), row.answer))


def truncated_answer(trusted: TrustedRows, position: int, draw: random.Random) -> Row | None:
    """Cut the end off the answer; a quarter to three quarters of its words stay."""
    row = trusted.rows[position]
    words = list(re.finditer(r"\S+", row.answer))
    if len(words) < 8:
        return None
    end = words[round(len(words) * draw.uniform(0.25, 0.75)) - 1].end()
    return replace(row, answer=row.answer[:end].rstrip(".,;:!?"))


def foreign_text(trusted: TrustedRows, position: int, draw: random.Random) -> Row | None:
    """Insert a sentence in another language, or garbage, between two words of the answer."""
    row = trusted.rows[position]
    words = list(re.finditer(r"\S+", row.answer))
    if len(words) < 4:
        return None
    cut = words[draw.randrange(1, len(words))].start()
    return replace(row, answer=f"{row.answer[:cut]}{draw.choice(FOREIGN_TEXTS)} {row.answer[cut:]}")


def swapped_image(trusted: TrustedRows, position: int, draw: random.Random) -> Row | None:
    """Give the row the pictures of a row with a similar question and another answer."""
    row = trusted.rows[position]
    pictures = [
        other.images
        for other in trusted.similar(position)
        if len(other.images) == len(row.images) and other.images != row.images and other.answer != row.answer
    ]
    return replace(row, images=draw.choice(pictures)) if row.images and pictures else None


def blanked_image(trusted: TrustedRows, position: int, draw: random.Random) -> Row | None:  # noqa: ARG001
    """Replace the pictures by grey ones."""
    row = trusted.rows[position]
    return replace(row, is_blank=True) if row.images else None


KINDS: dict[str, Defect] = {
    defect.__name__: defect
    for defect in (
        swapped_answer, family_answer, another_label, changed_number, truncated_answer, foreign_text, swapped_image,
        blanked_image,
    )
}  # fmt: skip


def planted(rows: Sequence[Row], per_kind: int, kinds: Sequence[str] = tuple(KINDS)) -> list[tuple[str, Row]]:
    """Defective copies with their kind, at most per_kind of each kind. A copy keeps the sample_id of its trusted row.

    A copy that equals a trusted row is left out: it would be no defect.
    """
    trusted, canaries = TrustedRows(rows), list[tuple[str, Row]]()
    contents = {(row.prompt, row.answer.strip(), row.images) for row in rows}
    for kind in kinds:
        draws = [random.Random(f"{SEED} {kind} {row.sample_id}") for row in rows]
        order = [position for _, position in sorted((draw.random(), i) for i, draw in enumerate(draws))]
        copies = (KINDS[kind](trusted, position, draws[position]) for position in order)
        defective = (
            copy
            for copy in copies
            if copy and (copy.is_blank or (copy.prompt, copy.answer.strip(), copy.images) not in contents)
        )
        canaries += [(kind, copy) for copy in islice(defective, per_kind)]
    return canaries
