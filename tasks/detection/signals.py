"""The list of signals of a row: what the detector reads and what evaluations measure.

A test compares this list with the table of scores, the queries and the checks.
"""

from typing import Literal, NamedTuple


class Signal(NamedTuple):
    """A number that may tell wrong rows from right ones."""

    suspicious: Literal["low", "high"]
    """Which end marks wrong rows. It is stated here and not fitted to the data, so an AUC below 0.5 is a result."""
    origin: Literal["score", "tokens", "labels", "detector"]
    """A column of the scores, derived from token scores, from answers that repeat, or the detector's suspicion."""


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
"""Signals that the detector is fitted on, for every row."""
LABEL_SIGNALS = tuple(name for name, signal in SIGNALS.items() if signal.origin == "labels")
"""Further signals that the detector is fitted on where answers repeat."""
MEASURED = tuple(name for name, signal in SIGNALS.items() if signal.origin != "tokens")
"""Signals that evaluations report."""
