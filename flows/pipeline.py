"""The steps of a run in their order. `curate`, `score`, `plan`, the trials and the single commands all use it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from oresight.tasks.check import Checked, check
from oresight.tasks.flag import flag
from oresight.tasks.ingest import Ingested, ingest
from oresight.tasks.plant import plant
from oresight.tasks.publish import Published, publish
from oresight.tasks.report import Reported, report
from oresight.tasks.runs.record import Run
from oresight.tasks.score import Scored, score
from oresight.tasks.split import Split, split

Step = Callable[..., Any]


class Wrap(Protocol):
    """Wraps the function of a step before it is called, for instance in a Prefect task."""

    def __call__(self, name: str, step: Step, /) -> Step:
        """The wrapped step."""


def as_function(_name: str, step: Step) -> Step:
    """Wrap nothing: the step is called as a plain function."""
    return step


@dataclass(frozen=True)
class Pipeline:
    """The steps of one run. Each step does only what is missing, so it is safe to repeat."""

    run: Run
    wrap: Wrap = as_function

    def read(self) -> Ingested:
        """Ingest the dataset and the reference. Returns the counts of the dataset."""
        ingest_rows = self.wrap("ingest", ingest)
        rows: Ingested = ingest_rows(self.run, "dataset")
        ingest_rows(self.run, "reference")
        return rows

    def inspect(self) -> list[Checked]:
        """Check the rows before they are scored."""
        checked: list[Checked] = self.wrap("check", check)(self.run, "raw")
        return checked

    def plant(self) -> int:
        """Plant the canaries. Returns their number."""
        canaries: int = self.wrap("plant", plant)(self.run)
        return canaries

    def score(self, **options: Any) -> Scored:
        """Score the rows that have no fresh score."""
        scored: Scored = self.wrap("score", score)(self.run, **options)
        return scored

    def judge(self) -> list[Checked]:
        """Fit the detector on the canaries, then run the checks of scores, which write flags."""
        self.wrap("flag", flag)(self.run)
        checked: list[Checked] = self.wrap("check", check)(self.run, "score")
        return checked

    def split(self) -> Split:
        """Decide which rows stay."""
        decided: Split = self.wrap("split", split)(self.run)
        return decided

    def report(self) -> Reported:
        """Write the report."""
        reported: Reported = self.wrap("report", report)(self.run)
        return reported

    def publish(self) -> Published:
        """Write the newest version of the split to its folder."""
        published: Published = self.wrap("publish", publish)(self.run)
        return published
