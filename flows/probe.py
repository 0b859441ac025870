"""What `oresight plan` finds out: the steps of a run, on a copy of the database that is gone afterwards."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from tasks.check import check
from tasks.config import Curate
from tasks.database import copy
from tasks.fault import in_a_sentence
from tasks.flag import flag
from tasks.ingest import ingest
from tasks.lineage import RECEIVERS
from tasks.plan import Pace, Planned, plan
from tasks.plant import plant
from tasks.progress import log
from tasks.publish import publish
from tasks.report import report
from tasks.run import Refused, recorded
from tasks.score import COMMIT_S, OPENING, SHARD, register
from tasks.scoring.source import find
from tasks.split import split

Found = TypeVar("Found")


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
    """Seconds by name."""

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self[name] = self.get(name, 0.0) + time.perf_counter() - started


def probe(config: Curate) -> Plan:
    """Find out what a run would take. The user's database is read, nothing beside it is written.

    Raises ValueError as the steps do; what a critical check refuses is a warning.
    """
    source = find(config.model.name, config.model.revision, config.model.adapter)
    with in_a_sentence(), TemporaryDirectory(prefix="oresight-plan-") as name:
        there, dataset, reference = _elsewhere(config, Path(name)), config.dataset.name, config.reference.name
        had = 0
        if Path(config.database).is_file():
            copy(config.database, there.database)
            had = _size(Path(config.database))
        page = Path(there.publishing.folder) / "checks.html"
        clock, refused = Stopwatch(), False
        with recorded(there, "plan") as run_id:
            with clock("reading"):
                rows = ingest(there.database, there.dataset, "dataset", run_id)
                ingest(there.database, there.reference, "reference", run_id)
                try:
                    check(there.database, "raw", dataset, reference, run_id, flagging=there.flagging, page=page)
                except Refused as error:
                    log().warning("plan: a run would end before it scores: %s", error)
                    refused = True
                canaries = plant(there, run_id)
            key, model = register(there, source)
            with _quiet():
                planned = plan(there, source, key, run_id, Pace(SHARD, OPENING, COMMIT_S))
                if not refused:
                    _behind_scoring(there, key, model, run_id, clock)
                    clock["deciding"] /= planned.made_up
        disk = _size(Path(there.database)) - had + _size(Path(f"{there.database}.images"))
        disk += _size(Path(there.publishing.folder))
        unfilled = (1 - planned.made_up) * (planned.to_score + planned.canaries)
    clock["scoring"] = planned.seconds
    return Plan(
        model,
        rows.rows + rows.rejected + rows.duplicates,
        rows.rejected,
        rows.duplicates,
        canaries,
        planned,
        clock,
        max(disk, 0) + round(unfilled * planned.row_bytes),
    )


def _behind_scoring(config: Curate, key: str, model: str, run_id: str, clock: Stopwatch) -> None:
    """The steps that follow scoring, on scores of which most are made up."""
    dataset, reference = config.dataset.name, config.reference.name
    page = Path(config.publishing.folder) / "checks.html"
    with clock("deciding"):
        flag(config, key, run_id)
        with suppress(Refused):
            check(config.database, "score", dataset, reference, run_id, key, config.flagging, page)
        decided = split(config.database, config.splitting, dataset, reference, key, run_id)
    with clock("writing"), _no_receiver():
        report(config, key, model)
        if decided.new:
            publish(config.database, config, decided.name, decided.version)


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
    """What the steps say of made-up scores is nobody's business."""
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
