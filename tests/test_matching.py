"""The round robin is that of a plain second computation, whatever its blocks, and wrong-looking rows come last."""

from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from oresight.tasks.matching import round_robin as module
from oresight.tasks.matching.coverage import Coverage
from oresight.tasks.matching.policy import Candidates, choose, random_similarity, suspicious
from oresight.tasks.matching.repeats import near_repeats
from oresight.tasks.matching.round_robin import round_robin
from oresight.tasks.matching.similarity import Cosines, Floats, Ints, Matrix, Some, Vectors

RANDOM = np.random.default_rng(0)


def some_vectors(n: int, width: int = 40) -> Vectors:
    index_NM, text_NS = (RANDOM.integers(-127, 128, (n, width)).astype(np.int8) for _ in range(2))
    return Vectors(index_NM, text_NS, RANDOM.uniform(0.01, 1, n).astype(np.float32))


def plainly(near_RN: Floats, tokens_N: Ints, rows: int, tokens: float, floor: float) -> list[tuple[int, int, int]]:
    """(row, trusted row, round) in the order of turns, one look at all rows for each turn."""
    free, left, taken, turn, number = set(range(near_RN.shape[1])), tokens, [], list(range(len(near_RN))), 1
    while turn and len(taken) < rows and left >= tokens_N.min():
        for t in list(turn):
            fits = [i for i in free if tokens_N[i] <= left and near_RN[t, i] >= floor]
            if len(taken) == rows or left < tokens_N.min():
                break
            if not fits:
                turn.remove(t)
                continue
            best = max(fits, key=lambda i: (near_RN[t, i], -i))
            free.remove(best)
            left -= int(tokens_N[best])
            taken.append((best, t, number))
        number += 1
    return taken


@pytest.mark.parametrize("listed", [2**24, 150, 20])
def test_turns_are_those_of_a_plain_computation(listed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTED", listed)  # short lists end, and are made anew
    for (n, trusted), block in product([(50, 3), (200, 20), (30, 1)], [7, 4096]):
        near_RN = np.round(RANDOM.normal(size=(trusted, n)), 1).astype(np.float32)  # ties on purpose
        tokens_N = RANDOM.integers(1, 20, n)
        for rows, tokens, floor in ((n, 9**9, -9), (n // 3, 9**9, -9), (n, 90, -9), (n, n * 4, 0.5), (0, 50, -9)):
            done = round_robin(Matrix(near_RN), tokens_N, rows=rows, tokens=tokens, floor=floor, block=block)
            wanted = plainly(near_RN, tokens_N, rows, tokens, floor)
            order = done.order_N[: done.taken].tolist()
            assert [(i, done.trusted_N[i], done.round_N[i]) for i in order] == wanted
            assert sorted(done.order_N) == list(range(n))
            rest = done.order_N[done.taken :]
            assert np.array_equal(done.trusted_N[rest], near_RN[:, rest].argmax(0)) and not done.round_N[rest].any()
            assert (np.diff(done.similarity_N[rest]) <= 0).all()
            assert np.array_equal(done.closest_similarity_R, near_RN.max(1))
            assert np.array_equal(near_RN[np.arange(trusted), done.closest_R], near_RN.max(1))


def test_a_row_that_may_not_be_taken_is_not() -> None:
    near_RN, is_free_N = RANDOM.normal(size=(4, 60)).astype(np.float32), np.arange(60) % 3 > 0
    done = round_robin(Matrix(near_RN), np.ones(60, dtype=np.int64), is_free_N=is_free_N)
    assert set(done.order_N[: done.taken]) == set(np.flatnonzero(is_free_N))


def test_the_cosines_are_those_of_centred_float_vectors_and_do_not_depend_on_blocks() -> None:
    rows, trusted = some_vectors(300), some_vectors(7)
    similarity = Cosines.between(rows, trusted)
    near_RN = similarity.of(np.arange(300))
    scattered = RANDOM.permutation(300)
    assert np.array_equal(
        np.hstack([similarity.of(part) for part in np.array_split(scattered, 11)]), near_RN[:, scattered]
    )

    def cosine(a: Floats, b: Floats) -> Floats:
        return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T

    texts_ND, trusted_RD = (v.text_NS * v.text_unit_N[:, None].astype(float) for v in (rows, trusted))
    mean_D = texts_ND.mean(0)
    index_RN = cosine(trusted.index_NM.astype(float), rows.index_NM.astype(float))
    text_RN = cosine(trusted_RD - mean_D, texts_ND - mean_D)
    np.testing.assert_allclose(near_RN, (index_RN + text_RN) / 2, atol=0.02)  # 8 bits
    np.testing.assert_allclose(Cosines.between(rows, trusted, ["index"]).of(np.arange(300)), index_RN, atol=1e-5)


def test_a_row_of_zeros_is_like_no_other() -> None:
    nothing = Vectors(np.zeros((2, 5), dtype=np.int8), np.zeros((2, 5), dtype=np.int8), np.zeros(2, dtype=np.float32))
    assert not Cosines.between(nothing, some_vectors(3, 5), ["index"]).of(np.arange(2)).any()


def test_rows_that_look_wrong_come_last_and_the_worst_of_them_at_the_end() -> None:
    near_RN = RANDOM.normal(size=(30, 200)).astype(np.float32)
    p_N = RANDOM.uniform(0, 1, 200)
    p_N[:5] = np.nan  # rows that were not judged
    candidates = Candidates(np.ones(200, dtype=np.int64), -p_N, p_N)
    trusted_R = np.full(30, -1.0)
    done = choose(Matrix(near_RN), candidates, trusted_R, random_similarity(Matrix(near_RN)), rows=40)
    last = np.flatnonzero(p_N <= 0.1)
    assert np.array_equal(np.flatnonzero(done.is_suspicious_N), last) and len(last) > 5
    assert done.order_N[-len(last) :].tolist() == sorted(last, key=lambda i: -p_N[i])
    assert sorted(done.order_N) == list(range(200)) and done.matches.taken == 40
    assert random_similarity(Matrix(near_RN)) == pytest.approx(near_RN.mean() + near_RN.std(), rel=1e-4)


def test_of_few_trusted_rows_the_worst_is_the_limit() -> None:
    candidates = Candidates(np.ones(3, dtype=np.int64), np.zeros(3), np.array([0.25, 0.5, np.nan]))
    near = {n: Matrix(np.ones((n, 3), dtype=np.float32)) for n in (3, 50)}
    assert suspicious(near[3], candidates, np.full(3, -1.0)).tolist() == [True, False, False]
    assert suspicious(near[50], candidates, np.full(50, -1.0)).tolist() == [False, False, False]


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_a_row_that_looks_no_more_wrong_than_its_trusted_row_is_not_suspicious(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trusted row 1 is of a kind that the model finds hard: its suspicion is 5. That of the others is 0 or unknown."""
    monkeypatch.setattr("oresight.tasks.matching.policy.BLOCK", block)
    near_RN = np.tile(np.eye(3, dtype=np.float32), 10)
    suspicion_N = np.tile([4.0, 4.0, 4.0, 6.0, 6.0, 6.0], 5)
    candidates = Candidates(np.ones(30, dtype=np.int64), suspicion_N, np.full(30, 0.01))
    seen = suspicious(Matrix(near_RN), candidates, np.array([0.0, 5.0, np.nan]))
    assert seen.tolist() == 5 * [True, False, True, True, True, True]


def test_some_of_the_rows_have_the_same_similarities() -> None:
    near_RN, rows = RANDOM.normal(size=(3, 20)).astype(np.float32), np.array([7, 3, 11])
    some = Some(Matrix(near_RN), rows)
    assert some.shape == (3, 3) and np.array_equal(some.of(np.array([2, 0])), near_RN[:, [11, 7]])


def test_coverage_takes_the_nearest_row_of_all_parts_and_names_the_twin() -> None:
    trusted, rows = some_vectors(5), some_vectors(80)
    for name in ("index_NM", "text_NS", "text_unit_N"):
        getattr(trusted, name)[3] = getattr(trusted, name)[1]
    similarity, covered = Cosines.between(rows, trusted), Coverage(5)
    for part_N in np.array_split(RANDOM.permutation(80), 3):
        ones_N = np.ones(len(part_N), dtype=np.int64)
        covered.add(part_N, round_robin(Some(similarity, part_N), ones_N, rows=9))
    ids = pa.array([str(i) for i in range(80)])
    table = covered.table(pa.array([f"t{r}" for r in range(5)]), ids, similarity, 0.3).to_pylist()
    near_RN = similarity.of(np.arange(80))
    assert [row["nearest"] for row in table] == [str(i) for i in near_RN.argmax(1)]
    assert [row["similarity"] for row in table] == pytest.approx(near_RN.max(1).tolist())
    assert (table[1]["twin"], table[3]["twin"]) == ("t3", "t1")
    assert table[1]["twin_similarity"] == pytest.approx(1, abs=1e-6) and table[0]["floor"] == pytest.approx(0.3)


def test_a_lone_trusted_row_has_no_twin() -> None:
    similarity, covered = Cosines.between(some_vectors(4), some_vectors(1)), Coverage(1)
    covered.add(np.arange(4), round_robin(similarity, np.ones(4, dtype=np.int64)))
    (row,) = covered.table(pa.array(["t"]), pa.array(list("abcd")), similarity, 0).to_pylist()
    assert row["twin"] is None and row["twin_similarity"] is None and row["nearest"] in "abcd"


@pytest.mark.parametrize("block", [7, 64, 4096])
def test_each_row_that_nearly_repeats_a_better_one_goes_for_the_first_of_those(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oresight.tasks.matching.repeats.BLOCK", block)
    random = np.random.default_rng(0)
    centre_KM = random.integers(-100, 101, (40, 24))
    vector_NM = (centre_KM[random.integers(40, size=300)] + random.integers(-20, 21, (300, 24))).astype(np.int8)
    vector_NM[[3, 5]] = 0
    order_N = random.permutation(300)
    x_NM = vector_NM.astype(np.float64)
    unit_NM = x_NM / np.maximum(np.linalg.norm(x_NM, axis=1, keepdims=True), 1e-9)
    stay, expected = list[int](), list[tuple[int, int]]()
    for row in order_N.tolist():
        better = next((other for other in stay if unit_NM[row] @ unit_NM[other] >= 0.97), None)
        if better is None:
            stay.append(row)
        else:
            expected.append((row, better))
    repeats = near_repeats(vector_NM, order_N, 0.97)
    assert 40 < len(expected) < 250 and {3, 5} <= set(stay)
    assert list(zip(repeats.rows.tolist(), repeats.better.tolist(), strict=True)) == expected
    assert np.allclose(repeats.cosine, [unit_NM[row] @ unit_NM[other] for row, other in expected], atol=1e-6)


def test_copies_repeat_the_best_of_them_also_at_a_cosine_of_one() -> None:
    vector_NM = np.random.default_rng(0).integers(-127, 128, (50, 256)).astype(np.int8).repeat(3, axis=0)
    repeats = near_repeats(vector_NM, np.arange(150), 1.0)
    assert repeats.better.tolist() == np.arange(0, 150, 3).repeat(2).tolist()
    assert near_repeats(vector_NM[:0], np.arange(0), 0.9).rows.tolist() == []
