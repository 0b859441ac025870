"""What `oresight.score` and `oresight.curate` return: the caller's rows with what was found about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from oresight.flows.api.rows import GivenRows
from oresight.tasks.database import reading, records
from oresight.tasks.pages.html import rendered
from oresight.tasks.pages.verdict import verdict
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run

SIGNALS = (
    *("value", "value_per_token", "value_cosine", "self_value", "nll", "conditional_gain", "image_gain"),
    *("local_value", "worst_token", "label_probe"),
)
COLUMNS: dict[str, str] = {
    **dict.fromkeys(("status", "decision", "cause", "reason"), "str"),
    **{"is_flagged": "bool", "flags": "object", "flag_reasons": "object"},
    **dict.fromkeys(("suspicion", "p_value", "q_value", "local_fdr"), "float64"),
    **{"looks_like": "str", "is_unlike": "boolean", "unlike_because": "str"},
    **dict.fromkeys(SIGNALS, "float64"),
    **{"answer_tokens": "Int64", "truncated": "boolean", "duplicate_of": "Int64", "sample_id": "str"},
    **{"source_file": "str", "source_line": "Int64"},
}
"""Columns of the frame with their types, in their order. docs/python.md describes them."""
DECISIONS = ("decision", "cause")
SOURCES = ("source_file", "source_line")
WORST_ROWS = 8
"""The most suspicious rows that a notebook shows."""
SHOWN_CHARACTERS = 200
SAID_WITHOUT_TRUSTED = [
    "No row is valued or judged, because there are no trusted rows.",
    "No error rate is claimed: the checks that need no trusted rows were run.",
    "Give some rows that you trust as `trusted`: wrong rows are then flagged at a stated error rate.",
]


@dataclass(frozen=True, repr=False)
class Scored:
    """Scores and flags of rows. A notebook shows what they say; `frame` has one row per given row."""

    frame: pd.DataFrame
    """One row per given row, in the same order and with the same index. docs/python.md describes the columns."""
    summary: dict[str, int]
    """Counts of rows: given, scored, unscored, duplicate, rejected, flagged; of `curate` also kept and dropped."""
    detectability: pd.DataFrame
    """One row per kind of planted defect: how well this model tells it from trusted rows (AUC with 95% interval)."""
    verdict: list[str]
    """What the flags say, how sure that is, and what cannot be seen."""
    model: str
    """The model that scored the rows, with the beginning of its hash."""
    layout: str
    """The layout that the rows were recognised as."""
    database: str | None
    """The DuckDB file with everything, which `oresight.read` opens; None if it was temporary."""
    refused: str | None
    """The critical check that failed, in a sentence; None if none did."""
    worst: list[dict[str, Any]]
    """The most suspicious rows, with the beginnings of their texts."""

    @property
    def flagged(self) -> pd.DataFrame:
        """The part of `frame` that is flagged, the most suspicious rows first."""
        return self.frame[self.frame["is_flagged"]].sort_values("suspicion", ascending=False, kind="stable")

    def __repr__(self) -> str:
        counts = ", ".join(f"{number:,} {name}" for name, number in self.summary.items())
        return "\n".join([f"{type(self).__name__}: {counts}", *self._sentences])

    def _repr_html_(self) -> str:
        """A summary for notebooks, which asks no other host for anything. Text of rows is escaped."""
        return rendered(
            "notebook.html",
            sentences=self._sentences,
            counts=self.summary,
            causes=self._causes,
            kinds=self.detectability.to_dict("records"),
            worst=self.worst,
            model=self.model,
            layout=self.layout,
        )

    @property
    def _sentences(self) -> list[str]:
        return [*([f"A critical check failed: {self.refused}"] if self.refused else []), *self.verdict]

    @property
    def _causes(self) -> dict[str, int]:
        return {}


@dataclass(frozen=True, repr=False)
class Curated(Scored):
    """Scores, flags and decisions. `kept` is ready to train on."""

    kept: Any = None
    """The rows to train on: the caller's own rows, in their order and form, with their own columns and index."""
    dropped: Any = None
    """The other rows, in the same form: dropped, duplicate and rejected. `frame` says why."""
    causes: dict[str, int] = field(default_factory=dict)
    """Number of dropped rows by cause."""
    folder: Path | None = None
    """The published folder; None if nothing was published."""

    @property
    def _causes(self) -> dict[str, int]:
        return self.causes


def read_results(
    run: Run, given: GivenRows | None, reasons: Mapping[int, str], in_words: Callable[[str], str], *, is_split: bool
) -> dict[str, Any]:
    """The fields of Scored, or of Curated if the rows were split, except those that describe the call.

    given: the rows that were given; None for a path. reasons: by position, why rows could not be written to the file.
    in_words: turns a sentence about the file into one about the caller's rows.
    """
    config = run.config
    with reading(config.database) as connection:
        scope = run.scope(connection)
        values = scope.parameters | {"split": config.splitting.name if is_split else None, "records": given is None}
        rows = records(connection, "api_rows", values)
        (dataset,) = [row for row in records(connection, "report_datasets", values) if row["role"] == "dataset"]
        kinds = records(connection, "report_detectability", values)
        trials = records(connection, "report_calibration", values)
    for row in rows:
        row["reason"] = in_words(row["reason"]) if row["reason"] else None
        row["flag_reasons"] = [in_words(reason) for reason in row["flag_reasons"]]
    rows = _placed(rows, given, reasons)
    columns = [
        name for name in COLUMNS if (is_split or name not in DECISIONS) and (given is None or name not in SOURCES)
    ]
    index = given.index if given else pd.RangeIndex(len(rows))
    frame = pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], index, COLUMNS[name]) for name in columns}, index
    )
    said = SAID_WITHOUT_TRUSTED
    if scope.has_trusted:
        rate = config.flagging.false_discovery_rate
        checks = [check for row in rows if row["status"] != "duplicate" for check in row["flags"]]
        trial = next((trial for trial in trials if trial["stated"] == rate), None)
        said = verdict(checks.count("looks_mislabeled"), trial, kinds, checks.count("unlike_trusted"), rate)
    status = frame["status"].value_counts()
    summary = {"rows": len(frame)}
    summary |= {name: int(status.get(name, 0)) for name in ("scored", "unscored", "duplicate", "rejected")}
    summary["flagged"] = int((frame["is_flagged"] & (frame["status"] != "duplicate")).sum())
    results = {
        "frame": frame,
        "summary": summary,
        "detectability": pd.DataFrame(
            kinds, columns=["canary", "auc", "auc_low", "auc_high", "canaries", "detectable"]
        ),
        "verdict": said,
        "model": scope.model,
        "layout": dataset["layout"],
        "worst": _worst(rows, index),
    }
    return results | (_decisions(rows, given, summary) if is_split else {})


def _placed(
    rows: Sequence[dict[str, Any]], given: GivenRows | None, reasons: Mapping[int, str]
) -> list[dict[str, Any]]:
    """One dict per given row, in their order, with `status`, `reason`, `decision` and `cause`."""
    places = [row["source_line"] - 1 if given and row["source_line"] else i for i, row in enumerate(rows)]
    positions = {(row["source_file"], row["source_line"]): place for place, row in zip(places, rows, strict=True)}
    count = len(given.index) if given else len(rows)
    by_place = dict(zip(places, rows, strict=True))
    empty = dict.fromkeys(rows[0]) | {"flags": [], "flag_reasons": [], "is_flagged": False}
    placed = []
    for place in range(count):
        row = by_place.get(place) or empty | {"reason": "was not read"}
        if place in reasons:
            row["reason"] = reasons[place]
        first = positions.get((row["first_file"], row["first_line"]))
        is_repeat = row["sample_id"] is not None and first is not None and first != place
        row["duplicate_of"] = first if is_repeat else None
        if row["sample_id"] is None:
            row["status"] = "rejected"
        elif is_repeat:
            row |= {"status": "duplicate", "reason": f"has the content of the row at position {first}"}
        else:
            row["status"] = "scored" if row["nll"] is not None else "unscored"
        if row["status"] in ("rejected", "duplicate"):
            row |= {"decision": "drop", "cause": row["status"]}
        else:
            row["reason"] = row["decided_because"] or row["reason"]
        placed.append(row)
    return placed


def _decisions(rows: Sequence[dict[str, Any]], given: GivenRows | None, summary: dict[str, int]) -> dict[str, Any]:
    """The fields of Curated, and the counts of kept and dropped rows in the summary."""
    kept = [place for place, row in enumerate(rows) if row["decision"] == "keep"]
    dropped = [place for place, row in enumerate(rows) if row["decision"] != "keep"]
    causes = pd.Series([rows[place]["cause"] for place in dropped], dtype="str").value_counts()
    summary |= {"kept": len(kept), "dropped": len(dropped)}
    if given and (corrected := sum(row["is_corrected"] for row in rows)):
        log().warning(
            "kept: %d rows have another answer since a review, which only a published folder holds", corrected
        )
    take = given.take if given else _taker(rows)
    return {"kept": take(kept), "dropped": take(dropped), "causes": {str(k): int(n) for k, n in causes.items()}}


def _taker(rows: Sequence[dict[str, Any]]) -> Any:
    """How the rows of a path are taken: as a frame of their records. A rejected row has none."""

    def take(places: Sequence[int]) -> pd.DataFrame:
        return pd.DataFrame([orjson.loads(rows[place]["record"] or "{}") for place in places], list(places))

    return take


def _worst(rows: Sequence[dict[str, Any]], index: pd.Index) -> list[dict[str, Any]]:
    """The most suspicious rows; without trusted rows those that a check of severity warning or critical flags."""
    judged = [
        (place, row)
        for place, row in enumerate(rows)
        if row["status"] != "duplicate" and (row["suspicion"] is not None or row["is_flagged"])
    ]
    judged.sort(key=lambda item: (not item[1]["is_flagged"], -(item[1]["suspicion"] or 0)))
    return [
        {name: row[name] for name in ("is_flagged", "suspicion", "p_value", "looks_like", "flags", "flag_reasons")}
        | {"label": str(index[place])}
        | {name: (row[name] or "")[:SHOWN_CHARACTERS] for name in ("prompt", "answer")}
        for place, row in judged[:WORST_ROWS]
    ]
