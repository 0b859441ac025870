"""Scores and canaries -> how suspicious each row is, and which kinds of defect this model can detect.

The check looks_mislabeled flags rows by these suspicions afterwards.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oresight.tasks.arrays.arrow import joined, matrix
from oresight.tasks.arrays.ondisk import side_by_side, stacked
from oresight.tasks.arrays.scored import Part, read_part
from oresight.tasks.config import Flagging
from oresight.tasks.database import Connection, execute, reading, records, transaction, writing
from oresight.tasks.detection.chunks import chunks
from oresight.tasks.detection.detector import MIN_EXAMPLES, Detection, detect, reach
from oresight.tasks.detection.inputs import SignalTable, folds
from oresight.tasks.detection.labels import Labels, label_signals
from oresight.tasks.detection.lengths import Features
from oresight.tasks.detection.likeness import UNLIKE, Likeness, likeness
from oresight.tasks.detection.peers import Peers
from oresight.tasks.detection.signals import DETECTED_BY, LABEL_SIGNALS
from oresight.tasks.detection.twins import without_twin
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run

Floats = NDArray[np.float64]
SUSPICIONS = pa.schema([
    *((name, pa.string()) for name in ("role", "sample_id", "looks_like", "unlike_because", "nearest")),
    *((name, pa.float64()) for name in ("suspicion", "p_value", "q_value", "local_fdr", "nearest_cosine")),
    *((name, pa.float64()) for name in ("label_probe", "agreement")),
    ("is_unlike", pa.bool_()), ("signals", pa.list_(pa.string())),
])  # fmt: skip
WEAKENED = 0.8
"""The log says how much the trusted rows tell if that is less than this share of what as many others could."""


@dataclass(frozen=True)
class Judged:
    """What is judged, what it is judged by, and the result."""

    rows: Part
    trusted: Part
    canaries: Part
    labels: Labels | None
    """Of rows, trusted rows and canaries, one after the other; None if answers do not repeat."""
    alike: Likeness | None
    """How rows relate to trusted rows; None without rows, or with too few trusted rows to say."""
    detection: Detection


def flag(run: Run) -> None:
    """Give every scored row of the dataset a suspicion, learnt from trusted rows and canaries; none without canaries.

    Raises ValueError if the dataset or the reference is not there.
    """
    config = run.config
    folder = Path(config.database).absolute().parent
    with reading(config.database) as connection:
        parameters = run.scope(connection).parameters
        trusted, canaries = (read_part(connection, role, parameters, folder) for role in ("reference", "canary"))
        rows = read_part(connection, "dataset", parameters, folder) if len(canaries) else None
        canaries = _without_twins(connection, trusted, canaries, parameters)
    judged = _judged(rows, trusted, canaries, config.flagging, folder) if rows is not None else None
    parameters = parameters | {"run_id": run.run_id}
    with writing(config.database) as connection, transaction(connection):
        for query in ("flag_clear_suspicions", "flag_clear_detectability", "flag_clear_calibration"):
            execute(connection, query, parameters)
        if judged:
            # One reader: within a transaction, DuckDB keeps every table that was registered.
            connection.register("new_suspicions", pa.RecordBatchReader.from_batches(SUSPICIONS, _suspicions(judged)))
            execute(connection, "flag_insert_suspicions", parameters)
            kinds = [asdict(kind) for kind in judged.detection.kinds]
            connection.register("new_detectability", pa.Table.from_pylist(kinds))
            execute(connection, "flag_insert_detectability", parameters)
            rates = [asdict(calibration) for calibration in judged.detection.calibration]
            connection.register("new_calibration", pa.Table.from_pylist(rates))
            execute(connection, "flag_insert_calibration", parameters)
        unlike = records(connection, "flag_unlike", parameters)
    detection = judged.detection if judged is not None else None
    _log_detection(detection, len(trusted), config.flagging)
    if detection and (effective := detection.calibration[0].trusted_rows) < WEAKENED * len(trusted):
        log().info(
            "flag: the dataset has the kinds of rows in other proportions than the trusted rows; these count"
            " accordingly, and %d of them tell as much as %d would in the dataset's proportions",
            len(trusted),
            effective,
        )
    if detection and unlike:
        _log_unlike(unlike, len(detection.p_N))


def _judged(rows: Part, trusted: Part, canaries: Part, flagging: Flagging, folder: Path) -> Judged | None:
    """Judge the rows; None if there are too few trusted rows or canaries to learn from."""
    twins_C = _twins(trusted, canaries)
    labels = _labels(rows, trusted, canaries, twins_C, folder)
    can_say = len(rows) and len(trusted) >= MIN_EXAMPLES
    features = (Features(part.states_ND, part.answer_tokens_N) for part in (rows, trusted))
    alike = likeness(*features) if can_say else None
    rows_NS, trusted_RS, canaries_CS = (part.signals_NS for part in (rows, trusted, canaries))
    if labels:
        more_MS, ends = np.column_stack([labels.probe, labels.agreement]), [len(rows), len(rows) + len(trusted)]
        parts = zip((rows_NS, trusted_RS, canaries_CS), np.split(more_MS, ends), strict=True)
        rows_NS, trusted_RS, canaries_CS = (side_by_side(part_NS, more_NS, folder) for part_NS, more_NS in parts)
    table = SignalTable(
        names=DETECTED_BY + (LABEL_SIGNALS if labels else ()),
        rows_NS=rows_NS,
        trusted_RS=trusted_RS,
        canaries_CS=canaries_CS,
        kinds_C=canaries.kinds.to_pylist(),
        twins_C=twins_C,
        is_unlike_N=alike.is_unlike_N if alike else None,
        weights=alike.weights if alike else None,
        peers=Peers.of(rows.states_ND, trusted.states_ND, canaries.states_ND, twins_C),
    )
    detection = detect(table, flagging.false_discovery_rate, error=flagging.error)
    if detection is None:
        return None
    return Judged(rows=rows, trusted=trusted, canaries=canaries, labels=labels, alike=alike, detection=detection)


def _without_twins(connection: Connection, trusted: Part, canaries: Part, parameters: dict[str, Any]) -> Part:
    """The canaries, each valued without its twin."""
    if not len(canaries):
        return canaries
    signals = {name: canaries.signals_NS[:, i].copy() for i, name in enumerate(DETECTED_BY)}
    before = signals["value"]
    value, local = without_twin(
        value_C=before,
        vector_CM=_vectors(connection, canaries, parameters),
        state_CS=canaries.states_ND.astype(np.float64),
        twins_C=_twins(trusted, canaries),
        vector_RM=_vectors(connection, trusted, parameters),
        state_RS=trusted.states_ND.astype(np.float64),
    )
    signals |= {"value": value, "local_value": local, "value_per_token": value / canaries.answer_tokens_N}
    signals["value_cosine"] *= np.divide(value, before, out=np.ones_like(value), where=before != 0)
    return replace(canaries, signals_NS=np.column_stack([signals[name] for name in DETECTED_BY]))


def _labels(rows: Part, trusted: Part, canaries: Part, twins_C: NDArray[np.int64], folder: Path) -> Labels | None:
    """Label signals of rows, trusted rows and canaries; None if answers do not repeat."""
    copy_of = np.concatenate([np.full(len(rows) + len(trusted), -1), len(rows) + twins_C])
    return label_signals(
        lambda: stacked([part.states_ND for part in (rows, trusted, canaries)], folder),
        joined(rows.answers, trusted.answers, canaries.answers),
        np.repeat([False, True, False], [len(rows), len(trusted), len(canaries)]),
        np.concatenate([folds(len(rows)), folds(len(trusted)), folds(len(trusted))[twins_C]]),
        copy_of,
    )


def _twins(trusted: Part, canaries: Part) -> NDArray[np.int64]:
    """Positions of the canaries' twins among the trusted rows, which are in the order of their sample_ids."""
    ids, twins = (column.to_numpy().astype(str) for column in (trusted.sample_ids, canaries.twins))
    positions: NDArray[np.int64] = np.searchsorted(ids, twins)
    return positions


def _vectors(connection: Connection, part: Part, parameters: dict[str, Any]) -> Floats:
    """Index vectors of trusted rows or canaries, in their order."""
    ids = pa.table({"sample_id": part.sample_ids, "position": np.arange(len(part))})
    connection.register("vector_rows", ids)
    stored = execute(connection, "flag_vectors", parameters).to_arrow_table()
    assert stored.num_rows == len(part), "every scored row has its vector"
    return matrix(stored["vector"].combine_chunks()).astype(np.float64)


def _suspicions(judged: Judged) -> Iterator[pa.RecordBatch]:
    """The table SUSPICIONS, block by block. Those of trusted rows and canaries come from models that did not see
    the row."""
    detection, labels, alike = judged.detection, judged.labels, judged.alike
    kinds = pa.array([kind.kind for kind in detection.kinds])
    names = np.array([*detection.names, None], dtype=object)  # the last one for -1
    trusted_ids = judged.trusted.sample_ids.combine_chunks()
    for block in chunks(len(judged.rows)):
        columns: dict[str, Any] = {
            "sample_id": judged.rows.sample_ids[block],
            "suspicion": detection.suspicion_N[block],
            "p_value": detection.p_N[block],
            "q_value": detection.q_N[block],
            "local_fdr": detection.local_fdr_N[block],
            "looks_like": kinds.take(pa.array(detection.looks_like_N[block])),
            "signals": [[name for name in pair if name] for pair in names[detection.top_signals_N2[block]]],
        }
        if alike:
            columns |= {
                "is_unlike": alike.is_unlike_N[block],
                "unlike_because": pa.array(alike.because_N[block], pa.string()),
                "nearest_cosine": alike.cosine_N[block],
                "nearest": trusted_ids.take(pa.array(alike.nearest_N[block])),
            }
        yield _batch("dataset", columns, labels, block)
    first = len(judged.rows)
    for role, part, suspicion in (
        ("reference", judged.trusted, detection.trusted_R),
        ("canary", judged.canaries, detection.canaries_C),
    ):
        columns = {"sample_id": part.sample_ids, "looks_like": part.kinds, "suspicion": suspicion}
        yield _batch(role, columns, labels, slice(first, first + len(part)))
        first += len(part)


def _batch(role: str, columns: dict[str, Any], labels: Labels | None, at: slice) -> pa.RecordBatch:
    """A block of the table SUSPICIONS. NaN becomes null, as does a column that is not given."""
    rows = len(columns["suspicion"])
    columns = columns | {"role": pa.repeat(role, rows)}
    if labels:
        columns |= {"label_probe": labels.probe[at], "agreement": labels.agreement[at]}
    arrays = []
    for field in SUSPICIONS:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
        elif isinstance(values, pa.ChunkedArray):
            arrays.append(pa.concat_arrays(values.cast(field.type).chunks) if rows else pa.nulls(0, field.type))
        else:
            arrays.append(pa.array(values, field.type, from_pandas=True))
    return pa.RecordBatch.from_arrays(arrays, schema=SUSPICIONS)


def _log_detection(detection: Detection | None, trusted: int, flagging: Flagging) -> None:
    """Log which defects can be detected, which cannot, and what the trusted rows allow."""
    if detection is None and trusted == 0:
        log().info("flag: no row is judged, because there are no trusted rows")
        return
    if detection is None:
        log().info("flag: no row is judged, because no kind of canary has %d examples to learn from", MIN_EXAMPLES)
        return
    intervals = {kind: f"{kind.kind} {kind.auc:.2f} ({kind.low:.2f} to {kind.high:.2f})" for kind in detection.kinds}
    detectable = [interval for kind, interval in intervals.items() if kind.is_detectable]
    undetectable = [interval for kind, interval in intervals.items() if not kind.is_detectable]
    log().info("flag: AUC on planted defects: %s", ", ".join(detectable) or "none is above chance")
    if undetectable:
        log().info("flag: not detectable with this model: %s", ", ".join(undetectable))
    rate = flagging.false_discovery_rate
    trial = next(trial for trial in detection.calibration if trial.stated == rate)
    log().info("flag: %s", reach(trial.trusted_rows, rate, flagging.error))
    if trial.is_explained and trial.rows_flagged == 0:
        log().info(
            "flag: no row is flagged; `oresight review` shows the most suspicious ones, and more trusted rows help"
        )
    if not trial.is_explained:
        log().warning(
            "flag: no row is flagged, although %d rows are suspicious enough: hardly any planted defect is, so"
            " something else makes them suspicious; look at some, or add rows like them to the trusted rows",
            trial.rows_flagged,
        )  # fmt: skip


def _log_unlike(unlike: list[dict[str, Any]], judged: int) -> None:
    """Log how many rows are unlike all trusted rows, why, of which files, with three examples, and what to do."""
    for because, what in UNLIKE.items():
        parts = [part for part in unlike if part["because"] == because]
        if parts:
            log().warning(
                "flag: %s of %s rows %s, and are not judged (%s), for instance %s;"
                " add some like these to the trusted rows",
                f"{sum(part['rows'] for part in parts):,}", f"{judged:,}", what,
                ", ".join(f"{part['part']} {part['rows']:,}" for part in parts[:5]),
                ", ".join(example for part in parts[:3] for example in part["examples"]),
            )  # fmt: skip
