"""Rows that ask what no trusted row asks are named; rows that ask the same are not, with few trusted rows too."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from oresight.tasks.detection.estimate import local_fdr, with_heavy_tail, with_normal_tail
from oresight.tasks.detection.lengths import Features, beyond
from oresight.tasks.detection.likeness import Likeness, likeness

SIZE = 64


def states(seed: int, rows: int, kind: int) -> np.ndarray:
    """States of rows of a kind: a centre and noise of the same size."""
    centre = np.random.default_rng(kind).normal(size=SIZE)
    return (centre + np.random.default_rng(seed).normal(size=(rows, SIZE))).astype(np.float32)


def compared(rows: np.ndarray, trusted: np.ndarray) -> Likeness:
    """Rows and trusted rows whose answers are equally long."""
    return likeness(*(Features(each, np.ones(len(each))) for each in (rows, trusted)))


@pytest.mark.parametrize(
    ("trusted", "foreign", "found"), [(20, 60, 0.5), (20, 300, 0.95), (40, 60, 0.95), (200, 60, 0.95)]
)
def test_rows_of_another_kind_are_unlike_and_rows_of_the_same_kind_are_not(
    trusted: int, foreign: int, found: float
) -> None:
    ours, others = [], []
    for seed in range(5):
        rows = np.concatenate([states(seed, 300, 1), states(seed + 50, foreign, 2)])
        is_unlike = compared(rows, states(seed + 100, trusted, 1)).is_unlike_N
        ours.append(is_unlike[:300].mean())
        others.append(is_unlike[300:].mean())
    assert np.mean(others) > found and np.mean(ours) < 0.1


@pytest.mark.parametrize("trusted", [20, 200])
def test_where_all_rows_are_of_one_kind_hardly_any_is_called_unlike(trusted: int) -> None:
    told = [compared(states(seed, 400, 1), states(seed + 100, trusted, 1)).is_unlike_N.mean() for seed in range(20)]
    assert np.mean(told) < 0.02


def test_a_trusted_set_of_two_kinds_in_unequal_numbers_covers_both() -> None:
    trusted = np.concatenate([states(100, 60, 1), states(101, 6, 2)])
    rows = np.concatenate([states(0, 100, 1), states(1, 200, 2)])
    assert compared(rows, trusted).is_unlike_N.mean() < 0.05


def test_the_nearest_trusted_row_is_named() -> None:
    trusted = states(0, 30, 1)
    found = compared(trusted[::-1].copy(), trusted)
    assert found.nearest_N.tolist() == list(range(29, -1, -1)) and np.allclose(found.cosine_N, 1)


def answered(seed: int, rows: int, short: float, *, by_question: bool = True) -> Features:
    """Rows of which a share has an answer of 1 to 4 tokens, and the others of 20 to 60.

    by_question: the short answers are to questions that differ a little from the others.
    """
    draw = np.random.default_rng(seed)
    is_short = draw.permutation(rows) < round(short * rows)
    asked = states(seed, rows, 1) + (is_short[:, None] & by_question) * states(7, 1, 7) / 4
    return Features(asked, np.where(is_short, draw.integers(1, 5, rows), draw.integers(20, 61, rows)))


@pytest.mark.parametrize(("trusted", "few"), [(40, 0.0), (40, 0.025), (100, 0.0), (100, 0.02), (200, 0.01)])
def test_short_answers_to_questions_that_trusted_rows_hardly_have_are_unlike_and_so_are_long_ones(
    trusted: int, few: float
) -> None:
    rows, ours = answered(0, 400, 0.2), answered(1, trusted, few)
    sides = beyond(rows, ours)
    assert (sides[rows.length_M >= 5] == 0).mean() > 0.95
    assert (sides[rows.length_M < 5] == -1).mean() > (0.7 if few else 0.999)
    longer = beyond(rows._replace(length_M=-rows.length_M), ours._replace(length_M=-ours.length_M))
    assert (longer == -sides).all()


def test_short_answers_whatever_is_asked_are_judged() -> None:
    """Cut answers, for instance: the trusted rows have none, and no question asks for them. Most draws see that."""
    told = [beyond(answered(i, 400, 0.1, by_question=False), answered(i + 50, 60, 0)).any() for i in range(20)]
    assert np.mean(told) < 0.6


def test_the_row_says_whether_it_asks_something_else_or_has_another_length() -> None:
    rows, foreign = answered(0, 400, 0.15), states(1, 100, 2)
    both = Features(np.concatenate([rows.state_MS, foreign]), np.concatenate([rows.length_M, np.full(100, 30)]))
    because = likeness(both, answered(2, 60, 0)).because_N
    assert (because[:400][rows.length_M < 5] == "shorter").mean() > 0.8
    assert (because[400:] == "asks").mean() > 0.9
    assert (because[:400][rows.length_M >= 5] == None).mean() > 0.9  # noqa: E711


@pytest.mark.parametrize("trusted", [20, 60, 200])
def test_hardly_any_answer_is_too_short_or_long_where_trusted_rows_are_drawn_as_the_dataset(trusted: int) -> None:
    told = [(beyond(answered(i, 400, 0.1), answered(i + 500, trusted, 0.1)) != 0).mean() for i in range(50)]
    assert np.mean(told) < 0.02
    equal = Features(states(0, 400, 1), np.ones(400))
    assert not beyond(equal, Features(equal.state_MS[:trusted], np.ones(trusted))).any()


Tail = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@pytest.mark.parametrize(("with_tail", "far"), [(with_normal_tail, 1e-6), (with_heavy_tail, 1e-4)])
def test_p_values_fall_on_beyond_the_highest_trusted_row_and_stay_below_conformal_ones(
    with_tail: Tail, far: float
) -> None:
    trusted = np.random.default_rng(0).normal(size=50)
    rows = np.linspace(-3, 8, 200)
    p = (1 + (trusted[None] >= rows[:, None]).sum(1)) / 51
    lower = with_tail(p, rows, trusted)
    beyond = rows > trusted.max()
    assert np.array_equal(lower[~beyond], p[~beyond]) and (lower <= p).all()
    assert (np.diff(lower) <= 0).all() and lower[-1] < far and lower[beyond][0] > 0.5 / 51


@pytest.mark.parametrize("with_tail", [with_normal_tail, with_heavy_tail])
def test_p_values_of_trusted_rows_that_are_all_alike_stay_as_they_are(with_tail: Tail) -> None:
    p = np.array([0.05, 1.0])
    assert with_tail(p, np.array([2.0, 1.0]), np.ones(20)).tolist() == p.tolist()


def test_rows_far_beyond_the_highest_trusted_row_are_flagged_where_conformal_p_values_cannot() -> None:
    draw = np.random.default_rng(3)
    t, s = draw.normal(size=60), np.concatenate([draw.normal(size=360), 6 + draw.normal(size=40)])
    p = (1 + (t[None] >= s[:, None]).sum(1)) / 61
    assert not (false_discovery_control(p) <= 0.1).any()
    flagged = false_discovery_control(with_heavy_tail(p, s, t)) <= 0.1
    assert flagged[360:].mean() > 0.9 and flagged[:360].sum() <= 4


@pytest.mark.parametrize("trusted", [20, 60, 200])
@pytest.mark.parametrize("shape", ["normal", "exponential", "logistic"])
def test_the_heavy_tail_is_not_too_light(shape: str, trusted: int) -> None:
    """Of right rows alone, Benjamini-Hochberg at 10% may flag something in a tenth of the draws."""
    random = np.random.default_rng(7)
    wrongly = 0
    for _ in range(200):
        t, s = getattr(random, shape)(size=trusted), getattr(random, shape)(size=400)
        p = (1 + (t[None] >= s[:, None]).sum(1)) / (1 + trusted)
        wrongly += bool((false_discovery_control(with_heavy_tail(p, s, t)) <= 0.1).any())
    assert wrongly / 200 < 0.25  # 0.1, and what an estimate from 20 rows costs


def test_local_fdr_is_the_probability_that_a_row_is_right() -> None:
    """Rows of two normal distributions, in bins of their local_fdr: as many are right as it says."""
    draw = np.random.default_rng(0)
    right, wrong = draw.normal(size=4000), draw.normal(3, 1, size=1000)
    said = local_fdr(np.concatenate([right, wrong]), draw.normal(size=300), draw.normal(3, 1, size=300), np.ones(300))
    is_right = np.repeat([True, False], [4000, 1000])
    for low, high in ((0, 0.2), (0.2, 0.8), (0.8, 1)):
        part = (said >= low) & (said <= high)
        assert abs(said[part].mean() - is_right[part].mean()) < 0.08
