"""Rows of the database -> token ids in the model's prompt template. A row that the model cannot read gets a reason."""

from collections.abc import Sequence
from typing import Any, Protocol

import orjson
import pyarrow as pa

from oresight.tasks.config import Curate
from oresight.tasks.database import execute, reading
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.picture import Picture
from oresight.tasks.scoring.prompt import NO_PICTURES, Encoded, Unscorable, encode, encode_texts
from oresight.tasks.scoring.source import TOY, Source
from oresight.tasks.scoring.vision import Vision

Row = dict[str, Any]
BATCH_ROWS = 64
"""Rows whose texts the tokenizer gets in one call."""
EncodedRows = list[tuple[str, Encoded]]
"""Rows as token ids, each with its sample_id."""
Refusals = Sequence[tuple[str, str]]
"""A sample_id and the reason why the model cannot score that row."""


class Reader(Protocol):
    """The parts of a model that read a row. A loaded model and a model for finetuning both have them."""

    tokenizer: Any
    vision: Vision | None
    positions: int | None
    """Most tokens that the model can read; None if there is no limit."""


def read_rows(database: str, sample_ids: pa.Table) -> list[Row]:
    """The fields that a model reads, of rows and canaries. sample_ids: a table with the column sample_id."""
    with reading(database) as connection:
        connection.register("rows_to_read", sample_ids)
        rows: list[Row] = execute(connection, "score_rows").to_arrow_table().to_pylist()
    return rows


def encode_rows(rows: Sequence[Row], model: Reader, max_tokens: int) -> tuple[EncodedRows, Refusals]:
    """Encode rows; returns the encoded rows and the refusals."""
    limit = min(max_tokens, model.positions or max_tokens)
    encoded: list[Encoded | Unscorable] = []
    if model.vision is None:
        for begin in range(0, len(rows), BATCH_ROWS):
            encoded += _encode_texts(rows[begin : begin + BATCH_ROWS], model, limit)
    else:
        encoded += (_encode_with_pictures(row, model, limit) for row in rows)
    outcomes = [(row["sample_id"], outcome) for row, outcome in zip(rows, encoded, strict=True)]
    return (
        [(sample_id, row) for sample_id, row in outcomes if isinstance(row, Encoded)],
        [(sample_id, f"cannot be scored: {error}") for sample_id, error in outcomes if isinstance(error, Unscorable)],
    )


def _encode_texts(rows: Sequence[Row], model: Reader, limit: int) -> list[Encoded | Unscorable]:
    """Encode rows for a model that reads no pictures."""
    texts = iter(encode_texts([_conversation(row) for row in rows if not row["images"]], model.tokenizer, limit))
    return [Unscorable(NO_PICTURES) if row["images"] else next(texts) for row in rows]


def _conversation(row: Row) -> tuple[Any, Any]:
    """The turns of a row, and its tools."""
    return orjson.loads(row["messages"]), orjson.loads(row["tools"]) if row["tools"] else None


def _encode_with_pictures(row: Row, model: Reader, limit: int) -> Encoded | Unscorable:
    pictures = [
        Picture(image["path"], image["sha256"], image["width"], image["height"], row["is_blank"])
        for image in row["images"] or []
    ]
    try:
        return encode(*_conversation(row), model.tokenizer, limit, model.vision, pictures)
    except Unscorable as refusal:
        return refusal


def encode_reference(config: Curate, sample_ids: pa.Table, model: Loaded) -> tuple[EncodedRows, Refusals]:
    """Encode trusted rows like `encode_rows`. Raises ValueError if there are some and the model can read none."""
    encoded, refusals = encode_rows(read_rows(config.database, sample_ids), model, config.scoring.max_tokens)
    if sample_ids.num_rows and not encoded:
        raise ValueError(
            f"reference {config.reference_name!r}: the model can score none of its rows; the view rejects says why"
        )
    return encoded, refusals


def require_vision(model: Loaded, source: Source, dataset: str, kind: str) -> None:
    """Raises ValueError if the dataset has pictures and the model reads text only."""
    if model.vision is None and kind == "vqa":
        raise ValueError(
            f"model.name: {source.name} reads text only, and {dataset!r} has pictures; name a"
            f" vision-language model, such as HuggingFaceTB/SmolVLM-256M-Instruct, or {TOY} to try this out"
        )
