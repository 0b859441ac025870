"""Is it true? What the signals find, and what the values say, where it is known what they should."""

from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run
from pydantic import Field

from flows.shown import key
from flows.start import begun, named, on_accelerator
from flows.trials import trials
from tasks.approximation import approximation
from tasks.config import Curate
from tasks.evaluate import Evaluation
from tasks.evaluate import evaluate as against
from tasks.findings import HASH, Place
from tasks.influence import influence
from tasks.planted import Trial
from tasks.progress import BestEffort
from tasks.proof import proof
from tasks.run import recorded
from tasks.score import identity
from tasks.scoring.source import find

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


@flow(name="evaluate", flow_run_name=named, validate_parameters=False)
def evaluate(
    config: Curate,
    truth: str | None = None,
    classes: str | None = None,
    text: str | None = None,
    share: Share = 0.2,
    rows: Count = 400,
    seeds: Count = 8,
) -> list[str]:
    """Measure the method on these data. What is known is not measured again; nothing comes near rows or splits.

    Args:
        config: What the database was curated with.
        truth: A column of the rows that is true, or 1, where a row is wrong and false, or 0, where it is right.
        classes: A column of rows and trusted rows: those of a trusted row's class should help it most.
        text: With classes, a column whose whole text is scored, without a template.
        share: Without truth and classes, this share of the rows that a seed draws gets a planted defect.
        rows: Rows that a seed draws.
        seeds: How often that is done.
    """
    config = begun(config)
    if truth:
        found = measured(config, truth)
        with BestEffort():
            told = "\n\n".join([*found.about(), found.judgement()])
            create_table_artifact(found.table(), key=key(config.splitting.name, "evaluation"), description=told)
        return found.lines()
    with on_accelerator(config.model.device):
        lines = tried(config, classes, text, Trial(share, rows, seeds))
    with BestEffort():
        create_markdown_artifact("\n".join(lines), key=key(config.splitting.name, "evaluation"))
    return lines


def measured(config: Curate, truth: str) -> Evaluation:
    """Signals and flags against a column that says which rows are wrong, without Prefect's pages."""
    model = identity(config, find(config.model.name, config.model.revision, config.model.adapter))
    found = against(config, truth, model["model_key"], model["model"])
    with recorded(config, "evaluate", flow_run.id) as run_id:
        place = Place(config.database, run_id, "truth", config.dataset.name, model["model"])
        place = place.under(truth=truth, of=place.unit(lines=found.lines())[:HASH])
        place.once(place.unit(), found.findings, f"{truth} of {found.rows} rows")
    proof(config)
    return found


def tried(config: Curate, classes: str | None, text: str | None, trial: Trial) -> list[str]:
    """Classes, or else planted defects and what the last layer stands for; as markdown."""
    source = find(config.model.name, config.model.revision, config.model.adapter)
    model = identity(config, source)["model"]
    with recorded(config, "evaluate", flow_run.id) as run_id:

        def place(evaluation: str) -> Place:
            return Place(config.database, run_id, evaluation, config.dataset.name, model)

        if classes:
            lines = influence(config, source, place("influence"), classes, text, trial.seeds)
        else:
            lines = trials(config, source, place("planted"), trial)
            lines += ["", *approximation(config, source, place("approximation"))]
    return [*lines, "", f"report: {proof(config)}"]
