"""Estimate the cost of a run by running its steps on a temporary copy of the database."""

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
from oresight.tasks.database import snapshot
from oresight.tasks.plan import Planned, plan
from oresight.tasks.publishing.lineage import RECEIVERS
from oresight.tasks.runs.faults import explain_faults
from oresight.tasks.runs.progress import log
from oresight.tasks.runs.record import Refused, recorded


@dataclass(frozen=True)
class Plan:
    """What a run would do, and its estimated cost."""

    model: str
    rows: int
    """All rows read, including rejected rows and duplicates."""
    rejected: int
    duplicates: int
    canaries: int
    scoring: Planned
    seconds: dict[str, float]
    """By phase: reading, scoring and, unless a critical check would end the run, deciding and writing."""
    disk: int
    """Bytes added: database, pictures and split."""

    def measured_on(self) -> str:
        """One line: how the estimate was measured."""
        if not self.scoring.probed:
            return "measured on: all steps but scoring, on a copy of the database"
        tokens = "tokens counted on a sample" if self.scoring.is_sampled else "tokens counted on all rows"
        return (
            f"measured on: {self.scoring.probed:,} rows, scored in {self.scoring.probe_s:.0f} s with {self.model} on"
            f" {self.scoring.device}; {tokens}; the other steps on a copy of the database"
        )


class Stopwatch(dict[str, float]):
    """Seconds by phase."""

    def timing(self, phase: str) -> Wrap:
        """Count the seconds of steps under this phase, except steps that write files: those count as `writing`."""

        def wrap(name: str, step: Step) -> Step:
            step_phase = "writing" if name in ("report", "publish") else phase

            def timed(*arguments: Any, **options: Any) -> Any:
                started = time.perf_counter()
                try:
                    return step(*arguments, **options)
                finally:
                    self[step_phase] = self.get(step_phase, 0.0) + time.perf_counter() - started

            return timed

        return wrap


def probe(config: Curate) -> Plan:
    """Estimate the cost of a run. The user's database is only read, and no file of the user changes.

    Raises ValueError as the steps do. A critical check that would refuse the data is logged as a warning.
    """
    with explain_faults(), TemporaryDirectory(prefix="oresight-plan-") as name:
        probe_config, bytes_before = _in_folder(config, Path(name)), 0
        if Path(config.database).is_file():
            snapshot(config.database, probe_config.database)
            bytes_before = _size(Path(config.database))
        clock = Stopwatch()
        with recorded(probe_config, "plan") as run:
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
        disk = _size(Path(probe_config.database)) - bytes_before + _size(Path(f"{probe_config.database}.images"))
        disk += _size(Path(probe_config.publishing.folder))
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
    """Run the steps after scoring. Most of the scores are synthetic."""
    with suppress(Refused):
        pipeline.judge()
    decided = pipeline.split()
    with _no_receiver():
        pipeline.report()
        if decided.new:
            pipeline.publish()


def _in_folder(config: Curate, folder: Path) -> Curate:
    """The same configuration with database and output in a folder, without approval or publish gate."""
    changes = {"folder": str(folder / "out"), "approval": "none", "require": {}}
    publishing = type(config.publishing).model_validate(config.publishing.model_dump() | changes)
    return config.model_copy(update={"database": str(folder / "oresight.duckdb"), "publishing": publishing})


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence step logs: these canaries and scores are synthetic."""
    level = log().level
    log().setLevel(logging.ERROR)
    try:
        yield
    finally:
        log().setLevel(level)


@contextmanager
def _no_receiver() -> Iterator[None]:
    """Remove the environment variables that name a receiver of lineage: a plan publishes nothing real."""
    removed = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(RECEIVERS)}
    try:
        yield
    finally:
        os.environ.update(removed)
