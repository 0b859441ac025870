"""Scores and canaries -> how suspicious each row is, and which kinds of defect this model can detect.

The check looks_mislabeled flags rows by these suspicions afterwards.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oresight.tasks.config import Flagging
from oresight.tasks.database import Connection, execute, reading, records, transaction, writing
from oresight.tasks.detection.detector import MIN_EXAMPLES, Detection, SignalTable, detect, folds, reach
from oresight.tasks.detection.labels import Labels, label_signals
from oresight.tasks.detection.lengths import Features
from oresight.tasks.detection.likeness import UNLIKE, Likeness, likeness
from oresight.tasks.detection.peers import Peers
from oresight.tasks.detection.signals import DETECTED_BY, LABEL_SIGNALS
from oresight.tasks.detection.twins import without_twin
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]
"""Rows, trusted rows and canaries in one table. The column `role` says which of them a row is."""
WEAKENED = 0.8
"""The log says how much the trusted rows tell if that is less than this share of what as many others could."""


def flag(run: Run) -> None:
    """Give every scored row of the dataset a suspicion, learnt from trusted rows and canaries; none without canaries.

    Raises ValueError if the dataset or the reference is not there.
    """
    config = run.config
    with reading(config.database) as connection:
        parameters = run.scope(connection).parameters | {"run_id": run.run_id}
        signals = _columns(execute(connection, "flag_signals", parameters).to_arrow_table())
        has_canaries = bool((signals["role"] == "canary").any())
        states = _exclude_twins(connection, signals, parameters) if has_canaries else None
    rate, error = config.flagging.false_discovery_rate, config.flagging.error
    labels = alike = detection = None
    if states is not None:
        labels, alike, peers = _labels(signals, states), _likeness(signals, states), _peers(signals, states)
        detection = detect(_signal_table(signals, labels, alike, peers), rate, error=error)
    with writing(config.database) as connection, transaction(connection):
        for query in ("flag_clear_suspicions", "flag_clear_detectability", "flag_clear_calibration"):
            execute(connection, query, parameters)
        if detection:
            connection.register("new_suspicions", _suspicions(signals, detection, labels, alike))
            execute(connection, "flag_insert_suspicions", parameters)
            connection.register("new_detectability", pa.Table.from_pylist([asdict(kind) for kind in detection.kinds]))
            execute(connection, "flag_insert_detectability", parameters)
            rates = [asdict(calibration) for calibration in detection.calibration]
            connection.register("new_calibration", pa.Table.from_pylist(rates))
            execute(connection, "flag_insert_calibration", parameters)
        unlike = records(connection, "flag_unlike", parameters)
    trusted = int((signals["role"] == "reference").sum())
    _log_detection(detection, trusted, config.flagging)
    if detection and (effective := detection.calibration[0].trusted_rows) < WEAKENED * trusted:
        log().info(
            "flag: the dataset has the kinds of rows in other proportions than the trusted rows; these count"
            " accordingly, and %d of them tell as much as %d would in the dataset's proportions",
            trusted,
            effective,
        )
    if detection and unlike:
        _log_unlike(unlike, len(detection.p_N))


def _columns(table: pa.Table) -> Columns:
    """The result of flag_signals as arrays."""
    texts = {
        name: np.array(table[name].to_pylist(), dtype=object)
        for name in ("role", "sample_id", "twin", "canary", "answer")
    }
    numbers = {
        name: table[name].cast(pa.float64()).to_numpy(zero_copy_only=False).copy()
        for name in (*DETECTED_BY, "answer_tokens")
    }
    return texts | numbers


def _exclude_twins(connection: Connection, signals: Columns, parameters: dict[str, Any]) -> NDArray[np.float32]:
    """Value each canary without its twin, in place. Returns the states before the answer of all rows."""
    canary, trusted = np.flatnonzero(signals["role"] == "canary"), np.flatnonzero(signals["role"] == "reference")
    vector_RM, state_RS = _vectors(connection, signals["sample_id"][trusted], parameters)
    vector_CM, state_CS = _vectors(connection, signals["sample_id"][canary], parameters)
    before = signals["value"][canary]
    value, local = without_twin(
        value_C=before,
        vector_CM=vector_CM,
        state_CS=state_CS,
        twins_C=_twins(signals),
        vector_RM=vector_RM,
        state_RS=state_RS,
    )
    signals["value"][canary], signals["local_value"][canary] = value, local
    signals["value_per_token"][canary] = value / signals["answer_tokens"][canary]
    signals["value_cosine"][canary] *= np.divide(value, before, out=np.ones_like(value), where=before != 0)
    rows = np.flatnonzero(signals["role"] == "dataset")
    states = np.empty((len(signals["role"]), state_RS.shape[1]), dtype=np.float32)
    states[trusted], states[canary] = state_RS, state_CS
    states[rows] = _states(connection, signals["sample_id"][rows], parameters)
    return states


def _labels(signals: Columns, states: NDArray[np.float32]) -> Labels | None:
    """Label signals of all rows; None if answers do not repeat."""
    trusted, canary, rows = (np.flatnonzero(signals["role"] == role) for role in ("reference", "canary", "dataset"))
    copy_of, fold = np.full(len(states), -1), np.zeros(len(states), dtype=np.int64)
    copy_of[canary] = trusted[_twins(signals)]
    fold[trusted], fold[rows] = folds(len(trusted)), folds(len(rows))
    fold[canary] = fold[copy_of[canary]]
    return label_signals(states, signals["answer"], signals["role"] == "reference", fold, copy_of)


def _likeness(signals: Columns, states: NDArray[np.float32]) -> Likeness | None:
    """How rows of the dataset relate to trusted rows; None without rows, or with too few trusted rows to say."""
    is_row, is_trusted = signals["role"] == "dataset", signals["role"] == "reference"
    if not is_row.any() or is_trusted.sum() < MIN_EXAMPLES:
        return None
    rows, trusted = (Features(states[part], signals["answer_tokens"][part]) for part in (is_row, is_trusted))
    return likeness(rows, trusted)


def _peers(signals: Columns, states: NDArray[np.float32]) -> Peers:
    """The rows that ask most like each row."""
    rows, trusted, canaries = (states[signals["role"] == role] for role in ("dataset", "reference", "canary"))
    return Peers.of(rows, trusted, canaries, _twins(signals))


def _twins(signals: Columns) -> NDArray[np.int64]:
    """Positions of the canaries' twins among the trusted rows, which are in the order of their sample_ids."""
    is_trusted, is_canary = signals["role"] == "reference", signals["role"] == "canary"
    positions: NDArray[np.int64] = np.searchsorted(
        signals["sample_id"][is_trusted].astype(str), signals["twin"][is_canary].astype(str)
    )
    return positions


def _vectors(connection: Connection, sample_ids: NDArray[Any], parameters: dict[str, Any]) -> tuple[Floats, Floats]:
    """Index vectors and projected first answer states of these rows, in their order."""
    connection.register("vector_rows", pa.table({"sample_id": sample_ids, "position": np.arange(len(sample_ids))}))
    stored = execute(connection, "flag_vectors", parameters).to_arrow_table()
    assert stored.num_rows == len(sample_ids), "every scored row has its vector"
    return _matrix(stored["vector"]).astype(np.float64), _matrix(stored["state"]).astype(np.float64)


def _states(connection: Connection, sample_ids: NDArray[Any], parameters: dict[str, Any]) -> NDArray[np.float32]:
    """Projected first answer states of these rows, in their order."""
    connection.register("vector_rows", pa.table({"sample_id": sample_ids, "position": np.arange(len(sample_ids))}))
    return _matrix(execute(connection, "flag_states", parameters).to_arrow_table()["state"])


def _matrix(lists: pa.ChunkedArray) -> NDArray[np.float32]:
    """N lists of m numbers as an array [N, m]."""
    flat: NDArray[np.float32] = pa.compute.list_flatten(lists.combine_chunks()).to_numpy()
    return flat.reshape(len(lists), -1)


def _signal_table(signals: Columns, labels: Labels | None, alike: Likeness | None, peers: Peers) -> SignalTable:
    """The signals as the detector takes them."""
    columns = [signals[name] for name in DETECTED_BY] + ([labels.probe, labels.agreement] if labels else [])
    x_NS = np.column_stack(columns)
    rows_NS, trusted_RS, canaries_CS = (x_NS[signals["role"] == role] for role in ("dataset", "reference", "canary"))
    return SignalTable(
        names=DETECTED_BY + (LABEL_SIGNALS if labels else ()),
        rows_NS=rows_NS,
        trusted_RS=trusted_RS,
        canaries_CS=canaries_CS,
        kinds_C=list(signals["canary"][signals["role"] == "canary"]),
        twins_C=_twins(signals),
        is_unlike_N=alike.is_unlike_N if alike else None,
        weights=alike.weights if alike else None,
        peers=peers,
    )


def _suspicions(signals: Columns, detection: Detection, labels: Labels | None, alike: Likeness | None) -> pa.Table:
    """The table of suspicions. Those of trusted rows and canaries come from models that did not see the row."""
    by_role = {"dataset": detection.suspicion_N, "reference": detection.trusted_R, "canary": detection.canaries_C}
    n = len(signals["role"])
    suspicion, p, q, local_fdr, cosine = (np.full(n, np.nan) for _ in range(5))
    looks_like, top_signals = signals["canary"].copy(), np.full(n, None, dtype=object)
    for role, values in by_role.items():
        suspicion[signals["role"] == role] = values
    is_row = signals["role"] == "dataset"
    p[is_row], q[is_row], local_fdr[is_row] = detection.p_N, detection.q_N, detection.local_fdr_N
    is_unlike, because, nearest = (np.full(n, None, dtype=object) for _ in range(3))
    if alike:
        is_unlike[is_row], because[is_row], cosine[is_row] = alike.is_unlike_N, alike.because_N, alike.cosine_N
        nearest[is_row] = signals["sample_id"][signals["role"] == "reference"][alike.nearest_N]
    looks_like[is_row] = np.array(detection.looks_like_N, dtype=object)
    for position, top in zip(np.flatnonzero(is_row), detection.top_signals_N2, strict=True):
        top_signals[position] = top
    texts = {name: signals[name].tolist() for name in ("sample_id", "role")} | {"looks_like": looks_like.tolist()}
    texts |= {"nearest": nearest.tolist(), "unlike_because": because.tolist()}
    numbers = {"suspicion": suspicion, "p_value": p, "q_value": q, "local_fdr": local_fdr, "nearest_cosine": cosine}
    numbers |= {"label_probe": labels.probe, "agreement": labels.agreement} if labels else {}
    columns = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    columns |= {name: pa.array(values, pa.float64(), from_pandas=True) for name, values in numbers.items()}
    columns["is_unlike"] = pa.array(is_unlike.tolist(), pa.bool_())
    return pa.table(columns | {"signals": pa.array(top_signals.tolist(), pa.list_(pa.string()))})


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
