"""Writes the results of scoring: scores with their vectors, the fit behind them, and refusals.

Each function commits one transaction.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from oresight.tasks.database import execute, transaction, writing
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import Scope
from oresight.tasks.scoring.engine import Engine
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.signals import Signals
from oresight.tasks.scoring.tokens import token_texts
from oresight.tasks.workload.encode import Refusals, Row


@dataclass
class Job:
    """The state that all shards of a run share."""

    run: Run
    scope: Scope
    model: Loaded
    """Its tokenizer turns tokens into text."""
    advance: Callable[[int], None]
    canaries: frozenset[str] = frozenset()
    """sample_ids of canaries: they are scored like rows and do not count as scored rows."""
    scored: int = 0
    unscorable: int = 0

    def record(self, sample_id: str, row: Encoded, signals: Signals) -> Row:
        """A row of the table of scores, with its index vector and state."""
        texts, alternatives = token_texts(self.model.tokenizer, row.answer, signals.likeliest)
        return {
            "sample_id": sample_id,
            "model_key": self.scope.model_key,
            "reference": self.scope.reference,
            "reference_hash": self.scope.reference_hash,
            "value": number_or_null(signals.value),
            "value_per_token": number_or_null(signals.value_per_token),
            "value_cosine": number_or_null(signals.value_cosine),
            "self_value": signals.self_value,
            "nll": signals.nll,
            "worst_token": signals.worst_token,
            "conditional_gain": signals.conditional_gain,
            "image_gain": signals.image_gain,
            "local_value": number_or_null(signals.local_value),
            "answer_tokens": len(row.answer),
            "prompt_tokens": row.start,
            "truncated": row.truncated,
            "tokens": texts,
            "likeliest": None if signals.likeliest is None else alternatives,
            "token_values": signals.token_values,
            "token_logprobs": signals.token_logprobs,
            "scored_at": datetime.now(UTC),
            "run_id": self.run.run_id,
            "vector": signals.vector.tolist(),
            "state": signals.state.tolist(),
            "text_state": signals.text_state.tolist(),
        }


def number_or_null(x: float | None) -> float | None:
    """NaN (undefined for a single-row reference) is stored as NULL."""
    return None if x is None or math.isnan(x) else x


def commit_fit(job: Job, engine: Engine, *, new_basis: bool) -> None:
    """Write the fit and its quality to the database and to the run's notes. new_basis: also write the index's basis."""
    reference = engine.gauge.reference
    facts = {
        "rank": reference.rank,
        "tokens": reference.tokens,
        "residual": reference.residual,
        "deviation": reference.deviation,
        "index_correlation": number_or_null(engine.correlation),
        "index_pairs": engine.pairs,
        "dtype": str(job.model.dtype).removeprefix("torch."),
        "device": job.model.device.type,
    }
    values = job.scope.parameters | facts | {"run_id": job.run.run_id, "reference_rows": reference.rows}
    with writing(job.run.config.database) as connection, transaction(connection):
        if new_basis:
            execute(connection, "score_insert_basis", values | {"basis": engine.gauge.basis.stored()})
        execute(connection, "score_insert_fit", values)
    job.run.note(**facts)


def commit_scores(job: Job, records: list[Row]) -> None:
    """Write scores, and the index vectors of those rows that have none yet."""
    if not records:
        return
    with writing(job.run.config.database) as connection, transaction(connection):
        connection.register("new_scores", pa.Table.from_pylist(records))
        execute(connection, "score_insert")
        execute(connection, "score_insert_vectors")
    job.scored += sum(row["sample_id"] not in job.canaries for row in records)
    job.advance(len(records))


def commit_unscorable(job: Job, refusals: Refusals) -> None:
    """Write the rows that the model cannot score, with the reasons."""
    if not refusals:
        return
    log().warning("score: %d rows cannot be scored, for instance: %s (view rejects)", len(refusals), refusals[0][1])
    columns = {
        "sample_id": [sample_id for sample_id, _ in refusals],
        "reason": [reason for _, reason in refusals],
    }
    with writing(job.run.config.database) as connection, transaction(connection):
        connection.register("new_refusals", pa.table(columns))
        execute(connection, "score_insert_unscorable", job.scope.parameters | {"run_id": job.run.run_id})
    job.unscorable += sum(sample_id not in job.canaries for sample_id, _ in refusals)
    job.advance(len(refusals))
