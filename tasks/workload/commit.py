"""Writes the results of scoring: scores with their vectors, the fit behind them, and refusals.

Each public function commits one transaction.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

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
from oresight.tasks.workload.shards import Shard

SCORES = pa.schema(
    {
        "sample_id": pa.string(),
        "model_key": pa.string(),
        "reference": pa.string(),
        "reference_hash": pa.string(),
        **{name: pa.float64() for name in ("value", "value_per_token", "value_cosine", "self_value", "nll")},
        **{name: pa.float64() for name in ("worst_token", "conditional_gain", "image_gain", "local_value")},
        "answer_tokens": pa.int64(),
        "prompt_tokens": pa.int64(),
        "truncated": pa.bool_(),
        **{name: pa.list_(pa.string()) for name in ("tokens", "likeliest")},
        **{name: pa.list_(pa.float64()) for name in ("token_values", "token_logprobs")},
        "scored_at": pa.timestamp("us", "UTC"),
        "run_id": pa.string(),
        **{name: pa.list_(pa.float64()) for name in ("vector", "state", "text_state")},
        "has_vector": pa.bool_(),
    }
)
"""A row of the table of scores, with its index vector and states, and whether these are stored already."""
NO_TOKENS: Row = {"tokens": [], "likeliest": None, "token_values": []}
"""Of a row whose tokens are not kept. The detector needs the log-probabilities of its first and its last token."""


@dataclass(kw_only=True)
class Job:
    """What results are committed for, and how many were."""

    run: Run
    scope: Scope
    advance: Callable[[float, float], None]
    """Shows the progress: rows, and their characters."""
    canaries: frozenset[str] = frozenset()
    """sample_ids of canaries: they are scored like rows and do not count as scored rows."""
    scored: int = 0
    unscorable: int = 0

    def count(self, sample_ids: list[str], refusals: Refusals) -> None:
        """Count rows that were written."""
        self.scored += sum(sample_id not in self.canaries for sample_id in sample_ids)
        self.unscorable += sum(sample_id not in self.canaries for sample_id, _ in refusals)

    def show(self, shard: Shard, sample_ids: Collection[str]) -> None:
        """Show the progress: these rows of a shard are done."""
        self.advance(len(sample_ids), sum(shard.lengths[sample_id] for sample_id in sample_ids))


@dataclass(kw_only=True)
class ScoringJob(Job):
    """A job that turns a model's signals into records."""

    model: Loaded
    """Its tokenizer turns tokens into text."""

    def score(self, engine: Engine, shard: Shard, rows: EncodedRows) -> Iterator[list[Row]]:
        """The records of a shard's rows that lack a score, batch by batch. Batches are made of all of its rows."""
        only = {position for position, (sample_id, _) in enumerate(rows) if sample_id in shard.missing}
        for batch in engine.score([row for _, row in rows], only):
            records = self.records(rows, batch, shard.missing, shard.with_vector)
            self.show(shard, [record["sample_id"] for record in records])
            yield records

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
            "vector": signals.vector.double().numpy(),
            "state": signals.state.double().numpy(),
            "text_state": signals.text_state.double().numpy(),
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
        _insert_scores(connection, score_table(records))
        _insert_refusals(connection, job, refusals)
    job.run.note(**facts)
    job.count([record["sample_id"] for record in records], refusals)


def _insert_fit(connection: Connection, job: Job, engine: Engine) -> dict[str, Any]:
    reference, index = engine.fitted.reference, engine.fitted.index
    facts = {
        "rank": reference.rank,
        "tokens": reference.tokens,
        "residual": reference.residual,
        "deviation": reference.deviation,
        "index_correlation": number_or_null(index.correlation),
        "index_pairs": index.pairs,
        "dtype": engine.model.dtype_name,
        "device": engine.model.device_name,
    }
    values = job.scope.parameters | facts | {"run_id": job.run.run_id, "reference_rows": reference.rows}
    execute(connection, "score_insert_fit", values)
    return facts


def commit_scores(job: Job, records: list[Row], refusals: Refusals = ()) -> None:
    """Write scores, with the index vectors of those rows that have none yet, and refusals."""
    _commit(job, score_table(records), refusals)


def commit_shard(job: Job, shard: Shard, scores: pa.Table, refusals: Refusals) -> None:
    """Write the results of a shard that another process scored, as far as the shard's rows still lack them.

    scores: a table with the columns SCORES. Which vectors are stored is read from the shard, because another run may
    have stored some since the scores were made.
    """
    scores = scores.filter(pc.is_in(scores["sample_id"], value_set=pa.array(shard.missing, pa.string())))
    has_vector = pc.is_in(scores["sample_id"], value_set=pa.array(shard.with_vector, pa.string()))
    scores = scores.set_column(scores.schema.get_field_index("has_vector"), "has_vector", has_vector)
    _commit(job, scores, [refusal for refusal in refusals if refusal[0] in shard.missing])
    job.show(shard, shard.missing)


def _commit(job: Job, scores: pa.Table, refusals: Refusals) -> None:
    if scores.num_rows or refusals:
        with writing(job.run.config.database) as connection, transaction(connection):
            _insert_scores(connection, scores)
            _insert_refusals(connection, job, refusals)
        job.count(scores["sample_id"].to_pylist(), refusals)


def score_table(records: list[Row]) -> pa.Table:
    """Records as a table with the columns SCORES."""
    assert all(record.keys() == set(SCORES.names) for record in records[:1])
    return pa.Table.from_pylist(records, schema=SCORES)


def _insert_scores(connection: Connection, scores: pa.Table) -> None:
    if scores.num_rows:
        connection.register("new_scores", scores)
        execute(connection, "score_insert")
        execute(connection, "score_insert_vectors")


def _insert_refusals(connection: Connection, job: Job, refusals: Refusals) -> None:
    if refusals:
        log().warning("score: %d rows cannot be scored, for instance: %s (view rejects)", len(refusals), refusals[0][1])
        sample_ids, reasons = map(list, zip(*refusals, strict=True))
        connection.register("new_refusals", pa.table({"sample_id": sample_ids, "reason": reasons}))
        execute(connection, "score_insert_unscorable", job.scope.parameters | {"run_id": job.run.run_id})
