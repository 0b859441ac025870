"""The first sentences of the report say what was found, how sure that is, and what is not seen."""

from typing import Any

import pytest

from oresight.tasks.pages.verdict import UNSEEN, verdict

TRIAL = {"is_explained": True, "rows_flagged": 7, "measured": 0.02, "measured_high": 0.125, "recall": 0.55}
KINDS = [{"canary": "swapped_answer", "detectable": True}, {"canary": "changed_number", "detectable": False}]


def test_what_was_found_how_sure_and_what_is_not_seen() -> None:
    found, sure, blind = verdict(7, TRIAL, KINDS, 265, 0.1)
    assert found == "7 rows look mislabeled."
    assert sure.startswith("At most 10% of such flags are expected to be false")
    assert "2% were, in nine of ten trials at most 12%, and 55% of the planted defects were found" in sure
    assert blind.startswith("This model does not see changed number; 265 rows are unlike all trusted rows")
    assert blind.endswith(UNSEEN)


@pytest.mark.parametrize(
    ("flagged", "trial", "unlike", "part"),
    [
        (1, TRIAL, 0, "1 row looks mislabeled."),
        (0, TRIAL | {"is_explained": False, "rows_flagged": 1200}, 0, "although 1,200 are suspicious enough"),
        (0, None, 0, "No row was judged"),
        (
            0,
            TRIAL,
            1,
            "1 row is unlike all trusted rows, by what is asked or by the length of the answer, so nothing is said",
        ),
    ],
)
def test_each_case_has_its_sentence(flagged: int, trial: dict[str, Any] | None, unlike: int, part: str) -> None:
    assert any(part in sentence for sentence in verdict(flagged, trial, KINDS[:1], unlike, 0.1))
