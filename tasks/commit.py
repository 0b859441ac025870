"""What scoring writes: rows of scores with their vectors, the fit behind them, refusals. Each in one transaction."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tasks.config import Curate
from tasks.database import query, transaction, writing
from tasks.progress import log
from tasks.run import note
from tasks.scoring.engine import Engine
from tasks.scoring.loaded import Loaded
from tasks.scoring.prompt import Encoded
from tasks.scoring.signals import Signals

Row = dict[str, Any]


@dataclass
class Job:
    """What all shards of a run share."""

    config: Curate
    run_id: str
    key: str
    reference_hash: str
    model: Loaded
    """For its tokenizer."""
    advance: Callable[[int], None]
    canaries: frozenset[str] = frozenset()
    """They are scored as rows are and counted apart."""
    scored: int = 0
    unscorable: int = 0


def record(job: Job, sample_id: str, row: Encoded, found: Signals) -> Row:
    """A row of the table of scores, with what the index keeps."""
    return {
        "sample_id": sample_id,
        "model_key": job.key,
        "reference": job.config.reference.name,
        "reference_hash": job.reference_hash,
        "value": _number(found.value),
        "value_per_token": _number(found.value_per_token),
        "value_cosine": _number(found.value_cosine),
        "self_value": found.self_value,
        "nll": found.nll,
        "worst_token": found.worst_token,
        "conditional_gain": found.conditional_gain,
        "image_gain": found.image_gain,
        "local_value": _number(found.local_value),
        "answer_tokens": len(row.answer),
        "prompt_tokens": row.start,
        "truncated": row.truncated,
        "tokens": [job.model.tokenizer.decode([token]) for token in row.answer],
        "likeliest": None if found.likeliest is None else [job.model.tokenizer.decode([t]) for t in found.likeliest],
        "token_values": found.token_values,
        "token_logprobs": found.token_logprobs,
        "scored_at": datetime.now(UTC),
        "run_id": job.run_id,
        "vector": found.vector.tolist(),
        "state": found.state.tolist(),
    }


def _number(x: float | None) -> float | None:
    """NaN, which stands for a value that a lone reference row has not, is null in the database."""
    return None if x is None or math.isnan(x) else x


def commit_fit(job: Job, engine: Engine, *, new_basis: bool) -> None:
    """Keep what was fitted and how good it is, in the run's notes too."""
    kept = engine.gauge.reference
    found = {
        "rank": kept.rank,
        "tokens": kept.tokens,
        "residual": kept.residual,
        "deviation": kept.deviation,
        "index_correlation": _number(engine.correlation),
        "index_pairs": engine.pairs,
        "dtype": str(job.model.dtype).removeprefix("torch."),
        "device": job.model.device.type,
    }
    names = {"run_id": job.run_id, "model_key": job.key, "reference": job.config.reference.name}
    with writing(job.config.database) as connection, transaction(connection):
        if new_basis:
            values = {"model_key": job.key, "basis": engine.gauge.basis.stored(), "run_id": job.run_id}
            connection.execute(query("score_insert_basis"), values)
        rows = {"reference_hash": job.reference_hash, "reference_rows": kept.rows}
        connection.execute(query("score_insert_fit"), names | rows | found)
    note(job.config.database, job.run_id, **found)


def commit_scores(job: Job, records: list[Row]) -> None:
    """A portion of scores, and their vectors where they are new."""
    if not records:
        return
    with writing(job.config.database) as connection, transaction(connection):
        connection.register("shard", pa.Table.from_pylist(records))
        connection.execute(query("score_insert"))
        connection.execute(query("score_insert_vectors"))
    job.scored += sum(row["sample_id"] not in job.canaries for row in records)
    job.advance(len(records))


def commit_unscorable(job: Job, refused: list[tuple[str, str]]) -> None:
    """Rows that the model cannot score, as (sample_id, reason)."""
    if not refused:
        return
    log().warning("score: %d rows cannot be scored, for instance: %s (view rejects)", len(refused), refused[0][1])
    columns = {"sample_id": [s for s, _ in refused], "reason": [reason for _, reason in refused]}
    with writing(job.config.database) as connection, transaction(connection):
        connection.register("shard", pa.table(columns))
        connection.execute(query("score_insert_unscorable"), {"model_key": job.key, "run_id": job.run_id})
    job.unscorable += sum(sample_id not in job.canaries for sample_id, _ in refused)
    job.advance(len(refused))
