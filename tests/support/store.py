"""A database of a test's own, filled row by row."""

import atexit
import json
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from oresight.tasks.check import Checked, check
from oresight.tasks.config import Flagging
from oresight.tasks.database import turn, writing
from oresight.tasks.runs.record import Refused, Run
from tests.support.runs import config_of, made_up_model

RUN = "a" * 32
"""The id of the run whose checks are made."""


@dataclass
class Store:
    """A database that holds dataset `raw` and reference `trusted`, and what it takes to fill it."""

    database: str
    sent: int = field(default=0)

    def execute(self, sql: str, **tables: pa.Table) -> list[tuple[Any, ...]]:
        with writing(self.database) as connection:
            for name, table in tables.items():
                connection.register(name, table)
            return connection.execute(sql).fetchall()

    def rows(self, dataset: str, *rows: dict[str, Any]) -> None:
        """Rows from what matters of them; the rest is made up."""
        made, columns = [], {column: None for row in rows for column in row}
        for row in rows:
            self.sent += 1
            made.append(columns | {"prompt": f"question {self.sent}", "answer": "An answer."} | row)
            made[-1]["sample_id"] = row.get("sample_id", f"{self.sent:032x}")
            turns = [
                {"role": "user", "content": made[-1]["prompt"]},
                {"role": "assistant", "content": made[-1]["answer"]},
            ]
            made[-1]["messages"] = row.get("messages", json.dumps(turns))
            made[-1]["kind"] = "vqa" if row.get("images") else "instruction"
        pictures = [one for row in rows for one in row.get("images") or [] if "spread" in one]
        with writing(self.database) as connection:
            connection.register("made", pa.Table.from_pylist(made))
            connection.execute(
                "INSERT INTO store.rows BY NAME SELECT *, $dataset AS dataset, '{}' AS metadata,"
                " '{}' AS record, 'rows.jsonl' AS source_file, 1 AS source_line FROM made",
                {"dataset": dataset},
            )
            if pictures:
                connection.register("pictures", pa.Table.from_pylist(pictures))
                connection.execute(
                    "INSERT INTO store.pictures BY NAME SELECT path, sha256, spread, $dataset AS dataset FROM pictures",
                    {"dataset": dataset},
                )

    def scores(self, *scores: dict[str, Any]) -> None:
        some = {"value": 0.5, "self_value": 1.0, "nll": 1.0, "reference_hash": "hash of trusted", "truncated": False}
        some |= {column: None for score in scores for column in score if column not in some}
        some |= {"token_values": [0.0], "token_logprobs": [0.0]}
        self.execute(
            "INSERT INTO store.scores BY NAME SELECT *, 'key' AS model_key, 'trusted' AS reference, 1 AS answer_tokens,"
            " 1 AS prompt_tokens, [] AS tokens, now() AS scored_at,"
            " '' AS run_id FROM made",
            made=pa.Table.from_pylist([some | score for score in scores]),
        )

    def suspicions(self, q_values: dict[str, float | None]) -> None:
        """Suspicions of rows; a row without a q-value is unlike all trusted rows."""
        some = {
            "nearest": "trusted0",
            "nearest_cosine": 0.1,
            "suspicion": 1.0,
            "p_value": 0.01,
            "looks_like": "swapped_answer",
            "signals": ["nll"],
            "role": "dataset",
        }
        self.execute(
            "INSERT INTO store.suspicions BY NAME SELECT *, 'raw' AS dataset, 'key' AS model_key,"
            " 'trusted' AS reference, 'hash of trusted' AS reference_hash, '' AS run_id FROM made",
            made=pa.Table.from_pylist(
                [some | {"sample_id": name, "q_value": q, "is_unlike": q is None} for name, q in q_values.items()]
            ),
        )

    def check(self, stage: Any = "score", flagging: Flagging | None = None, **options: Any) -> dict[str, Checked]:
        config = config_of(self.database, "raw", **({"flagging": flagging} if flagging else {}))
        return {one.name: one for one in check(Run(config, RUN, made_up_model()), stage, **options)}

    def outcome(self, stage: str) -> dict[str, tuple[str, int]]:
        """Severity and number of bad rows of each check, as recorded: a refusal does not keep them from us."""
        with suppress(Refused):
            self.check(stage)
        return {
            name: (severity, n)
            for name, severity, n in self.execute("SELECT check_name, severity, rows_failed FROM checks")
        }

    def flagged(self, name: str) -> list[str]:
        return [row for (row,) in self.execute(f"SELECT sample_id FROM flags WHERE check_name = '{name}' ORDER BY ALL")]


def new_store(database: str) -> Store:
    """A store whose database has the two datasets and a model, and no rows."""
    shutil.copyfile(_made_store(), database)
    return Store(database)


@cache
def _made_store() -> Path:
    """The database of a new store. It is made once, because copying it takes a tenth of the time."""
    database = Path(tempfile.mkdtemp(prefix="oresight-store-"), "o.duckdb")
    atexit.register(shutil.rmtree, database.parent, True)  # whatever the errors
    with turn(str(database)), writing(str(database)) as connection:
        for name in ("raw", "trusted"):
            connection.execute(
                "INSERT INTO store.datasets SELECT $name, 'dataset', '', '', 'instruction', 0, 0, 0,"
                " 'hash of ' || $name, '[]', '', now(), ''",
                {"name": name},
            )
        connection.execute(
            "INSERT INTO store.models SELECT 'key', 'a@key', '', NULL, '', '', 64, 1, '{}', now(), now()"
        )
    return database
