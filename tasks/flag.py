"""Scores and canaries -> how suspicious each row is, and what this model can detect. A check then gives the verdict."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.config import Curate
from tasks.database import Connection, query, reading, transaction, writing
from tasks.detector import FEWEST, Detection, Table, detect, folds, reach
from tasks.labels import Labels, label_names, label_signals
from tasks.progress import log
from tasks.run import stored
from tasks.twins import without_twin

SIGNALS = (
    "value", "value_per_token", "value_cosine", "local_value", "self_value", "nll", "worst_token", "first_token",
    "last_token", "conditional_gain", "total_gain", "image_gain",
)  # fmt: skip
LABEL_SIGNALS = ("label_probe", "agreement")
Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]


def flag(config: Curate, model_key: str, run_id: str) -> None:
    """Judge every scored row of the dataset in the light of trusted rows and canaries; without canaries, none.

    Raises ValueError if the dataset or the reference is not there.
    """
    names: dict[str, Any] = {
        "dataset": config.dataset.name,
        "reference": config.reference.name,
        "model_key": model_key,
    }
    with reading(config.database) as connection:
        known = stored(connection, config.database, config.dataset.name, config.reference.name)
        names["reference_hash"] = known[config.reference.name].content_hash
        told = _told(connection.execute(query("flag_signals"), names).to_arrow_table())
        has_canaries = bool((told["role"] == "canary").any())
        states = _without_twins(connection, told, model_key) if has_canaries else None
    labels = None if states is None else _labels(told, states)
    rate = config.flagging.false_discovery_rate
    found = detect(_table(told, labels), rate) if has_canaries else None
    with writing(config.database) as connection, transaction(connection):
        key = {name: names[name] for name in ("dataset", "model_key", "reference")}
        for clear in ("flag_clear_suspicions", "flag_clear_detectability", "flag_clear_calibration"):
            connection.execute(query(clear), key)
        if found:
            connection.register("suspicions", _suspicions(told, found, labels))
            connection.execute(query("flag_insert_suspicions"), names | {"run_id": run_id})
            connection.register("kinds", pa.Table.from_pylist([asdict(one) for one in found.kinds]))
            connection.execute(query("flag_insert_detectability"), key | {"run_id": run_id})
            connection.register("trials", pa.Table.from_pylist([asdict(one) for one in found.trials]))
            connection.execute(query("flag_insert_calibration"), key | {"run_id": run_id})
    _tell(found, int((told["role"] == "reference").sum()), rate)


def _told(asked: pa.Table) -> Columns:
    """The answer of flag_signals as columns."""
    texts = {
        name: np.array(asked[name].to_pylist(), dtype=object)
        for name in ("role", "sample_id", "twin", "canary", "answer")
    }
    numbers = {
        name: asked[name].cast(pa.float64()).to_numpy(zero_copy_only=False).copy()
        for name in (*SIGNALS, "answer_tokens")
    }
    return texts | numbers


def _without_twins(connection: Connection, told: Columns, model_key: str) -> NDArray[np.float32] | None:
    """Take the twins out of the canaries' values; gives the states of all, if answers repeat."""
    canary, trusted = np.flatnonzero(told["role"] == "canary"), np.flatnonzero(told["role"] == "reference")
    twins = _twins(told)
    vector_RM, state_RS = _places(connection, told["sample_id"][trusted], model_key)
    vector_CM, state_CS = _places(connection, told["sample_id"][canary], model_key)
    before = told["value"][canary]
    value, local = without_twin(before, vector_CM, state_CS, twins, vector_RM, state_RS)
    told["value"][canary], told["local_value"][canary] = value, local
    told["value_per_token"][canary] = value / told["answer_tokens"][canary]
    told["value_cosine"][canary] *= np.divide(value, before, out=np.ones_like(value), where=before != 0)
    if not label_names(told["answer"][told["role"] != "canary"], told["answer"][trusted]):
        return None
    rows = np.flatnonzero(told["role"] == "dataset")
    states = np.empty((len(told["role"]), state_RS.shape[1]), dtype=np.float32)
    states[trusted], states[canary] = state_RS, state_CS
    states[rows] = _states(connection, told["sample_id"][rows], model_key)
    return states


def _labels(told: Columns, states: NDArray[np.float32]) -> Labels | None:
    trusted, canary, rows = (np.flatnonzero(told["role"] == role) for role in ("reference", "canary", "dataset"))
    copy_of, fold = np.full(len(states), -1), np.zeros(len(states), dtype=np.int64)
    copy_of[canary] = trusted[_twins(told)]
    fold[trusted], fold[rows] = folds(len(trusted)), folds(len(rows))
    fold[canary] = fold[copy_of[canary]]
    return label_signals(states, told["answer"], told["role"] == "reference", fold, copy_of)


def _twins(told: Columns) -> NDArray[np.int64]:
    """Places of the canaries' twins among the trusted rows, whose ids are in order."""
    found: NDArray[np.int64] = np.searchsorted(
        told["sample_id"][told["role"] == "reference"].astype(str), told["twin"][told["role"] == "canary"].astype(str)
    )
    return found


def _places(connection: Connection, sample_ids: NDArray[Any], model_key: str) -> tuple[Floats, Floats]:
    connection.register("asked", pa.table({"sample_id": sample_ids, "position": np.arange(len(sample_ids))}))
    found = connection.execute(query("flag_vectors"), {"model_key": model_key}).to_arrow_table()
    assert found.num_rows == len(sample_ids), "every scored row has its vector"
    return _matrix(found["vector"]).astype(np.float64), _matrix(found["state"]).astype(np.float64)


def _states(connection: Connection, sample_ids: NDArray[Any], model_key: str) -> NDArray[np.float32]:
    connection.register("asked", pa.table({"sample_id": sample_ids, "position": np.arange(len(sample_ids))}))
    return _matrix(connection.execute(query("flag_states"), {"model_key": model_key}).to_arrow_table()["state"])


def _matrix(lists: pa.ChunkedArray) -> NDArray[np.float32]:
    """[N, m] of N lists of equal length."""
    flat: NDArray[np.float32] = pa.compute.list_flatten(lists.combine_chunks()).to_numpy()
    return flat.reshape(len(lists), -1)


def _table(told: Columns, labels: Labels | None) -> Table:
    columns = [told[name] for name in SIGNALS] + ([labels.probe, labels.agreement] if labels else [])
    x = np.column_stack(columns)
    rows, trusted, canary = (x[told["role"] == role] for role in ("dataset", "reference", "canary"))
    kinds = list(told["canary"][told["role"] == "canary"])
    names = SIGNALS + (LABEL_SIGNALS if labels else ())
    return Table(names, rows, trusted, canary, kinds, _twins(told))


def _suspicions(told: Columns, found: Detection, labels: Labels | None) -> pa.Table:
    """The table of suspicions; of trusted rows and canaries those by a model that has not seen them."""
    n, parts = (
        len(told["role"]),
        {"dataset": found.suspicion_N, "reference": found.trusted_R, "canary": found.canaries_C},
    )
    suspicion, p, q = (np.full(n, np.nan) for _ in range(3))
    looks_like, signals = told["canary"].copy(), np.full(n, None, dtype=object)
    for role, values in parts.items():
        suspicion[told["role"] == role] = values
    rows = told["role"] == "dataset"
    p[rows], q[rows], looks_like[rows] = found.p_N, found.q_N, np.array(found.looks_like_N, dtype=object)
    for place, weigh in zip(np.flatnonzero(rows), found.weigh_N2, strict=True):
        signals[place] = weigh
    texts = {name: told[name].tolist() for name in ("sample_id", "role")} | {"looks_like": looks_like.tolist()}
    numbers = {"suspicion": suspicion, "p_value": p, "q_value": q}
    numbers |= {"label_probe": labels.probe, "agreement": labels.agreement} if labels else {}
    columns = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    columns |= {name: pa.array(values, pa.float64(), from_pandas=True) for name, values in numbers.items()}
    return pa.table(columns | {"signals": pa.array(signals.tolist(), pa.list_(pa.string()))})


def _tell(found: Detection | None, trusted: int, rate: float) -> None:
    """What can be detected, what cannot, and from how many bad rows on."""
    if found is None:
        log().info(
            "flag: nothing was learnt, because there are fewer than %d canaries of any kind; no row is suspected",
            FEWEST,
        )
        return
    seen = [f"{one.kind} {one.auc:.2f} ({one.low:.2f} to {one.high:.2f})" for one in found.kinds if one.is_detectable]
    blind = [
        f"{one.kind} {one.auc:.2f} ({one.low:.2f} to {one.high:.2f})" for one in found.kinds if not one.is_detectable
    ]
    log().info("flag: AUC on planted defects: %s", ", ".join(seen) or "none is above chance")
    if blind:
        log().info("flag: not detectable with this model: %s", ", ".join(blind))
    log().info("flag: %s", reach(trusted, rate))
