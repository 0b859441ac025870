"""Known defects, to be planted in copies of trusted rows: such a copy is a canary.

Each kind takes a row and gives the defective copy, or None where it cannot be planted: there is no number to change, or
the copy would be a row that is trusted too. What is drawn depends on the row, the kind and the other rows only.
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
NEAR = 10
"""Rows with the most similar prompts, among which a plausible wrong answer is looked for."""
LABEL_WORDS, LABEL_TIMES = 5, 3
"""An answer of at most so many words that is given at least so often is a label."""
FOREIGN = (
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
    """What of a row a defect can touch."""

    sample_id: str
    prompt: str
    answer: str
    images: tuple[str, ...] = ()
    """SHA-256 of its pictures, in order."""
    is_blank: bool = False
    """Grey pictures of the same sizes stand for its pictures."""


@dataclass(frozen=True)
class Trusted:
    """The rows that are copied, and that wrong answers are taken from."""

    rows: Sequence[Row]

    @cached_property
    def labels(self) -> Counter[str]:
        """Answers that are labels, with how often they are given."""
        times = Counter(row.answer.strip() for row in self.rows)
        return Counter({a: n for a, n in times.items() if n >= LABEL_TIMES and len(a.split()) <= LABEL_WORDS})

    @cached_property
    def _words(self) -> Any:
        words = TfidfVectorizer(analyzer=re.compile(r"\w+").findall, sublinear_tf=True)
        return words.fit_transform([row.prompt.lower() for row in self.rows] + ["-"])[:-1]

    def alike(self, place: int) -> list[Row]:
        """The other rows, those with the most similar prompts (TF-IDF cosine) first; the first NEAR of them."""
        near = (self._words @ self._words[place].T).toarray()[:, 0]
        near[place] = -1
        return [self.rows[i] for i in np.argsort(-near, kind="stable")[: min(NEAR, len(self.rows) - 1)]]


Kind = Callable[[Trusted, int, random.Random], Row | None]


def swapped_answer(trusted: Trusted, place: int, draw: random.Random) -> Row | None:
    """The answer of any other row."""
    row = trusted.rows[place]
    other = [one.answer for one in trusted.rows if one.answer.strip() != row.answer.strip()]
    return replace(row, answer=draw.choice(other)) if other else None


def family_answer(trusted: Trusted, place: int, draw: random.Random) -> Row | None:
    """The answer to a similar prompt, where answers are no labels."""
    row = trusted.rows[place]
    if row.answer.strip() in trusted.labels:
        return None
    other = [one.answer for one in trusted.alike(place) if one.answer.strip() != row.answer.strip()]
    return replace(row, answer=draw.choice(other[:3])) if other else None


def another_label(trusted: Trusted, place: int, draw: random.Random) -> Row | None:
    """Another of the labels, one that similar prompts have where there is one: no for yes, B for A, blue for red."""
    row, labels = trusted.rows[place], trusted.labels
    if row.answer.strip() not in labels:
        return None
    near = Counter(one.answer.strip() for one in trusted.alike(place))
    other = {a: n for a, n in near.items() if a in labels and a != row.answer.strip()}
    other = other or {a: n for a, n in labels.items() if a != row.answer.strip()}
    return replace(row, answer=draw.choices([*other], [*other.values()])[0]) if other else None


def changed_number(trusted: Trusted, place: int, draw: random.Random) -> Row | None:
    """Another number of as many digits for the answer's last one that the prompt does not hold, wherever it stands."""
    row = trusted.rows[place]
    given = set(re.findall(r"\d+", row.prompt))
    own = [number for number in re.findall(r"\d+", row.answer) if number not in given and len(number) < 10]
    if not own:
        return None
    low = 0 if len(own[-1]) == 1 else 10 ** (len(own[-1]) - 1)
    other = draw.choice([n for n in _some(low, 10 ** len(own[-1]), draw) if str(n) != own[-1]])
    return replace(row, answer=re.sub(rf"(?<!\d){own[-1]}(?!\d)", str(other), row.answer))


def _some(low: int, high: int, draw: random.Random) -> list[int]:
    return draw.sample(range(low, high), min(high - low, 10))


def truncated_answer(trusted: Trusted, place: int, draw: random.Random) -> Row | None:
    """The answer without its end, a quarter to three quarters of it."""
    row = trusted.rows[place]
    words = list(re.finditer(r"\S+", row.answer))
    if len(words) < 8:
        return None
    end = words[round(len(words) * draw.uniform(0.25, 0.75)) - 1].end()
    return replace(row, answer=row.answer[:end].rstrip(".,;:!?"))


def foreign_text(trusted: Trusted, place: int, draw: random.Random) -> Row | None:
    """A sentence in another language, or garbage, between two words of the answer."""
    row = trusted.rows[place]
    words = list(re.finditer(r"\S+", row.answer))
    if len(words) < 4:
        return None
    cut = words[draw.randrange(1, len(words))].start()
    return replace(row, answer=f"{row.answer[:cut]}{draw.choice(FOREIGN)} {row.answer[cut:]}")


def swapped_image(trusted: Trusted, place: int, draw: random.Random) -> Row | None:
    """The pictures of a row whose similar question has another answer."""
    row = trusted.rows[place]
    other = [
        one.images
        for one in trusted.alike(place)
        if len(one.images) == len(row.images) and one.images != row.images and one.answer != row.answer
    ]
    return replace(row, images=draw.choice(other)) if row.images and other else None


def blanked_image(trusted: Trusted, place: int, draw: random.Random) -> Row | None:  # noqa: ARG001
    """Grey pictures."""
    row = trusted.rows[place]
    return replace(row, is_blank=True) if row.images else None


KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in (
        swapped_answer, family_answer, another_label, changed_number, truncated_answer, foreign_text, swapped_image,
        blanked_image,
    )
}  # fmt: skip


def planted(rows: Sequence[Row], per_kind: int, kinds: Sequence[str] = tuple(KINDS)) -> list[tuple[str, Row]]:
    """Kind and defective copy, at most per_kind of each; sample_id is that of the row that was copied."""
    trusted, found = Trusted(rows), list[tuple[str, Row]]()
    there = {(row.prompt, row.answer.strip(), row.images) for row in rows}
    for kind in kinds:
        draws = [random.Random(f"{SEED} {kind} {row.sample_id}") for row in rows]
        order = [place for _, place in sorted((draw.random(), place) for place, draw in enumerate(draws))]
        copies = (KINDS[kind](trusted, place, draws[place]) for place in order)
        new = (
            copy
            for copy in copies
            if copy and (copy.is_blank or (copy.prompt, copy.answer.strip(), copy.images) not in there)
        )
        found += [(kind, copy) for copy in islice(new, per_kind)]
    return found
