"""The record of a run: it begins before the first step and ends after the last, whatever happens in between.

A process that was killed leaves its run `running`. Whoever has the next turn on the database marks it interrupted.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from typing import Any

from oresight.tasks.config import Curate
from oresight.tasks.database import Connection, execute, reading, turn, writing
from oresight.tasks.runs.faults import in_a_sentence
from oresight.tasks.runs.journal import journal
from oresight.tasks.scope import ModelIdentity, Scope, identify, read_scope

VERSION = version("oresight")


class Refused(RuntimeError):
    """A critical check, the publish gate or a person said no: nothing was published."""


class Waiting(Refused):
    """A person has not said yes yet. `numbers` is what the person decides by."""

    def __init__(self, message: str, split: str, version: int, numbers: dict[str, float | int | None]) -> None:
        super().__init__(message)
        self.split, self.version, self.numbers = split, version, numbers


class Run:
    """What every step is called with: the configuration, and the id under which the step records what it does."""

    def __init__(self, config: Curate, run_id: str = "", model: ModelIdentity | None = None) -> None:
        """run_id: empty for a step that only reads. model: by default the configured one, identified when needed."""
        self.config, self.run_id = config, run_id
        if model is not None:
            self.model = model

    @cached_property
    def model(self) -> ModelIdentity:
        """The configured model. Its files are hashed once a run. Raises UnusableModel."""
        return identify(self.config)

    def scope(self, connection: Connection) -> Scope:
        """The scope with the content that dataset and reference have now. Raises ValueError if one is not there."""
        return read_scope(connection, self.config, self.model)

    def count(self, question: str) -> int:
        """One number about the dataset, from sql/queries/QUESTION.sql."""
        with reading(self.config.database) as connection:
            (count,) = execute(connection, question, {"dataset": self.config.dataset.name}).fetchone() or (0,)
        return int(count)

    def note(self, **facts: Any) -> None:
        """Keep what a step found out with its run: device, dtype, rank ..."""
        with writing(self.config.database) as connection:
            execute(connection, "note_run", {"run_id": self.run_id, "facts": json.dumps(facts)})


@contextmanager
def recorded(config: Curate, flow: str, prefect_flow_run_id: str | None = None) -> Iterator[Run]:
    """Have the database's turn and a row in `runs` while the steps of a run are done. Raises what the steps raise."""
    run_id = uuid.uuid4().hex
    with (
        in_a_sentence(database=config.database, publishing__folder=config.publishing.folder),
        journal(config.database, config.dataset.name, flow, run_id),
        turn(config.database),
    ):
        with writing(config.database) as connection:
            execute(connection, "interrupt_runs")
            values = {"run_id": run_id, "flow": flow, "config": config.model_dump_json(), "version": VERSION}
            execute(connection, "start_run", values | {"prefect_flow_run_id": prefect_flow_run_id})
        state = "interrupted"  # a cancelled run raises no Exception
        try:
            yield Run(config, run_id)
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
