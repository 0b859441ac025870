"""What `oresight plan` finds out: the steps of a run, on a copy of the database that is gone afterwards."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from oresight.flows.pipeline import Pipeline, Step, Wrap
from oresight.tasks.config import Curate
from oresight.tasks.database import copy
from oresight.tasks.plan import Planned, plan
from oresight.tasks.publishing.lineage import RECEIVERS
from oresight.tasks.runs.faults import explain_faults
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Refused, recorded


@dataclass(frozen=True)
class Plan:
    """What a run would do, and take."""

    model: str
    rows: int
    """As they are read: with rejected ones and duplicates."""
    rejected: int
    duplicates: int
    canaries: int
    scoring: Planned
    seconds: dict[str, float]
    """By what they are spent on: reading, scoring, and, where a run would come to it, deciding and writing."""
    disk: int
    """Bytes that are added: the database, pictures beside it, the split."""

    def measured_on(self) -> str:
        """In words."""
        if not self.scoring.probed:
            return "measured on: all steps but scoring, on a copy of the database"
        tokens = "tokens counted on a sample" if self.scoring.is_sampled else "tokens counted on all rows"
        return (
            f"measured on: {self.scoring.probed:,} rows, scored in {self.scoring.probe_s:.0f} s with {self.model} on"
            f" {self.scoring.device}; {tokens}; the other steps on a copy of the database"
        )


class Stopwatch(dict[str, float]):
    """Seconds by what they are spent on."""

    def timing(self, phase: str) -> Wrap:
        """Count the seconds of steps as this phase; those of steps that write files as `writing`."""

        def wrap(name: str, step: Step) -> Step:
            spent_on = "writing" if name in ("report", "publish") else phase

            def timed(*arguments: Any, **options: Any) -> Any:
                started = time.perf_counter()
                try:
                    return step(*arguments, **options)
                finally:
                    self[spent_on] = self.get(spent_on, 0.0) + time.perf_counter() - started

            return timed

        return wrap


def probe(config: Curate) -> Plan:
    """Find out what a run would take. The user's database is read, nothing beside it is written.

    Raises ValueError as the steps do; what a critical check refuses is a warning.
    """
    with explain_faults(), TemporaryDirectory(prefix="oresight-plan-") as name:
        there, bytes_before = _elsewhere(config, Path(name)), 0
        if Path(config.database).is_file():
            copy(config.database, there.database)
            bytes_before = _size(Path(config.database))
        clock = Stopwatch()
        with recorded(there, "plan") as run:
            pipeline, refused = Pipeline(run, clock.timing("reading")), False
            rows = pipeline.read()
            try:
                pipeline.inspect()
            except Refused as error:
                log().warning("plan: a run would end before it scores: %s", error)
                refused = True
            with _quiet():
                canaries = pipeline.plant()
                planned = plan(run)
                if not refused:
                    _after_scoring(Pipeline(run, clock.timing("deciding")))
                    clock["deciding"] /= planned.made_up
        disk = _size(Path(there.database)) - bytes_before + _size(Path(f"{there.database}.images"))
        disk += _size(Path(there.publishing.folder))
        unfilled = (1 - planned.made_up) * (planned.to_score + planned.canaries)
        model = run.model.name
    clock["scoring"] = planned.seconds
    return Plan(
        model=model,
        rows=rows.rows + rows.rejected + rows.duplicates,
        rejected=rows.rejected,
        duplicates=rows.duplicates,
        canaries=canaries,
        scoring=planned,
        seconds=clock,
        disk=max(disk, 0) + round(unfilled * planned.row_bytes),
    )


def _after_scoring(pipeline: Pipeline) -> None:
    """The steps that follow scoring, on scores of which most are made up."""
    with suppress(Refused):
        pipeline.judge()
    decided = pipeline.split()
    with _no_receiver():
        pipeline.report()
        if decided.new:
            pipeline.publish()


def _elsewhere(config: Curate, folder: Path) -> Curate:
    """The same settings in another place, where nobody is asked whether to publish."""
    places = {"folder": str(folder / "out"), "approval": "none", "require": {}}
    publishing = type(config.publishing).model_validate(config.publishing.model_dump() | places)
    return config.model_copy(update={"database": str(folder / "oresight.duckdb"), "publishing": publishing})


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence step logs: nothing is planted for the user, and the scores are synthetic."""
    level = log().level
    log().setLevel(logging.ERROR)
    try:
        yield
    finally:
        log().setLevel(level)


@contextmanager
def _no_receiver() -> Iterator[None]:
    """Without the settings that name a receiver of lineage: what is published for a plan never was."""
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(RECEIVERS)}
    try:
        yield
    finally:
        os.environ.update(taken)
