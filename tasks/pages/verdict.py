"""What a page says, in three sentences: what was found, how sure it is, and what cannot be seen."""

from collections.abc import Sequence
from typing import Any

UNSEEN = "A wrong fact in a plausible sentence is not seen."
SAID_WITHOUT_TRUSTED = [
    "No row is judged, because there are no trusted rows. No error rate is claimed.",
    "Make some with oresight trust CONFIG.yaml: you keep, drop or correct rows of this dataset. The next run then keeps"
    " the rows that teach what the trusted rows ask, and flags wrong rows at a stated error rate.",
]
"""What is said instead of the three sentences where there are no trusted rows."""


def verdict(
    flagged: int, trial: dict[str, Any] | None, kinds: Sequence[dict[str, Any]], unlike: int, rate: float
) -> list[str]:
    """The three sentences.

    Args:
        flagged: Rows that look mislabeled.
        trial: The row of the calibration at the stated rate; None if no row was judged.
        kinds: Kinds of planted defects, with `canary` and `detectable`.
        unlike: Rows that are unlike all trusted rows.
        rate: The stated false-discovery rate.
    """
    if trial is None:
        return ["No row was judged, because there are too few trusted rows to learn from.", UNSEEN]
    if not trial["is_explained"]:
        found = (
            f"No row is flagged as mislabeled, although {trial['rows_flagged']:,} are suspicious enough: hardly any"
            " planted defect is that suspicious, so something else makes these rows differ from the trusted ones."
        )
    elif not flagged:
        found = f"No row is flagged as mislabeled, because none is so suspicious that the stated {rate:.0%} would hold."
    else:
        found = f"{flagged:,} row{'s look' if flagged != 1 else ' looks'} mislabeled."
    recall = f"{trial['recall']:.0%} of the planted defects were found"
    if flagged:
        sure = (
            f"At most {rate:.0%} of such flags are expected to be false, that is, on rows that are right; in trials on"
            f" held-out trusted rows {trial['measured']:.0%} were, in nine of ten trials at most"
            f" {trial['measured_high']:.0%}, and {recall}."
        )
    else:
        sure = f"In trials on held-out trusted rows, {recall} at this rate."
    blind = [kind["canary"].replace("_", " ") for kind in kinds if not kind["detectable"]]
    gaps = [f"This model does not see {', '.join(blind)}"] if blind else []
    if unlike:
        gaps.append(
            f"{unlike:,} row{'s are' if unlike != 1 else ' is'} unlike all trusted rows, by what is asked or by the"
            f" length of the answer, so nothing is said of {'them' if unlike != 1 else 'it'}: add some like these to"
            " the trusted rows"
        )
    return [found, sure, f"{'; '.join(gaps)}. {UNSEEN}" if gaps else UNSEEN]


def checks_verdict(checks: Sequence[dict[str, Any]], flagged: int) -> list[str]:
    """The three sentences about checks.

    Args:
        checks: Results, with `check_name`, `severity`, `success` and `rows_tested`.
        flagged: Rows with a flag of severity warning or critical.
    """
    failed = [check for check in checks if not check["success"]]
    critical = [check["check_name"] for check in failed if check["severity"] == "critical"]
    found = f"{len(checks) - len(failed)} of {len(checks)} checks passed, and {_rows(flagged, 'is', 'are')} flagged."
    if critical:
        found += f" {', '.join(critical)} (critical) failed, so nothing is published."
    tested = max((check["rows_tested"] for check in checks), default=0)
    sure = (
        f"Each check tested {'all ' if tested != 1 else ''}{_rows(tested)}, so its count is exact. Whether such a row"
        " is wrong is for a person to decide."
    )
    return [found, sure, f"A check sees only what its query looks for. {UNSEEN}"]


def _rows(count: int, one: str = "", many: str = "") -> str:
    """A number of rows with the verb that fits."""
    return f"{count:,} row{'' if count == 1 else 's'} {one if count == 1 else many}".strip()
