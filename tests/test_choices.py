"""What the finetunes say about choosing rows: verdicts per target, their sentence, the figure; and kinds of rows."""

from typing import Any

import numpy as np
import pytest

from oresight.tasks.evaluation.choices import LEXICAL_SCORES
from oresight.tasks.evaluation.tables import choice_sentence, target_verdicts
from oresight.tasks.matching.kinds import kinds_of
from oresight.tasks.pages.charts import losses_by_budget


def compared(setting: str, against: str, difference: float, p: float, method: str = "match") -> dict[str, Any]:
    keys = {"evaluation": "finetune", "dataset": "pool", "model": "m@1", "setting": setting, "metric": "test loss"}
    return keys | {"method": method, "against": against, "difference": difference, "p": p}


def wrong(setting: str, method: str, mean: float) -> dict[str, Any]:
    keys = {"evaluation": "finetune", "dataset": "pool", "model": "m@1", "setting": setting, "metric": "wrong rows"}
    return keys | {"method": method, "mean": mean}


COMPARED = [
    compared("a/v1, 10% of the tokens", "random", -0.2, 0.001),
    compared("b/v1, 10% of the tokens", "random", -0.1, 0.03),
    compared("c/v1, 10% of the tokens", "random", +0.1, 0.004),
    compared("a/v1, 30% of the tokens", "random", -0.3, 0.04),
    compared("a/v1, 10% of the tokens", "BM25", -0.02, 0.5),
    compared("b/v1, 10% of the tokens", "BM25", -0.04, 0.5),
    compared("d/v1, 10% of the tokens", "BM25", -0.9, 0.5),  # was not compared with random rows
    compared("a/v1, 10% of the tokens", "random", -9, 0.001, method="kept"),
]


def test_a_verdict_is_corrected_over_the_targets_of_its_budget() -> None:
    numbers = [wrong("a/v1, 10% of the tokens", "random", 0.2), wrong("a/v1, 10% of the tokens", "match", 0.03)]
    verdicts = {verdict.setting: verdict for verdict in target_verdicts(COMPARED, numbers)}
    assert [(name[:1], name[6:8], verdict.word) for name, verdict in verdicts.items()] == [
        ("a", "10", "better"), ("a", "30", "better"), ("b", "10", "better"), ("c", "10", "worse")
    ]  # fmt: skip
    ps = [verdict.p for verdict in verdicts.values()]
    assert ps == pytest.approx([0.003, 0.04, 0.03, 0.008])  # Holm over a, b and c; the other budget is alone
    assert verdicts["a/v1, 10% of the tokens"].wrong == (0.2, 0.03)
    assert verdicts["b/v1, 10% of the tokens"].wrong is None
    assert choice_sentence(list(verdicts.values())) == (
        "Rows chosen by match trained better models than as many tokens of random rows for 3 of 4 targets and budgets,"
        " and worse ones for 1 (paired t, p below 0.05 after Holm's correction). Mean difference of the test loss from"
        " the other ways to choose, in nats: BM25 -0.030. Wrong rows: 20.0% of random rows, 3.0% of the chosen ones."
    )


def test_without_a_comparison_there_is_no_verdict() -> None:
    assert target_verdicts([], []) == [] and choice_sentence([]) == ""
    assert target_verdicts([compared("a", "BM25", -1, 0.01)], []) == []


def test_the_figure_has_a_line_for_each_method_but_not_for_all_rows() -> None:
    rows = [
        {"share": share, "method": method, "mean": 2.0, "deviation": None if method == "random" else 0.1}
        for share in (10, 30) for method in ("random", "match", "all rows")
    ]  # fmt: skip
    svg = losses_by_budget(rows)
    assert svg.startswith("<svg") and ">match<" in svg and ">random<" in svg and ">all rows<" not in svg


@pytest.mark.parametrize("name", sorted(LEXICAL_SCORES))
def test_words_in_common_make_rows_near(name: str) -> None:
    rows = ["the cat sat on the mat", "stocks fell on Monday", "a dog and a cat play"]
    near_RN = LEXICAL_SCORES[name](rows, ["where does the cat sit? on the mat", "why did stocks fall?", "%", "zzz"])
    assert near_RN.shape == (4, 3) and near_RN.dtype == np.float32
    assert near_RN[:2].argmax(1).tolist() == [0, 1] and not near_RN[2:].any()


def test_kinds_are_those_that_rows_were_made_of() -> None:
    draw = np.random.default_rng(0)
    centres = 3 * np.eye(8)[:3]
    label = np.repeat([0, 1, 2], [30, 20, 10])
    kinds = kinds_of(centres[label] + 0.1 * draw.normal(size=(60, 8)))
    assert sum(kind.size for kind in kinds) == 60 and [kind.size for kind in kinds] == sorted(
        (kind.size for kind in kinds), reverse=True
    )
    assert all(len({label[row] for row in kind.typical}) == 1 and len(kind.typical) == 3 for kind in kinds)
    assert {label[kind.typical[0]] for kind in kinds} == {0, 1, 2}


def test_kinds_of_few_or_equal_rows() -> None:
    assert kinds_of(np.empty((0, 4))) == []
    assert [(kind.size, len(kind.typical)) for kind in kinds_of(np.ones((50, 4)))] == [(50, 3)]
    assert [kind.size for kind in kinds_of(np.eye(4)[:2])] == [2]
