"""Scores and canaries -> how suspicious each row is, and what this model can detect.

The check looks_mislabeled then decides which rows are flagged.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oresight.tasks.database import Connection, execute, reading, transaction, writing
from oresight.tasks.detection.detector import FEWEST, Detection, Table, detect, folds, reach
from oresight.tasks.detection.labels import Labels, label_names, label_signals
from oresight.tasks.detection.signals import DETECTED_BY, LABEL_SIGNALS
from oresight.tasks.detection.twins import without_twin
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]
"""Rows, trusted rows and canaries in one table; `role` says which a row is."""


def flag(run: Run) -> None:
    """Judge every scored row of the dataset in the light of trusted rows and canaries; without canaries, none.

    Raises ValueError if the dataset or the reference is not there.
    """
    config = run.config
    with reading(config.database) as connection:
        names = run.scope(connection).parameters | {"run_id": run.run_id}
        signals = _columns(execute(connection, "flag_signals", names).to_arrow_table())
        has_canaries = bool((signals["role"] == "canary").any())
        states = _without_twins(connection, signals, names) if has_canaries else None
    labels = None if states is None else _labels(signals, states)
    rate = config.flagging.false_discovery_rate
    detection = detect(_table(signals, labels), rate) if has_canaries else None
    with writing(config.database) as connection, transaction(connection):
        for clear in ("flag_clear_suspicions", "flag_clear_detectability", "flag_clear_calibration"):
            execute(connection, clear, names)
        if detection:
            connection.register("new_suspicions", _suspicions(signals, detection, labels))
            execute(connection, "flag_insert_suspicions", names)
            connection.register("new_detectability", pa.Table.from_pylist([asdict(kind) for kind in detection.kinds]))
            execute(connection, "flag_insert_detectability", names)
            connection.register("new_calibration", pa.Table.from_pylist([asdict(c) for c in detection.calibration]))
            execute(connection, "flag_insert_calibration", names)
    _log_detection(detection, int((signals["role"] == "reference").sum()), rate)


def _columns(answer: pa.Table) -> Columns:
    """The answer of flag_signals as columns."""
    texts = {
        name: np.array(answer[name].to_pylist(), dtype=object)
        for name in ("role", "sample_id", "twin", "canary", "answer")
    }
    numbers = {
        name: answer[name].cast(pa.float64()).to_numpy(zero_copy_only=False).copy()
        for name in (*DETECTED_BY, "answer_tokens")
    }
    return texts | numbers


def _without_twins(connection: Connection, signals: Columns, names: dict[str, Any]) -> NDArray[np.float32] | None:
    """Take the twins out of the canaries' values. Returns the states of all rows, if answers repeat."""
    canary, trusted = np.flatnonzero(signals["role"] == "canary"), np.flatnonzero(signals["role"] == "reference")
    twins = _twins(signals)
    vector_RM, state_RS = _vectors(connection, signals["sample_id"][trusted], names)
    vector_CM, state_CS = _vectors(connection, signals["sample_id"][canary], names)
    before = signals["value"][canary]
    value, local = without_twin(before, vector_CM, state_CS, twins, vector_RM, state_RS)
    signals["value"][canary], signals["local_value"][canary] = value, local
    signals["value_per_token"][canary] = value / signals["answer_tokens"][canary]
    signals["value_cosine"][canary] *= np.divide(value, before, out=np.ones_like(value), where=before != 0)
    if not label_names(signals["answer"][signals["role"] != "canary"], signals["answer"][trusted]):
        return None
    rows = np.flatnonzero(signals["role"] == "dataset")
    states = np.empty((len(signals["role"]), state_RS.shape[1]), dtype=np.float32)
    states[trusted], states[canary] = state_RS, state_CS
    states[rows] = _states(connection, signals["sample_id"][rows], names)
    return states


def _labels(signals: Columns, states: NDArray[np.float32]) -> Labels | None:
    trusted, canary, rows = (np.flatnonzero(signals["role"] == role) for role in ("reference", "canary", "dataset"))
    copy_of, fold = np.full(len(states), -1), np.zeros(len(states), dtype=np.int64)
    copy_of[canary] = trusted[_twins(signals)]
    fold[trusted], fold[rows] = folds(len(trusted)), folds(len(rows))
    fold[canary] = fold[copy_of[canary]]
    return label_signals(states, signals["answer"], signals["role"] == "reference", fold, copy_of)


def _twins(signals: Columns) -> NDArray[np.int64]:
    """Positions of the canaries' twins among the trusted rows, whose ids are in order."""
    is_trusted, is_canary = signals["role"] == "reference", signals["role"] == "canary"
    positions: NDArray[np.int64] = np.searchsorted(
        signals["sample_id"][is_trusted].astype(str), signals["twin"][is_canary].astype(str)
    )
    return positions


def _vectors(connection: Connection, sample_ids: NDArray[Any], names: dict[str, Any]) -> tuple[Floats, Floats]:
    """Index vectors and states of these rows, in their order."""
    connection.register("vector_rows", pa.table({"sample_id": sample_ids, "position": np.arange(len(sample_ids))}))
    stored = execute(connection, "flag_vectors", names).to_arrow_table()
    assert stored.num_rows == len(sample_ids), "every scored row has its vector"
    return _matrix(stored["vector"]).astype(np.float64), _matrix(stored["state"]).astype(np.float64)


def _states(connection: Connection, sample_ids: NDArray[Any], names: dict[str, Any]) -> NDArray[np.float32]:
    connection.register("vector_rows", pa.table({"sample_id": sample_ids, "position": np.arange(len(sample_ids))}))
    return _matrix(execute(connection, "flag_states", names).to_arrow_table()["state"])


def _matrix(lists: pa.ChunkedArray) -> NDArray[np.float32]:
    """[N, m] of N lists of equal length."""
    flat: NDArray[np.float32] = pa.compute.list_flatten(lists.combine_chunks()).to_numpy()
    return flat.reshape(len(lists), -1)


def _table(signals: Columns, labels: Labels | None) -> Table:
    columns = [signals[name] for name in DETECTED_BY] + ([labels.probe, labels.agreement] if labels else [])
    x = np.column_stack(columns)
    rows, trusted, canary = (x[signals["role"] == role] for role in ("dataset", "reference", "canary"))
    kinds = list(signals["canary"][signals["role"] == "canary"])
    names = DETECTED_BY + (LABEL_SIGNALS if labels else ())
    return Table(names, rows, trusted, canary, kinds, _twins(signals))


def _suspicions(signals: Columns, detection: Detection, labels: Labels | None) -> pa.Table:
    """The table of suspicions. Those of trusted rows and canaries are by a model that has not seen them."""
    by_role = {"dataset": detection.suspicion_N, "reference": detection.trusted_R, "canary": detection.canaries_C}
    n = len(signals["role"])
    suspicion, p, q = (np.full(n, np.nan) for _ in range(3))
    looks_like, weigh_most = signals["canary"].copy(), np.full(n, None, dtype=object)
    for role, values in by_role.items():
        suspicion[signals["role"] == role] = values
    rows = signals["role"] == "dataset"
    p[rows], q[rows] = detection.p_N, detection.q_N
    looks_like[rows] = np.array(detection.looks_like_N, dtype=object)
    for position, weigh in zip(np.flatnonzero(rows), detection.weigh_N2, strict=True):
        weigh_most[position] = weigh
    texts = {name: signals[name].tolist() for name in ("sample_id", "role")} | {"looks_like": looks_like.tolist()}
    numbers = {"suspicion": suspicion, "p_value": p, "q_value": q}
    numbers |= {"label_probe": labels.probe, "agreement": labels.agreement} if labels else {}
    columns = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    columns |= {name: pa.array(values, pa.float64(), from_pandas=True) for name, values in numbers.items()}
    return pa.table(columns | {"signals": pa.array(weigh_most.tolist(), pa.list_(pa.string()))})


def _log_detection(detection: Detection | None, trusted: int, rate: float) -> None:
    """Log what can be detected, what cannot, and how many bad rows it takes until any can be flagged."""
    if detection is None:
        log().info("flag: no row is judged: there are fewer than %d canaries of any kind to learn from", FEWEST)
        return
    intervals = {kind: f"{kind.kind} {kind.auc:.2f} ({kind.low:.2f} to {kind.high:.2f})" for kind in detection.kinds}
    detectable = [interval for kind, interval in intervals.items() if kind.is_detectable]
    undetectable = [interval for kind, interval in intervals.items() if not kind.is_detectable]
    log().info("flag: AUC on planted defects: %s", ", ".join(detectable) or "none is above chance")
    if undetectable:
        log().info("flag: not detectable with this model: %s", ", ".join(undetectable))
    log().info("flag: %s", reach(trusted, rate))
