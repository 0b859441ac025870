"""Rows of the database -> token ids in the model's prompt template. A row that the model cannot read gets a reason."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from oresight.tasks.config import Curate
from oresight.tasks.database import execute, reading
from oresight.tasks.scoring.loaded import Loaded
from oresight.tasks.scoring.picture import Picture
from oresight.tasks.scoring.prompt import Encoded, Unscorable, encode
from oresight.tasks.scoring.source import TOY, Source
from oresight.tasks.scoring.vision import Vision

Row = dict[str, Any]
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
    encoded: EncodedRows = []
    refusals: list[tuple[str, str]] = []
    limit = min(max_tokens, model.positions or max_tokens)
    for row in rows:
        tools = json.loads(row["tools"]) if row["tools"] else None
        try:
            pictures = [
                Picture(image["path"], image["sha256"], image["width"], image["height"], row["is_blank"])
                for image in row["images"] or []
            ]
            messages = json.loads(row["messages"])
            ids = encode(messages, tools, model.tokenizer, max_tokens=limit, vision=model.vision, pictures=pictures)
        except Unscorable as error:
            refusals.append((row["sample_id"], f"cannot be scored: {error}"))
        else:
            encoded.append((row["sample_id"], ids))
    return encoded, refusals


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
