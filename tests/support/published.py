"""Publish a file without a model: the scores are made up."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from oresight.tasks.config import Curate
from oresight.tasks.database import transaction, writing
from oresight.tasks.ingest import ingest
from oresight.tasks.publish import publish
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.split import split
from tests.support.runs import made_up_model


def publish_file(
    path: Path, folder: Path, rows: int | None = None, columns: dict[str, Any] | None = None, **publishing: Any
) -> Path:
    """Ingest a file, keep its first rows (by default all) and publish them. Returns the folder of the version.

    folder: gets the database and the published folder. publishing: settings of the section.
    """
    raw = {"path": str(path), "columns": columns or {}}
    config = Curate.model_validate(
        {
            "database": str(folder / "o.duckdb"),
            "dataset": {"name": "raw", **raw},
            "reference": {"name": "trusted", **raw},
            "splitting": {"name": "chosen", "by": "value", "rows": rows},
            "publishing": {"folder": str(folder / "out"), **publishing},
        }
    )
    with recorded(config, "test") as run:
        ingest(run, "dataset")
        ingest(run, "reference")
        with writing(config.database) as connection, transaction(connection):
            connection.execute(
                "INSERT INTO store.models VALUES ('key', 'tiny@0', 'w', NULL, 't', 'm', 9, 1, '{}', now(), now())"
            )
            connection.execute(
                "INSERT INTO store.scores BY NAME SELECT sample_id, 'key' AS model_key, 'trusted' AS reference,"
                " content_hash AS reference_hash, -source_line AS value, 3 AS answer_tokens, 1 AS prompt_tokens,"
                " false AS truncated, []::VARCHAR[] AS tokens, []::FLOAT[] AS token_values,"
                " []::FLOAT[] AS token_logprobs, now() AS scored_at, 'r' AS run_id"
                " FROM store.rows AS r, store.datasets AS d WHERE r.dataset = 'raw' AND d.dataset = 'trusted'"
            )
        done = split(Run(config, run.run_id, made_up_model()))
        return publish(Run(config), done.version).folder


def publish_rows(rows: Iterable[dict[str, Any]], folder: Path, **publishing: Any) -> Path:
    """Publish rows from JSON lines. Returns the folder of the version."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return publish_file(folder / "rows.jsonl", folder, **publishing)


def default_file(folder: Path) -> str:
    """The file of a published folder that the card names."""
    card = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    ((file,),) = [config["data_files"] for config in card["configs"]]
    return str(file["path"])


def published_lines(folder: Path) -> list[Any]:
    """The rows of train.jsonl."""
    with (folder / "train.jsonl").open(newline="\n") as lines:
        return [json.loads(line) for line in lines]


def png(n: int) -> bytes:
    """A picture, another for each number: its width says which."""
    stream = io.BytesIO()
    Image.new("RGB", (8 + n, 6), (n, 99, 0)).save(stream, "PNG")
    return stream.getvalue()


def qa(n: int, **more: Any) -> dict[str, Any]:
    """A row, another for each number."""
    return {"question": f"q{n}", "answer": f"a{n}", **more}
