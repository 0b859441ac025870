"""The flow `evaluate`: measure signals and values on the user's data, against a known answer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run

from oresight.flows.server.artifacts import artifact_key
from oresight.flows.server.start import on_accelerator, run_name, start_run
from oresight.flows.trials import run_trials
from oresight.tasks.config import Curate
from oresight.tasks.evaluation.approximation import measure_approximation
from oresight.tasks.evaluation.influence import measure_influence
from oresight.tasks.evaluation.ledger import HASH, Ledger, read_units
from oresight.tasks.evaluation.page import write_evaluations
from oresight.tasks.evaluation.truth import Evaluation, measure_against_truth
from oresight.tasks.runs.progress import BestEffort
from oresight.tasks.runs.record import Run, recorded


@flow(name="evaluate", flow_run_name=run_name, validate_parameters=False)
def evaluate(
    config: Curate, truth: str | None = None, classes: str | None = None, text: str | None = None
) -> list[str]:
    """Measure the method on the user's data. Stored results are not measured again; rows and splits do not change.

    Args:
        config: The configuration of the curated database. Its section `evaluating` says how defects are planted.
        truth: A column of the rows: true or 1 if a row is wrong, false or 0 if it is right.
        classes: A column of rows and trusted rows. Rows of a trusted row's class should help it most.
        text: With classes: a column whose complete text is scored, without a template.
    """
    config = start_run(config)
    key = artifact_key(config.splitting.name, "evaluation")
    if truth:
        evaluation = evaluate_truth(config, truth)
        with BestEffort():
            description = "\n\n".join([*evaluation.about(), evaluation.judgement()])
            create_table_artifact(evaluation.table(), key=key, description=description)
        return evaluation.lines()
    with on_accelerator(config.model.device):
        lines = evaluate_method(config, classes, text)
    with BestEffort():
        create_markdown_artifact("\n".join(lines), key=key)
    return lines


def evaluate_truth(config: Curate, truth: str) -> Evaluation:
    """Measure signals and flags against a truth column and store the results. Needs no Prefect server."""
    reader = Run(config)
    evaluation = measure_against_truth(reader, truth)
    with recorded(config, "evaluate", flow_run.id, reader.model) as run:
        ledger = Ledger.of(run, "truth")
        ledger = ledger.under(truth=truth, of=ledger.unit(lines=evaluation.lines())[:HASH])
        ledger.compute_once(ledger.unit(), evaluation.results, f"{truth} of {evaluation.rows} rows")
    write_evaluations(config)
    return evaluation


def evaluate_method(config: Curate, classes: str | None, text: str | None) -> list[str]:
    """Measure against classes if given, else by trials and by gradients of the whole model. Returns markdown."""
    return measure_method(config, classes, text).lines


@dataclass(frozen=True)
class Measured:
    """The results of an evaluation of the method."""

    lines: list[str]
    """Markdown."""
    results: list[dict[str, Any]]
    """Numbers over seeds, as in the view evaluation_summary."""
    comparisons: list[dict[str, Any]]
    """As in the view comparisons."""
    report: Path


def measure_method(config: Curate, classes: str | None, text: str | None) -> Measured:
    """Measure as `evaluate_method` does. Returns the numbers too."""
    with recorded(config, "evaluate", flow_run.id) as run:
        run.require_trusted("evaluate")
        if classes:
            lines = measure_influence(run, classes, text)
        else:
            lines = [*run_trials(run), "", *measure_approximation(run)]
    results, comparisons = read_units(config.database, run.units)
    page = write_evaluations(config)
    return Measured([*lines, "", f"report: {page}"], results, comparisons, page)
