"""Where the dataset has kinds of rows in other proportions than the trusted rows, trusted rows count accordingly."""

import numpy as np
import pytest
from numpy.typing import NDArray

from oresight.tasks.detection.mixture import (
    Features,
    Weights,
    as_the_dataset,
    conformal,
    effective,
    weight_above,
    weights,
)


def states(counts: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Rows of kinds that lie apart, as many of each kind."""
    draw = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(len(counts)), counts)
    return 4 * np.eye(16)[kinds] + draw.normal(size=(len(kinds), 16)) / 4


def weighted(rows: NDArray[np.float64], trusted: NDArray[np.float64], is_like: NDArray[np.bool_]) -> Weights:
    """The weights where all answers are equally long."""
    return weights(*(Features(each, np.ones(len(each))) for each in (rows, trusted)), is_like)


def test_rows_of_a_kind_count_as_often_as_the_dataset_has_them() -> None:
    found = weighted(states((300, 100), 0), states((15, 45), 1), np.ones(400, bool))
    assert found.trusted_R[:15].mean() == pytest.approx(3.0, rel=0.1)  # 75% of the rows, 25% of the trusted rows
    assert found.trusted_R[15:].mean() == pytest.approx(1 / 3, rel=0.1)
    assert found.rows_N[:300].mean() == pytest.approx(3.0, rel=0.1)
    assert effective(found.trusted_R) < 30


def test_rows_that_are_unlike_change_no_weight() -> None:
    rows, is_like = states((100, 100, 400), 0), np.arange(600) < 200
    trusted = states((30, 30, 0), 1)
    assert (weighted(rows, trusted, is_like).trusted_R == 1).all()
    assert np.ptp(weighted(rows, trusted, np.ones(600, bool)).rows_N) > 0


@pytest.mark.parametrize("trusted", [(2, 20), (15, 15), (60, 60)])
def test_few_trusted_rows_and_equal_proportions_leave_all_weights_1(trusted: tuple[int, int]) -> None:
    found = weighted(states((200, 200), 0), states(trusted, 1), np.ones(400, bool))
    assert (found.trusted_R == 1).all() and (found.rows_N == 1).all()


def test_without_weights_the_p_values_are_the_conformal_ones() -> None:
    trusted, rows = np.array([3.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.5, 9.0])
    p = conformal(np.ones(4), weight_above(rows, trusted, np.ones(3)), np.ones(3))
    assert p.tolist() == [1.0, 1.0, 0.5, 0.25]


def test_p_values_of_good_rows_are_uniform_although_the_proportions_differ() -> None:
    draw, below = np.random.default_rng(0), []
    for _ in range(300):
        trusted, kinds = np.repeat([0.0, 3.0], [45, 15]) + draw.normal(size=60), draw.random(100) < 0.75
        rows = 3.0 * kinds + draw.normal(size=100)
        weight_R, weight_N = np.repeat([0.25 / 0.75, 0.75 / 0.25], [45, 15]), np.where(kinds, 3.0, 1 / 3)
        below.append((conformal(weight_N, weight_above(rows, trusted, weight_R), weight_R) <= 0.2).mean())
    assert 0.15 < np.mean(below) <= 0.205


def test_the_weighted_sample_has_the_size_the_proportions_and_the_highest_row() -> None:
    suspicion, weight = np.concatenate([np.zeros(50), np.ones(49), [9.0]]), np.repeat([3.0, 1.0], 50)
    sample = as_the_dataset(suspicion, weight)
    assert len(sample) == effective(weight) == 80 and sample[-1] == 9
    assert abs((sample < 0.5).mean() - 0.75) < 0.02
    assert np.array_equal(as_the_dataset(np.arange(9.0), np.ones(9)), np.arange(9.0))


def test_answers_of_a_length_count_as_often_as_the_dataset_has_them_beside_what_is_asked() -> None:
    """Half of the rows have short answers, a tenth of the trusted rows; both ask two kinds of things equally often."""
    asks = states((200, 200), 0), states((50, 50), 1)
    lengths = np.tile([2, 30], 200), np.tile([2, *[30] * 9], 10)
    found = weights(*(Features(s, n) for s, n in zip(asks, lengths, strict=True)), np.ones(400, bool))
    assert found.trusted_R[lengths[1] == 2].mean() == pytest.approx(5, rel=0.1)
    assert found.trusted_R[lengths[1] == 30].mean() == pytest.approx(5 / 9, rel=0.1)
    more = weights(Features(states((300, 100), 0), lengths[0]), Features(asks[1], lengths[1]), np.ones(400, bool))
    assert more.trusted_R[:50].sum() == pytest.approx(3 * more.trusted_R[50:].sum(), rel=0.15)


def test_trusted_rows_of_lengths_that_the_dataset_lacks_keep_their_weights() -> None:
    draw = np.random.default_rng(0)
    trusted = Features(draw.normal(size=(40, 4)).astype(np.float32), np.full(40, 5))
    lengths = draw.integers(50, 90, 4000)
    rows = Features(draw.normal(size=(4000, 4)).astype(np.float32), np.append(lengths[:3000], np.full(1000, 5)))
    is_like = rows.length_M > 5
    made = weights(rows, trusted, is_like)
    assert made.trusted_R.tolist() == [1.0] * 40
    assert np.isfinite(made.rows_N).all()
