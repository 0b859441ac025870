"""The record of a run: started before the first step, finished after the last, whatever happened between.

A process that was killed leaves its run `running`; whoever has the next turn knows that it is not, and says so.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, NamedTuple

from tasks.config import Curate
from tasks.database import Connection, query, reading, turn, writing
from tasks.fault import in_a_sentence
from tasks.journal import journal

VERSION = version("oresight")


class Refused(RuntimeError):
    """A critical check, the publish gate or a person said no: nothing was published."""


class Waiting(Refused):
    """A person has not said yes yet. `numbers` is what there is to decide by."""

    def __init__(self, message: str, split: str, version: int, numbers: dict[str, float | int | None]) -> None:
        super().__init__(message)
        self.split, self.version, self.numbers = split, version, numbers


@contextmanager
def recorded(config: Curate, flow: str, prefect_flow_run_id: str | None = None) -> Iterator[str]:
    """Have the database's turn and a row in `runs`; yields the run's id. Raises what the steps raise."""
    run_id = uuid.uuid4().hex
    with (
        in_a_sentence(database=config.database, publishing__folder=config.publishing.folder),
        journal(config.database, config.dataset.name, flow, run_id),
        turn(config.database),
    ):
        with writing(config.database) as connection:
            connection.execute(query("interrupt_runs"))
            values = {"run_id": run_id, "flow": flow, "config": config.model_dump_json(), "version": VERSION}
            connection.execute(query("start_run"), values | {"prefect_flow_run_id": prefect_flow_run_id})
        state = "interrupted"  # what a cancelled run is left as: that raises no Exception
        try:
            yield run_id
            state = "completed"
        except Waiting:
            state = "waiting"
            raise
        except Refused:
            state = "refused"
            raise
        except Exception:
            state = "failed"
            raise
        finally:
            with writing(config.database) as connection:
                connection.execute(query("finish_run"), {"run_id": run_id, "state": state})


class Stored(NamedTuple):
    """What is known of a dataset that was ingested."""

    content_hash: str
    kind: str


def stored(connection: Connection, database: str, *datasets: str) -> dict[str, Stored]:
    """Of these datasets, by name. Raises ValueError, naming the first that is not there and the cure."""
    known = {name: Stored(*rest) for name, *rest in connection.execute(query("stored_datasets")).fetchall()}
    for name in datasets:
        if name not in known:
            raise ValueError(f"{database}: holds no {name!r}; run `oresight ingest CONFIG.yaml` first")
    return known


def note(database: str, run_id: str, **found: Any) -> None:
    """Keep what a step found out with its run: device, dtype, rank ..."""
    with writing(database) as connection:
        connection.execute(query("note_run"), {"run_id": run_id, "found": json.dumps(found)})


def summary(database: str, question: str, dataset: str) -> int:
    """One number about a dataset, from sql/queries/QUESTION.sql."""
    with reading(database) as connection:
        (count,) = connection.execute(query(question), {"dataset": dataset}).fetchone() or (0,)
    return int(count)
