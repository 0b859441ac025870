"""The detector keeps the error rate that it states, says what it cannot see, and judges no row by its own answer."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import QuantileTransformer

from oresight.tasks.detection import chunks, labels
from oresight.tasks.detection.calibration import Calibration, with_flags
from oresight.tasks.detection.detector import detect, reach
from oresight.tasks.detection.inputs import FOLDS, Inputs, SignalTable
from oresight.tasks.detection.labels import label_signals

NAMES = ["a", "b", "c"]


def table(seed: int, rows: int, bad: int, trusted: int = 200, shift: float = 3.0, **changes: Any) -> SignalTable:
    """Rows of which the first are bad: `a` is shifted, as in canaries of `seen`; those of `unseen` are as clean."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 3))
    x[:bad, 0] += shift
    canaries = draw.normal(size=(100, 3))
    canaries[:50, 0] += shift
    twins = draw.choice(trusted, size=100, replace=trusted < 100)
    kinds = ["seen"] * 50 + ["unseen"] * 50
    some = {"names": NAMES, "rows_NS": x, "trusted_RS": draw.normal(size=(trusted, 3))}
    return SignalTable(**(some | {"canaries_CS": canaries, "kinds_C": kinds, "twins_C": twins} | changes))


def found(*arguments: Any, error: Any = "guaranteed", **named: Any) -> Any:
    done = detect(table(*arguments, **named), error=error)
    assert done is not None
    return done


@pytest.mark.parametrize("error", ["estimated", "guaranteed"])
@pytest.mark.parametrize("bad", [40, 120])
def test_the_stated_rate_is_kept_and_most_bad_rows_are_found(bad: int, error: str) -> None:
    shares, recalls = [], []
    for seed in range(20):
        flagged = found(seed, 400, bad, shift=4.0, error=error).q_N <= 0.1
        shares.append(flagged[bad:].sum() / max(flagged.sum(), 1))
        recalls.append(flagged[:bad].mean())
    assert np.mean(shares) <= 0.1 + 2 * np.std(shares, ddof=1) / 20**0.5
    assert np.mean(recalls) > 0.8


@pytest.mark.parametrize(("trusted", "bad"), [(40, 40), (60, 40), (40, 120)])
def test_an_estimated_rate_is_kept_and_flags_no_fewer_rows_than_a_guaranteed_one(trusted: int, bad: int) -> None:
    shares = []
    for seed in range(12):
        flagged = found(seed, 400, bad, trusted=trusted, shift=4.0, error="estimated").q_N <= 0.1
        shares.append(flagged[bad:].sum() / max(flagged.sum(), 1))
        assert (flagged >= (found(seed, 400, bad, trusted=trusted, shift=4.0).q_N <= 0.1)).all()
    assert np.mean(shares) <= 0.1 + 2 * np.std(shares, ddof=1) / 12**0.5


def test_of_rows_that_are_all_right_an_estimated_rate_flags_at_most_one_in_a_hundred() -> None:
    for trusted in (40, 100, 200):
        assert np.mean([found(seed, 400, 0, trusted, error="estimated").q_N <= 0.1 for seed in range(10)]) <= 0.01


def test_rows_that_are_unlike_trusted_rows_are_not_flagged_and_do_not_count() -> None:
    draw = np.random.default_rng(0)
    ours = table(0, 400, 80, shift=4.0)
    foreign = draw.normal(size=(400, 3)) + 5
    is_unlike = np.repeat([False, True], 400)
    both = table(0, 400, 80, shift=4.0, rows_NS=np.concatenate([ours.rows_NS, foreign]), is_unlike_N=is_unlike)
    done = detect(both)
    assert done is not None
    assert np.isnan(done.q_N[400:]).all() and np.isnan(done.local_fdr_N[400:]).all()
    flagged = done.q_N[:400] <= 0.1
    assert flagged[:80].mean() > 0.5 and flagged[80:].mean() < 0.1


def test_flags_that_no_planted_defect_explains_are_withheld() -> None:
    """Half of the rows are flagged. That is explained if half of the canaries of some kind are as suspicious."""
    trial = Calibration(stated=0.1, measured=0, high=0, error=0, recall=0, clean=0, trusted_rows=100)
    suspicion, few, half = np.arange(100.0), np.repeat([99.0, 0.0], [3, 97]), np.repeat([99.0, 0.0], [50, 50])
    q = np.where(suspicion >= 50, 0.05, 0.5)
    assert not with_flags(trial, q, suspicion, [few]).is_explained
    assert with_flags(trial, q, suspicion, [few, half]).is_explained
    assert with_flags(trial, q, suspicion, [few]).rows_flagged == 50
    assert with_flags(trial, np.full(100, 0.5), suspicion, [few]).is_explained
    done = found(0, 400, 300, shift=8.0, error="estimated")
    assert all(trial.is_explained for trial in done.calibration) and (done.q_N[:300] <= 0.1).mean() > 0.8


def test_where_nothing_is_bad_hardly_anything_is_flagged() -> None:
    assert np.mean([(found(seed, 400, 0).q_N <= 0.1).any() for seed in range(40)]) <= 0.1 + 2 * (0.09 / 40) ** 0.5


def test_p_values_of_clean_rows_are_uniform() -> None:
    p = np.concatenate([found(seed, 200, 0).p_N for seed in range(20)])
    for level in (0.05, 0.2, 0.5):
        assert abs((p <= level).mean() - level) < 0.03


def test_p_is_one_more_than_the_trusted_rows_as_suspicious_to_their_own_model() -> None:
    done = found(0, 50, 10, trusted=40)
    lowest = 1 / 41
    assert np.allclose((done.p_N / lowest).round() * lowest, done.p_N)
    assert done.p_N.min() >= lowest
    order = np.argsort(-done.p_N)
    best = np.minimum.accumulate((done.p_N * 50 / (np.argsort(np.argsort(done.p_N, kind="stable")) + 1))[order])
    assert (done.q_N <= 1).all()
    assert np.isclose(done.q_N[order][-1], best[-1])


def test_a_kind_that_looks_like_clean_rows_is_said_to_be_undetectable() -> None:
    told = [{one.kind: one for one in found(seed, 200, 20).kinds} for seed in range(10)]
    assert all(kinds["seen"].is_detectable and kinds["seen"].auc > 0.95 for kinds in told)
    assert all(kinds["seen"].low < kinds["seen"].auc < kinds["seen"].high for kinds in told)
    assert sum(not kinds["unseen"].is_detectable for kinds in told) >= 8
    assert all(kinds["seen"].signal == "a" for kinds in told)


def test_the_auc_is_what_scikit_learn_says_within_a_fold() -> None:
    with_one = table(1, 50, 5)
    done = detect(with_one)
    assert done is not None
    won, pairs = 0.0, 0
    for k in range(FOLDS):
        clean = done.trusted_R[with_one.fold_R == k]
        bad = done.canaries_C[:50][with_one.fold_R[with_one.twins_C[:50]] == k]
        won += roc_auc_score([0] * len(clean) + [1] * len(bad), [*clean, *bad]) * len(clean) * len(bad)
        pairs += len(clean) * len(bad)
    assert np.isclose(done.kinds[0].auc, won / pairs)


def test_auc_has_the_size_that_the_shift_gives() -> None:
    aucs = [found(seed, 200, 20, shift=1.5).kinds[0].auc for seed in range(20)]
    assert abs(np.mean(aucs) - norm.cdf(1.5 / 2**0.5)) < 0.03


def test_the_signals_that_weigh_most_are_named() -> None:
    done = found(0, 200, 20)
    flagged = np.flatnonzero(done.q_N[:20] <= 0.1)
    assert {done.names[s] for s in done.top_signals_N2[flagged, 0]} == {"a"}
    assert {done.kinds[j].kind for j in done.looks_like_N[flagged]} == {"seen"}


def test_missing_signals_are_no_suspicion() -> None:
    holes = table(0, 100, 0)
    holes.rows_NS[:, 1] = np.nan
    holes.trusted_RS[:, 2] = np.nan
    done = detect(holes)
    assert done is not None
    assert np.isfinite(done.suspicion_N).all()
    assert (done.p_N <= 0.05).mean() < 0.15


def test_a_detector_does_not_depend_on_the_units_of_a_signal() -> None:
    one, other = table(3, 100, 10), table(3, 100, 10)
    for part in (other.rows_NS, other.trusted_RS, other.canaries_CS):
        part[:, 0] = np.exp(part[:, 0])
    a, b = detect(one), detect(other)
    assert a is not None
    assert b is not None
    assert np.allclose(a.p_N, b.p_N, atol=0.02)


def test_too_few_trusted_rows_or_canaries_teach_nothing() -> None:
    assert detect(table(0, 50, 5, trusted=19)) is None
    few = table(0, 50, 5, canaries_CS=np.zeros((3, 3)), kinds_C=["seen"] * 3, twins_C=np.arange(3))
    assert detect(few) is None


def test_trials_measure_the_rate_that_is_asked_for() -> None:
    done = detect(table(0, 100, 10, shift=5.0), rate=0.15)
    assert done is not None
    by_rate = {trial.stated: trial for trial in done.calibration}
    assert by_rate[0.15].measured <= 0.15 + 2 * by_rate[0.15].error
    assert by_rate[0.5].recall >= by_rate[0.1].recall
    assert by_rate[0.1].clean <= 0.1


def test_what_few_trusted_rows_make_impossible_is_said() -> None:
    assert reach(60, 0.05, "guaranteed").startswith(
        "with 60 trusted rows, at a guaranteed 5% rate, flags need at least 32.8% bad rows; 399 trusted"
    )
    assert "no row can be flagged" in reach(5, 0.1, "guaranteed")
    expected = "with 400 trusted rows, at a guaranteed 10% rate, flags need at least 2.5% bad rows"
    assert reach(400, 0.1, "guaranteed") == expected
    assert "an estimate from 60 trusted rows" in reach(60, 0.1, "estimated")


def test_rows_are_ranked_among_ten_thousand_of_them() -> None:
    of_many = table(5, 12_000, 600)
    both = np.concatenate([of_many.rows_NS, of_many.trusted_RS])
    usual = QuantileTransformer(n_quantiles=1000, output_distribution="normal", random_state=0).fit(both)
    expected = np.clip(usual.transform(of_many.rows_NS), -4, 4)
    assert np.array_equal(Inputs.of(of_many).rows(slice(None)), expected)


def test_how_many_rows_are_judged_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    together = detect(table(6, 500, 50))
    monkeypatch.setattr(chunks, "CHUNK", 7)
    apart = detect(table(6, 500, 50))
    assert together is not None
    assert apart is not None
    assert np.allclose(together.suspicion_N, apart.suspicion_N, rtol=1e-12)
    for name in ("p_N", "q_N", "looks_like_N", "top_signals_N2"):
        assert np.array_equal(getattr(together, name), getattr(apart, name), equal_nan=name == "q_N"), name


def clusters(seed: int, rows: int, trusted: int, wrong: int) -> tuple[Any, Any, Any]:
    """States of three answers, answers of which the first `wrong` rows have another, and which rows are trusted."""
    draw = np.random.default_rng(seed)
    true = draw.integers(3, size=rows + trusted)
    states = draw.normal(size=(rows + trusted, 16))
    states[np.arange(rows + trusted), true] += 4
    given = true.copy()
    given[:wrong] = (given[:wrong] + 1) % 3
    return states, np.array(["no", "yes", "maybe"], dtype=object)[given], np.arange(rows + trusted) >= rows


def test_wrong_labels_are_unlikely_and_unlike_their_neighbours() -> None:
    states, answers, trusted = clusters(0, 300, 100, wrong=60)
    done = label_signals(lambda: states, pa.array(answers), trusted, np.arange(400) % FOLDS, np.full(400, -1))
    assert done is not None
    for signal in (done.probe, done.agreement):
        assert roc_auc_score(np.arange(300) < 60, -signal[:300]) > 0.97


def test_labels_of_many_rows_are_learnt_from_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    states, answers, trusted = clusters(0, 900, 100, wrong=180)
    order = np.random.default_rng(0).permutation(900)
    states[:900], answers[:900] = states[order], answers[order]
    monkeypatch.setattr(labels, "POOL", 300)
    done = label_signals(lambda: states, pa.array(answers), trusted, np.arange(1000) % FOLDS, np.full(1000, -1))
    assert done is not None
    for signal in (done.probe, done.agreement):
        assert np.isfinite(signal).all()
        assert roc_auc_score(order < 180, -signal[:900]) > 0.97


def test_a_canary_is_not_judged_by_its_twin() -> None:
    states, answers, trusted = clusters(1, 200, 60, wrong=0)
    twins = np.flatnonzero(trusted)[:20]
    lone = states.copy()
    lone[twins] = 30 * np.eye(20, 16) + np.arange(20)[:, None]  # only the twin itself lies there
    both = np.concatenate([lone, lone[twins]])
    given = np.concatenate([answers, answers[twins]])
    fold = np.concatenate([np.arange(260) % FOLDS, np.arange(260)[twins] % FOLDS])
    done = label_signals(
        lambda: both, pa.array(given), np.append(trusted, [False] * 20), fold, np.append(np.full(260, -1), twins)
    )
    alone = label_signals(lambda: lone, pa.array(answers), trusted, np.arange(260) % FOLDS, np.full(260, -1))
    assert done is not None
    assert alone is not None
    assert np.allclose(done.probe[260:], alone.probe[twins], atol=1e-6)
    assert np.allclose(done.agreement[260:], alone.agreement[twins])


def test_answers_of_their_own_have_no_label_signals() -> None:
    states, _, trusted = clusters(0, 100, 50, wrong=0)
    answers = np.array([f"answer {i}" for i in range(150)], dtype=object)
    assert label_signals(lambda: states, pa.array(answers), trusted, np.arange(150) % FOLDS, np.full(150, -1)) is None
