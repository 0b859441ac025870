"""Run the scoring step on a configuration, and ask its database."""

from typing import Any

from oresight.tasks import score as step
from oresight.tasks.config import Curate
from oresight.tasks.database import reading
from oresight.tasks.ingest import ingest
from oresight.tasks.runs.record import recorded


def scored(config: Curate, **options: Any) -> step.Scored:
    """Ingest and score."""
    with recorded(config, "score") as run:
        ingest(run, "dataset")
        ingest(run, "reference")
        return step.score(run, **options)


def ask(config: Curate, question: str) -> list[tuple[Any, ...]]:
    """The rows that a SQL question returns."""
    with reading(config.database) as connection:
        return connection.execute(question).fetchall()
