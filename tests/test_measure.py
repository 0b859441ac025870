"""Metrics and comparisons, judged by scikit-learn, scipy and counts by hand."""

import numpy as np
import pytest
from scipy.stats import ttest_rel, wilcoxon
from sklearn.metrics import average_precision_score, roc_auc_score

from oresight.tasks.evaluation.measure import class_auc_and_recall, compare_methods, mean_and_deviation, ranking_metrics


def drawn(seed: int, decimals: int, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Suspicions (with ties if decimals are few) and wrong rows: a fifth, whose suspicion is higher by shift."""
    draw = np.random.default_rng(seed)
    wrong = np.arange(200) % 5 == 0
    return (draw.normal(size=200) + shift * wrong).round(decimals), wrong


@pytest.mark.parametrize("decimals", [9, 0])
@pytest.mark.parametrize("seed", range(4))
def test_auc_and_average_precision_are_scikit_learns(seed: int, decimals: int) -> None:
    suspicion, wrong = drawn(seed, decimals)
    metrics = ranking_metrics(suspicion, wrong)
    assert metrics["auc"] == pytest.approx(roc_auc_score(wrong, suspicion))
    assert metrics["average precision"] == pytest.approx(average_precision_score(wrong, suspicion))


@pytest.mark.parametrize("decimals", [9, 0])
def test_recall_at_a_share_is_that_of_the_most_suspicious_rows_a_tie_as_by_chance(decimals: int) -> None:
    suspicion, wrong = drawn(1, decimals)
    draw = np.random.default_rng(0)
    orders = [np.lexsort((draw.random(200), -suspicion))[:40] for _ in range(4000)]
    expected = np.mean([wrong[order].sum() / wrong.sum() for order in orders])
    assert ranking_metrics(suspicion, wrong)["recall at 20%"] == pytest.approx(expected, abs=0.005)


def test_rows_without_a_suspicion_are_left_out_and_one_wrong_row_is_too_few() -> None:
    suspicion, wrong = drawn(2, 9)
    suspicion[::7] = np.nan
    has = ~np.isnan(suspicion)
    assert ranking_metrics(suspicion, wrong)["auc"] == pytest.approx(roc_auc_score(wrong[has], suspicion[has]))
    assert ranking_metrics(suspicion, np.arange(200) == 1) == {}


def test_a_query_is_judged_by_auc_and_by_recall_among_as_many_rows_as_its_class_has() -> None:
    score, same = drawn(3, 9)
    auc, recall = class_auc_and_recall(score, same)
    assert auc == pytest.approx(roc_auc_score(same, score))
    assert recall == same[np.argsort(-score)[: same.sum()]].mean()


def test_a_random_detector_has_an_auc_of_a_half_within_its_interval() -> None:
    areas = [ranking_metrics(*drawn(seed, 9, shift=0))["auc"] for seed in range(100)]
    mean, deviation = mean_and_deviation(areas)
    assert abs(mean - 0.5) < 2 * deviation / 10
    assert deviation == pytest.approx(np.sqrt(201 / (12 * 40 * 160)), rel=0.25)  # of the Mann-Whitney statistic


@pytest.mark.parametrize(("test", "judge"), [("wilcoxon", wilcoxon), ("t", ttest_rel)])
def test_p_is_scipys_and_holms_correction_is_its_definition(test: str, judge: object) -> None:
    draw = np.random.default_rng(4)
    ours = draw.normal(0.2, 1, 12)
    others = {name: draw.normal(0, 1, 12) for name in "abc"}
    comparisons = {row.against: row for row in compare_methods(ours, others, test)}
    ps = {name: judge(ours, other).pvalue for name, other in others.items()}  # type: ignore[operator]
    highest = 0.0
    for rank, name in enumerate(sorted(ps, key=lambda name: ps[name])):
        row = comparisons[name]
        highest = max(highest, min(1.0, (3 - rank) * ps[name]))
        assert (row.p, row.p_holm) == (pytest.approx(ps[name]), pytest.approx(highest))
        span = ttest_rel(ours, others[name]).confidence_interval()
        assert (row.low, row.high) == (pytest.approx(span.low), pytest.approx(span.high))
        assert (row.difference, row.pairs, row.test) == (pytest.approx((ours - others[name]).mean()), 12, test)


def test_labels_permuted_on_purpose_give_no_significant_test() -> None:
    significant = 0
    for trial in range(20):
        areas: dict[str, list[float]] = {name: [] for name in ("signal", "nll", "embedding cosine", "random")}
        for seed in range(8):
            draw = np.random.default_rng(1000 * trial + seed)
            suspicion, wrong = drawn(1000 * trial + seed, 9, shift=2)
            wrong = draw.permutation(wrong)
            areas["signal"].append(ranking_metrics(suspicion, wrong)["auc"])
            for name in list(areas)[1:]:
                areas[name].append(ranking_metrics(draw.normal(size=200), wrong)["auc"])
        ours, *others = (np.array(values) for values in areas.values())
        comparisons = compare_methods(ours, dict(zip(list(areas)[1:], others, strict=True)))
        significant += any(row.p_holm < 0.05 for row in comparisons)
    assert significant <= 3  # chance gives 1 of 20; 4 or more happen once in 60 times


def test_informative_labels_give_a_significant_test() -> None:
    areas = np.array([[ranking_metrics(*drawn(seed, 9, shift))["auc"] for shift in (2.0, 0.0)] for seed in range(8)])
    (row,) = compare_methods(areas[:, 0], {"random": areas[:, 1]})
    assert row.p_holm < 0.01 and row.low > 0.2


def test_equal_methods_have_p_1_and_one_pair_gives_no_comparison() -> None:
    same = np.arange(6.0)
    (row,) = compare_methods(same, {"itself": same})
    assert (row.difference, row.p, row.p_holm) == (0, 1, 1)
    assert compare_methods(same[:1], {"other": same[:1] + 1}) == compare_methods(same, {}) == []
