"""A person's verdict on a row -> an entry in the database, which the next split obeys.

A verdict of the trust page can also make the row one of the trusted rows, as it is or with the answer that the person
gives. trusted.py has the file of these rows.
"""

import json
import uuid
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow as pa

from oresight.tasks.config import Curate
from oresight.tasks.database import execute, reading, records, transaction, writing
from oresight.tasks.formats import recognise
from oresight.tasks.formats.sample import content_id
from oresight.tasks.matching.variety import diverse, text_points
from oresight.tasks.pages.evidence import add_pictures
from oresight.tasks.runs.user import user_name

Verdict = Literal["keep", "drop", "relabel", "undo"]
Page = Literal["review", "trust"]
"""Where a verdict is given: on flagged rows, or on a diverse sample of all rows."""
CANDIDATES = 20_000
"""Rows, drawn at random, that the sample of the trust page is chosen from."""


class DecidedMeanwhile(ValueError):
    """Somebody else has decided about the row since it was shown."""


def trust_queue(config: Curate, n: int) -> list[dict[str, Any]]:
    """A diverse sample of n rows of the dataset with their pictures: first the rows decided before, then the others.

    It needs no model and no scores. The same rows come again as long as the dataset and n are the same.
    """
    names = {"dataset": config.dataset.name, "reference": config.reference_name}
    with reading(config.database) as connection:
        candidates = execute(connection, "trust_candidates", names | {"n": CANDIDATES}).to_arrow_table()
        offered = _offered(candidates, n) if candidates.num_rows else []
        ids = candidates["sample_id"].take(pa.array(offered, pa.int64()))
        connection.register("rows_to_offer", pa.table({"sample_id": ids, "position": range(len(ids))}))
        rows = records(connection, "trust_rows", names)
        add_pictures(connection, rows, config.dataset.name)
    return rows


def _offered(candidates: pa.Table, n: int) -> list[int]:
    """Positions of the candidates to offer. By the index where most of them are in it, else by their texts."""
    states = candidates["state"].to_pylist()
    with_state = [state for state in states if state is not None]
    if 2 * len(with_state) >= len(states):
        nothing = [0] * len(with_state[0])  # rows outside the index are a cluster of their own
        points_ND = np.array([nothing if state is None else state for state in states], dtype=np.float32)
    else:
        points_ND = text_points(candidates["text"].to_pylist())
    return diverse(points_ND, n, candidates["is_taken"].to_numpy())


def decide(
    config: Curate,
    sample_id: str,
    verdict: Verdict,
    answer: str | None = None,
    why: str = "",
    who: str | None = None,
    page: Page = "review",
    seen_us: int | None = None,
) -> None:
    """Store a verdict. This does not wait for a run in progress, because only its split step reads verdicts.

    The row is read and the verdict stored in one opening of the file, so that no `forget` comes in between.

    On the trust page, a row that is kept or gets another answer becomes trusted. A row that is trusted stays so on the
    review page too, unless it is dropped.

    seen_us: `decided_us` of the verdict that the person saw on the row. By default the present verdict is replaced
    whatever it is. Raises DecidedMeanwhile if the present verdict is another one, and ValueError if there is no such
    row, or a relabel has no answer or one that the row's layout cannot hold.
    """
    row_keys = {"dataset": config.dataset.name, "sample_id": sample_id}
    with writing(config.database) as connection, transaction(connection):
        row = next(iter(records(connection, "verdict_record", row_keys)), None)
        if row is None:
            raise ValueError(f"{config.database}: {config.dataset.name!r} has no row {sample_id}")
        if seen_us is not None and row["decided_us"] != seen_us:
            by = f"{row['who']} decided {row['verdict']}" if row["verdict"] else "the verdict was taken back"
            raise DecidedMeanwhile(f"{by} in the meantime; nothing was changed; decide again to replace that")
        record, trusted_as = None, sample_id
        if verdict == "relabel":
            record, trusted_as = _relabelled(config, row, answer or "")
        is_trusted = verdict in ("keep", "relabel") and (page == "trust" or row["is_trusted"])
        values = {"verdict": verdict, "answer": answer if record else None, "record": record}
        values |= {"who": who or user_name(), "why": " ".join(why.split()), "page": page}
        execute(connection, "verdict_insert", row_keys | values | {"trusted_as": trusted_as if is_trusted else None})


def standing(config: Curate, sample_ids: pa.StringArray) -> list[dict[str, Any]]:
    """How many of the rows have which verdict (`undecided` for none), and by whom."""
    with reading(config.database) as connection:
        connection.register("rows_to_decide", pa.table({"sample_id": sample_ids}))
        return records(connection, "review_standing", {"dataset": config.dataset.name})


def decide_all(
    config: Curate, sample_ids: pa.StringArray, verdict: Literal["keep", "drop"], *, replaces: str, why: str, who: str
) -> int:
    """Store a verdict on many rows in one transaction. Returns how many rows got it.

    Only rows whose present verdict is `replaces` (`undecided` for none) get it, so that nobody's verdict is replaced
    unseen. undo_bulk takes the verdicts back.
    """
    values = {"dataset": config.dataset.name, "verdict": verdict, "replaces": replaces}
    values |= {"why": " ".join(why.split()), "who": who, "bulk": uuid.uuid4().hex}
    with writing(config.database) as connection, transaction(connection):
        connection.register("rows_to_decide", pa.table({"sample_id": sample_ids}))
        (count,) = execute(connection, "verdict_insert_all", values).fetchone() or (0,)
    return int(count)


def newest_bulk(config: Curate, who: str) -> dict[str, Any] | None:
    """The last verdict of a person on many rows that still counts: bulk (its id), verdict, rows. None without one."""
    with reading(config.database) as connection:
        bulks = records(connection, "verdict_bulk", {"dataset": config.dataset.name, "who": who})
    return bulks[0] if bulks else None


def undo_bulk(config: Curate, bulk: str, who: str) -> int:
    """Give each row of a bulk the verdict that it had before, or none. Returns how many rows changed.

    A row about which somebody has decided since then keeps that verdict.
    """
    with writing(config.database) as connection, transaction(connection):
        values = {"dataset": config.dataset.name, "bulk": bulk, "who": who}
        (count,) = execute(connection, "verdict_restore", values).fetchone() or (0,)
    return int(count)


def _relabelled(config: Curate, row: dict[str, Any], answer: str) -> tuple[str, str]:
    """The record of a row with another answer, and the sample_id of that. row: the result of verdict_record."""
    if not answer.strip():
        raise ValueError("relabel needs the right answer")
    original = json.loads(row["record"])
    columns = config.dataset.columns
    layout = recognise([dict.fromkeys(columns.names) | original], columns.given)
    record = json.dumps(layout.with_answer(original, answer), ensure_ascii=False)
    messages = json.loads(row["messages"])
    messages[-1]["content"] = answer
    turns = orjson.dumps(messages, option=orjson.OPT_SORT_KEYS).decode()
    return record, content_id(turns, row["tools"], row["pictures"] or [])


def precision(config: Curate) -> list[dict[str, Any]]:
    """How often people confirmed the flags of each check."""
    with reading(config.database) as connection:
        return records(connection, "report_precision", {"dataset": config.dataset.name})
