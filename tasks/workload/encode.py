"""Rows of the database -> token ids, as the model reads them. A row that the model cannot read gets a reason."""

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
"""Rows as ids, each with its sample_id."""
Refusals = list[tuple[str, str]]
"""A sample_id and the reason why the model cannot score that row."""


class Reader(Protocol):
    """What a model reads rows with: a loaded one and one to finetune both have it."""

    tokenizer: Any
    vision: Vision | None
    positions: int | None


def read_rows(database: str, sample_ids: pa.Table) -> list[Row]:
    """What a model reads of these rows and canaries. sample_ids: a table with that one column."""
    with reading(database) as connection:
        connection.register("rows_to_read", sample_ids)
        rows: list[Row] = execute(connection, "score_rows").to_arrow_table().to_pylist()
    return rows


def encode_rows(rows: Sequence[Row], model: Reader, max_tokens: int) -> tuple[EncodedRows, Refusals]:
    """Rows as ids, and the refusals of those that have none."""
    encoded: EncodedRows = []
    refusals: Refusals = []
    limit = min(max_tokens, model.positions or max_tokens)
    for row in rows:
        tools = json.loads(row["tools"]) if row["tools"] else None
        try:
            pictures = [
                Picture(image["path"], image["sha256"], image["width"], image["height"], row["is_blank"])
                for image in row["images"] or []
            ]
            messages = json.loads(row["messages"])
            ids = encode(messages, tools, model.tokenizer, limit, model.vision, pictures)
        except Unscorable as error:
            refusals.append((row["sample_id"], f"cannot be scored: {error}"))
        else:
            encoded.append((row["sample_id"], ids))
    return encoded, refusals


def encode_reference(config: Curate, sample_ids: pa.Table, model: Loaded) -> tuple[EncodedRows, Refusals]:
    """The same for trusted rows. Raises ValueError if the model can read none of them."""
    encoded, refusals = encode_rows(read_rows(config.database, sample_ids), model, config.scoring.max_tokens)
    if not encoded:
        raise ValueError(
            f"reference {config.reference.name!r}: the model can score none of its rows; see the view rejects"
        )
    return encoded, refusals


def require_vision(model: Loaded, source: Source, dataset: str, kind: str) -> None:
    """Raises ValueError if the dataset has pictures and the model reads text only."""
    if model.vision is None and kind == "vqa":
        raise ValueError(
            f"model.name: {source.name} reads text only, and {dataset!r} has pictures; name a"
            f" vision-language model, such as HuggingFaceTB/SmolVLM-256M-Instruct, or {TOY} to try this out"
        )
