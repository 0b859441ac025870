"""Rows without a fresh score -> scores. What is missing is a question to SQL, so resuming after a crash, scoring only
new rows and the first run are the same code. The database is open only to ask and to commit, never while the model
computes.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tasks.config import Curate
from tasks.database import query, reading, transaction, writing
from tasks.progress import log, progress
from tasks.run import note
from tasks.scoring.model import Loaded, Source, find, load
from tasks.scoring.prompt import MASKING, Encoded, Unscorable, encode
from tasks.scoring.reference import Reference, fit
from tasks.scoring.signals import Signals, leave_one_out, logprobs, signals

SCORING_VERSION = 1
"""Raise it when the same row, model and reference would get another number."""
WINDOW = 2048
"""Rows taken from the database at a time, the longest first: what does not fit into memory shows at once."""
COMMIT_S = 10.0
"""Seconds of computing that a crash may cost."""
VOCAB_CHUNK = 4096

Row = dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """What the step did."""

    model_key: str
    model: str
    scored: int
    reused: int
    unscorable: int


@dataclass
class Job:
    """What all shards of a run share."""

    config: Curate
    run_id: str
    key: str
    reference_hash: str
    model: Loaded
    reference: Reference
    trusted: set[str] = field(default_factory=set)
    """sample_ids of the reference: these rows are valued against the others (leave one out)."""


def score(config: Curate, run_id: str) -> Scored:
    """Score every row of the dataset and the reference that has no fresh score. Raises ValueError."""
    source = find(config.model.name, config.model.revision)
    key, name = register(config, source)
    with reading(config.database) as connection:
        known = dict(connection.execute(query("score_datasets")).fetchall())
        for dataset in (config.dataset.name, config.reference.name):
            if dataset not in known:
                raise ValueError(f"{config.database}: holds no {dataset!r}; run `oresight ingest CONFIG.yaml` first")
        names = _names(config, key, known[config.reference.name])
        datasets = {"dataset": config.dataset.name, "reference": config.reference.name}
        (wanted,) = connection.execute(query("score_wanted"), datasets).fetchone() or (0,)
        todo = connection.execute(query("score_todo"), names).to_arrow_table()
        trusted_ids = connection.execute(
            query("score_reference_ids"), {"reference": config.reference.name}
        ).to_arrow_table()
    missing = todo.num_rows
    if missing == 0:
        log().info("score: nothing to do, all %d rows have a fresh score from %s", wanted, name)
        return Scored(key, name, 0, wanted, 0)
    log().info("score: loading %s%s", name, " (a GGUF file is converted once, for a minute)" if source.gguf else "")
    model = load(source, config.model.device, config.model.dtype)
    dtype = str(model.dtype).removeprefix("torch.")
    log().info("score: %d rows with %s on %s in %s", missing, name, model.device.type, dtype)
    trusted = _rows(config, trusted_ids)
    encoded = [row for _, row in _encoded(trusted, model, config.scoring.max_tokens)[0]]
    if not encoded:
        raise ValueError(
            f"reference {config.reference.name!r}: {name} can score none of its rows; see the view rejects"
        )
    reference = fit(
        model,
        encoded,
        batch_tokens=config.scoring.batch_tokens,
        tolerance=config.scoring.rank_tolerance,
        vocab_chunk=VOCAB_CHUNK,
    )
    log().info(
        "score: reference of %d rows, rank %d, residual %.2g", reference.rows, reference.rank, reference.residual
    )
    found = {"model": name, "device": model.device.type, "dtype": dtype}
    note(config.database, run_id, **found, rank=reference.rank, residual=reference.residual)
    job = Job(config, run_id, key, names["reference_hash"], model, reference, {row["sample_id"] for row in trusted})
    scored = unscorable = 0
    with progress(f"score with {name}", missing) as advance:
        for begin in range(0, missing, WINDOW):
            rows = _rows(config, todo.slice(begin, WINDOW))
            encodable, refused = _encoded(rows, model, config.scoring.max_tokens)
            _commit_unscorable(job, refused)
            advance(len(refused))
            unscorable += len(refused)
            for part in _computed(job, encodable):
                _commit_scores(job, part)
                advance(len(part))
                scored += len(part)
    return Scored(key, name, scored, wanted - missing, unscorable)


def register(config: Curate, source: Source) -> tuple[str, str]:
    """The key and the readable name under which this model's scores are kept; known to the database afterwards."""
    settings = {"rank_tolerance": config.scoring.rank_tolerance, "conditional_gain": config.scoring.conditional_gain}
    parts = {
        "weights": source.weights,
        "adapter": None,
        "template": source.template,
        "masking": MASKING,
        "max_tokens": config.scoring.max_tokens,
        "scoring_version": SCORING_VERSION,
        "settings": json.dumps(settings | {"dtype": config.model.dtype}, sort_keys=True),
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    name = f"{source.name}@{key[:8]}"
    with writing(config.database) as connection:
        connection.execute(query("score_register_model"), {**parts, "model_key": key, "model": name})
    return key, name


def _names(config: Curate, key: str, reference_hash: str) -> dict[str, Any]:
    return {
        "dataset": config.dataset.name,
        "reference": config.reference.name,
        "model_key": key,
        "reference_hash": reference_hash,
    }


def _rows(config: Curate, sample_ids: pa.Table) -> list[Row]:
    with reading(config.database) as connection:
        connection.register("wanted", sample_ids)
        rows: list[Row] = connection.execute(query("score_rows")).to_arrow_table().to_pylist()
    return rows


def _encoded(
    rows: list[Row], model: Loaded, max_tokens: int
) -> tuple[list[tuple[str, Encoded]], list[tuple[str, str]]]:
    """Rows as ids, and those that cannot be with the reason; each with its sample_id."""
    good: list[tuple[str, Encoded]] = []
    bad: list[tuple[str, str]] = []
    for row in rows:
        tools = json.loads(row["tools"]) if row["tools"] else None
        try:
            good.append((row["sample_id"], encode(json.loads(row["messages"]), tools, model.tokenizer, max_tokens)))
        except Unscorable as error:
            bad.append((row["sample_id"], f"cannot be scored: {error}"))
    return good, bad


def _computed(job: Job, rows: list[tuple[str, Encoded]]) -> Iterator[list[Row]]:
    """Score rows, in portions of about COMMIT_S seconds."""
    scoring = job.config.scoring
    started, portion = time.monotonic(), list[Row]()
    encoded = [row for _, row in rows]
    for batch in signals(job.model, encoded, job.reference, batch_tokens=scoring.batch_tokens, vocab_chunk=VOCAB_CHUNK):
        gains: list[float] | list[None] = [None] * len(batch)
        if scoring.conditional_gain:
            alone = [encoded[found.row].alone() for found in batch]
            alone_logs = logprobs(job.model, alone, batch_tokens=scoring.batch_tokens, vocab_chunk=VOCAB_CHUNK)
            gains = [-found.nll - by_itself for found, by_itself in zip(batch, alone_logs, strict=True)]
        portion += [_record(job, *rows[found.row], found, gain) for found, gain in zip(batch, gains, strict=True)]
        if time.monotonic() - started > COMMIT_S:
            yield portion
            started, portion = time.monotonic(), []
    if portion:
        yield portion


def _record(job: Job, sample_id: str, row: Encoded, found: Signals, gain: float | None) -> Row:
    value: float | None = found.value
    cosine: float | None = found.value_cosine
    if sample_id in job.trusted:
        value, cosine = leave_one_out(found, job.reference)
    tokens = len(row.answer)
    return {
        "sample_id": sample_id,
        "model_key": job.key,
        "reference": job.config.reference.name,
        "reference_hash": job.reference_hash,
        "value": value,
        "value_per_token": None if value is None else value / tokens,
        "value_cosine": cosine,
        "self_value": found.self_value,
        "nll": found.nll,
        "worst_token": found.worst_token,
        "conditional_gain": gain,
        "answer_tokens": tokens,
        "prompt_tokens": row.start,
        "truncated": row.truncated,
        "tokens": [job.model.tokenizer.decode([token]) for token in row.answer],
        "token_values": found.token_values,
        "token_logprobs": found.token_logprobs,
        "scored_at": datetime.now(UTC),
        "run_id": job.run_id,
    }


def _commit_scores(job: Job, records: list[Row]) -> None:
    with writing(job.config.database) as connection, transaction(connection):
        connection.register("shard", pa.Table.from_pylist(records))
        connection.execute(query("score_insert"))


def _commit_unscorable(job: Job, refused: list[tuple[str, str]]) -> None:
    if not refused:
        return
    log().warning("score: %d rows cannot be scored, for instance: %s (view rejects)", len(refused), refused[0][1])
    columns = {"sample_id": [s for s, _ in refused], "reason": [reason for _, reason in refused]}
    with writing(job.config.database) as connection, transaction(connection):
        connection.register("shard", pa.table(columns))
        connection.execute(query("score_insert_unscorable"), {"model_key": job.key, "run_id": job.run_id})
