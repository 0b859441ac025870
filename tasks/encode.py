"""Rows of the database -> ids, as the model reads them; what it cannot read, with the reason."""

import json

import pyarrow as pa

from tasks.commit import Row
from tasks.config import Curate
from tasks.database import query, reading
from tasks.scoring.loaded import Loaded
from tasks.scoring.picture import Picture
from tasks.scoring.prompt import Encoded, Unscorable, encode
from tasks.scoring.source import TOY, Source
from tasks.scoring.trainable import Trainable

Named = list[tuple[str, Encoded]]
Refusals = list[tuple[str, str]]


def rows_of(database: str, sample_ids: pa.Table) -> list[Row]:
    """What a model reads of these rows and canaries."""
    with reading(database) as connection:
        connection.register("wanted", sample_ids)
        rows: list[Row] = connection.execute(query("score_rows")).to_arrow_table().to_pylist()
    return rows


def encoded(rows: list[Row], model: Loaded | Trainable, max_tokens: int) -> tuple[Named, Refusals]:
    """Rows as ids, and those that cannot be with the reason; each with its sample_id."""
    good: Named = []
    bad: Refusals = []
    limit = min(max_tokens, model.positions or max_tokens)
    for row in rows:
        tools = json.loads(row["tools"]) if row["tools"] else None
        try:
            pictures = [
                Picture(one["path"], one["sha256"], one["width"], one["height"], row["is_blank"])
                for one in row["images"] or []
            ]
            messages = json.loads(row["messages"])
            good.append((row["sample_id"], encode(messages, tools, model.tokenizer, limit, model.vision, pictures)))
        except Unscorable as error:
            bad.append((row["sample_id"], f"cannot be scored: {error}"))
    return good, bad


def encoded_reference(config: Curate, sample_ids: pa.Table, model: Loaded) -> tuple[Named, Refusals]:
    """The same of trusted rows. Raises ValueError if none is left."""
    good, bad = encoded(rows_of(config.database, sample_ids), model, config.scoring.max_tokens)
    if not good:
        raise ValueError(
            f"reference {config.reference.name!r}: the model can score none of its rows; see the view rejects"
        )
    return good, bad


def must_see(model: Loaded, source: Source, dataset: str, kind: str) -> None:
    """Raises ValueError if the dataset has pictures and the model reads texts only."""
    if model.vision is None and kind == "vqa":
        raise ValueError(
            f"model.name: {source.name} reads texts only, and {dataset!r} has pictures; name a"
            f" vision-language model, such as HuggingFaceTB/SmolVLM-256M-Instruct, or {TOY} to try this out"
        )
