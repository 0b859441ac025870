"""The signals of a row: what the detector looks at and what evaluations measure. The only list of them.

A test holds it against the table of scores, the queries and the checks.
"""

from typing import Literal, NamedTuple


class Signal(NamedTuple):
    """A number that may tell wrong rows from right ones."""

    suspicious: Literal["low", "high"]
    """Which end marks wrong rows. It is stated here and not chosen by the data, so an AUC below 0.5 is a finding."""
    origin: Literal["score", "tokens", "labels", "detector"]
    """A column of the scores, something derived from them, what repeated answers teach, or the detector's verdict."""


SIGNALS: dict[str, Signal] = {
    "value": Signal("low", "score"),
    "value_per_token": Signal("low", "score"),
    "value_cosine": Signal("low", "score"),
    "local_value": Signal("low", "score"),
    "self_value": Signal("high", "score"),
    "nll": Signal("high", "score"),
    "worst_token": Signal("low", "score"),
    "first_token": Signal("low", "tokens"),
    "last_token": Signal("low", "tokens"),
    "conditional_gain": Signal("low", "score"),
    "total_gain": Signal("low", "tokens"),
    "image_gain": Signal("low", "score"),
    "label_probe": Signal("low", "labels"),
    "agreement": Signal("low", "labels"),
    "suspicion": Signal("high", "detector"),
}
DETECTED_BY = tuple(name for name, signal in SIGNALS.items() if signal.origin in ("score", "tokens"))
"""What the detector learns from, for all rows ..."""
LABEL_SIGNALS = tuple(name for name, signal in SIGNALS.items() if signal.origin == "labels")
"""... and where answers repeat."""
MEASURED = tuple(name for name, signal in SIGNALS.items() if signal.origin != "tokens")
"""What evaluations report."""
