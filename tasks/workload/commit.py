"""Writes the results of scoring: scores with their vectors, the fit behind them, and refusals.

Each public function commits one transaction.
"""

import math
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from oresight.tasks.database import Connection, execute, transaction, writing
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Run
from oresight.tasks.scope import Scope
from oresight.tasks.scoring.engine import Engine
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.prompt import Encoded
from oresight.tasks.scoring.signals import Signals
from oresight.tasks.scoring.tokens import token_texts
from oresight.tasks.workload.encode import EncodedRows, Refusals, Row

NO_TOKENS: Row = {"tokens": [], "likeliest": None, "token_values": []}
"""Of a row whose tokens are not kept. The detector needs the log-probabilities of its first and its last token."""


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

    def records(
        self, rows: EncodedRows, scored: Iterable[Signals], missing: Set[str], with_vector: Set[str]
    ) -> list[Row]:
        """Rows of the table of scores, with their index vectors and states.

        rows: the rows that the signals say the position in. missing: sample_ids of those that lack a score.
        with_vector: sample_ids of those whose vector is stored already.
        """
        placed = ((*rows[signals.row], signals) for signals in scored)
        return [self._record(*row, has_vector=row[0] in with_vector) for row in placed if row[0] in missing]

    def _record(self, sample_id: str, row: Encoded, signals: Signals, *, has_vector: bool) -> Row:
        return self._tokens(row, signals) | {
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
            "scored_at": datetime.now(UTC),
            "run_id": self.run.run_id,
            "vector": signals.vector.tolist(),
            "state": signals.state.tolist(),
            "text_state": signals.text_state.tolist(),
            "has_vector": has_vector,
        }

    def _tokens(self, row: Encoded, signals: Signals) -> Row:
        """The columns of the tokens, as far as `scoring.token_values` keeps them."""
        kept = self.run.config.scoring.token_values
        if kept == "none" or (kept == "short" and signals.likeliest is None):
            return NO_TOKENS | {"token_logprobs": [signals.token_logprobs[0], signals.token_logprobs[-1]]}
        texts, alternatives = token_texts(self.model.tokenizer, row.answer, signals.likeliest)
        return {
            "tokens": texts,
            "likeliest": None if signals.likeliest is None else alternatives,
            "token_values": signals.token_values,
            "token_logprobs": signals.token_logprobs,
        }

    def count(self, records: list[Row], refusals: Refusals) -> None:
        """Count rows that were written, and show the progress."""
        self.scored += sum(row["sample_id"] not in self.canaries for row in records)
        self.unscorable += sum(sample_id not in self.canaries for sample_id, _ in refusals)
        self.advance(len(records) + len(refusals))


def number_or_null(x: float | None) -> float | None:
    """NaN (undefined for a single-row reference) is stored as NULL."""
    return None if x is None or math.isnan(x) else x


def commit_fit(job: Job, engine: Engine) -> None:
    """Write the fit that a run uses, with its quality, to the database and to the run's notes."""
    with writing(job.run.config.database) as connection, transaction(connection):
        facts = _insert_fit(connection, job, engine)
    job.run.note(**facts)


def commit_opening(job: Job, engine: Engine, records: list[Row], refusals: Refusals, *, new_basis: bool) -> None:
    """Write a new fit, as `commit_fit` does, with the rows that were scored for it and those that could not be.

    A stored fit thus means that the trusted rows are scored. new_basis: also write the index's basis.
    """
    values = job.scope.parameters | {"run_id": job.run.run_id}
    with writing(job.run.config.database) as connection, transaction(connection):
        facts = _insert_fit(connection, job, engine)
        if new_basis:
            execute(connection, "score_insert_basis", values | {"basis": engine.fitted.basis.stored()})
        execute(connection, "score_delete_fitted", job.scope.parameters)
        execute(connection, "score_insert_fitted", values | {"content": engine.fitted.stored()})
        _insert_scores(connection, records)
        _insert_refusals(connection, job, refusals)
    job.run.note(**facts)
    job.count(records, refusals)


def _insert_fit(connection: Connection, job: Job, engine: Engine) -> dict[str, Any]:
    reference, index = engine.fitted.reference, engine.fitted.index
    facts = {
        "rank": reference.rank,
        "tokens": reference.tokens,
        "residual": reference.residual,
        "deviation": reference.deviation,
        "index_correlation": number_or_null(index.correlation),
        "index_pairs": index.pairs,
        "dtype": job.model.dtype_name,
        "device": job.model.device.type,
    }
    values = job.scope.parameters | facts | {"run_id": job.run.run_id, "reference_rows": reference.rows}
    execute(connection, "score_insert_fit", values)
    return facts


def commit_scores(job: Job, records: list[Row], refusals: Refusals = ()) -> None:
    """Write scores, with the index vectors of those rows that have none yet, and refusals."""
    if records or refusals:
        with writing(job.run.config.database) as connection, transaction(connection):
            _insert_scores(connection, records)
            _insert_refusals(connection, job, refusals)
        job.count(records, refusals)


def _insert_scores(connection: Connection, records: list[Row]) -> None:
    if records:
        connection.register("new_scores", pa.Table.from_pylist(records))
        execute(connection, "score_insert")
        execute(connection, "score_insert_vectors")


def _insert_refusals(connection: Connection, job: Job, refusals: Refusals) -> None:
    if refusals:
        log().warning("score: %d rows cannot be scored, for instance: %s (view rejects)", len(refusals), refusals[0][1])
        sample_ids, reasons = map(list, zip(*refusals, strict=True))
        connection.register("new_refusals", pa.table({"sample_id": sample_ids, "reason": reasons}))
        execute(connection, "score_insert_unscorable", job.scope.parameters | {"run_id": job.run.run_id})
