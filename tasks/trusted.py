"""The trusted rows that people made with `oresight trust`, as a JSONL file beside the database.

Their decisions stand in the database. The file is written from them before it is read, so that these rows are ingested
like the rows of any other file, and so that `reference.path` of another configuration can name it.
"""

import json
import os
from pathlib import Path
from typing import Any

import orjson

from oresight.tasks.config import Curate, Dataset
from oresight.tasks.database import reading, records
from oresight.tasks.formats.columns import has_meaning


def trusted_rows(config: Curate) -> Dataset:
    """The section `reference`, or else the rows that people trust, in a file that this writes if there are some."""
    if config.reference:
        return config.reference
    file, rows = Path(f"{config.database}.trusted") / f"{config.dataset.name}.jsonl", list[dict[str, Any]]()
    if Path(config.database).is_file():
        with reading(config.database) as connection:
            rows = records(connection, "trusted_records", {"dataset": config.dataset.name})
    text = b"".join(orjson.dumps(_line(row)) + b"\n" for row in rows)
    if not rows:
        file.unlink(missing_ok=True)
    elif not file.is_file() or file.read_bytes() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.{os.getpid()}")
        unfinished.write_bytes(text)
        unfinished.replace(file)
    folders = {Path(picture).parent for row in rows for picture in row["pictures"] or []}
    root = os.path.commonpath(folders) if folders else None
    columns: dict[str, Any] = {"messages": "messages", "system": False}  # a system prompt is among the messages
    columns |= {"tools": "tools" if any(row["tools"] for row in rows) else False, "image": "images" if root else False}
    return Dataset(name=config.reference_name, path=str(file), columns=columns, root=root)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """A trusted row in the layout `messages`, with who trusts it and since when."""
    messages = json.loads(row["messages"])
    metadata = json.loads(row["metadata"]).items()
    line = {column: value for column, value in metadata if column != "messages" and not has_meaning(column)}
    line |= {"trusted_by": row["who"], "trusted_at": row["decided_at"], "source_row": row["sample_id"]}
    if row["answer"] is not None:
        messages[-1]["content"] = row["answer"]
        line["original_answer"] = row["original_answer"]
    if row["tools"]:
        line["tools"] = json.loads(row["tools"])
    if row["pictures"]:
        line["images"] = row["pictures"]
    return {"messages": messages} | line
