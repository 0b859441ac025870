"""The record of a run. It begins before the first step and ends after the last, whatever happens in between.

A killed process leaves its run in the state `running`. The next run on the database marks it as interrupted.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from typing import Any

from oresight.tasks.config import Curate
from oresight.tasks.database import Connection, execute, limit_memory, reading, turn, writing
from oresight.tasks.runs.faults import explain_faults
from oresight.tasks.runs.journal import journal
from oresight.tasks.scope import NO_ROWS, ModelIdentity, Scope, identify, read_scope, stored_datasets

VERSION = version("oresight")


class Refused(RuntimeError):
    """A critical check, the publish gate or a person refused. Nothing was published."""


class Waiting(Refused):
    """A version waits for a person's approval. `numbers` are the figures on which the person decides."""

    def __init__(self, message: str, split: str, version: int, numbers: dict[str, float | int | None]) -> None:
        super().__init__(message)
        self.split, self.version, self.numbers = split, version, numbers


class Run:
    """The argument of every step: the configuration, and the id under which the step records its work."""

    def __init__(self, config: Curate, run_id: str = "", model: ModelIdentity | None = None) -> None:
        """run_id: empty for a step that only reads. model: by default the configured model, identified on first use."""
        self.config, self.run_id = config, run_id
        self.units: list[str] = []
        """Keys of the groups of evaluation results that this run computed or read."""
        if model is not None:
            self.model = model

    @cached_property
    def model(self) -> ModelIdentity:
        """The configured model. Its files are hashed once per run. Raises UnusableModel."""
        return identify(self.config)

    def scope(self, connection: Connection) -> Scope:
        """The scope with the current content of dataset and reference. Raises ValueError if one is missing."""
        return read_scope(connection, self.config, self.model)

    def require_trusted(self, command: str) -> None:
        """Raises ValueError, naming the command that compares rows with trusted rows, if there are none."""
        name = self.config.reference_name
        with reading(self.config.database) as connection:
            stored = stored_datasets(connection, self.config.database, name)[name]
        if stored.content_hash == NO_ROWS:
            raise ValueError(f"{command}: there are no trusted rows; `oresight trust CONFIG.yaml` makes some")

    def count(self, question: str) -> int:
        """One number about the dataset, from sql/queries/QUESTION.sql."""
        with reading(self.config.database) as connection:
            (count,) = execute(connection, question, {"dataset": self.config.dataset.name}).fetchone() or (0,)
        return int(count)

    def note(self, **facts: Any) -> None:
        """Store facts about a step with its run: device, dtype, rank ..."""
        with writing(self.config.database) as connection:
            execute(connection, "note_run", {"run_id": self.run_id, "facts": json.dumps(facts)})


@contextmanager
def recorded(
    config: Curate, flow: str, prefect_flow_run_id: str | None = None, model: ModelIdentity | None = None
) -> Iterator[Run]:
    """Take the database's turn and keep a row in `runs` while a run's steps are running. Raises what they raise.

    model: the configured model, if the caller has identified it already: hashing its files takes a while.
    """
    run_id = uuid.uuid4().hex
    limit_memory(config.memory_limit)
    with (
        explain_faults(database=config.database, publishing__folder=config.publishing.folder),
        journal(config.database, config.dataset.name, flow, run_id),
        turn(config.database),
    ):
        with writing(config.database) as connection:
            execute(connection, "interrupt_runs")
            values = {"run_id": run_id, "flow": flow, "config": config.model_dump_json(), "version": VERSION}
            execute(connection, "start_run", values | {"prefect_flow_run_id": prefect_flow_run_id})
        state = "interrupted"  # a cancelled run raises a BaseException that is no Exception
        try:
            yield Run(config, run_id, model)
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
                execute(connection, "finish_run", {"run_id": run_id, "state": state})
