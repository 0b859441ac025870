"""The flow `score`: ingest and score new data, and decide about it later."""

from prefect import flow
from prefect.runtime import flow_run

from oresight.flows.curate import as_task
from oresight.flows.pipeline import Pipeline
from oresight.flows.server.events import emit_outcome
from oresight.flows.server.start import on_accelerator, run_name, start_run
from oresight.tasks.config import Curate
from oresight.tasks.runs.record import recorded
from oresight.tasks.score import Scored


@flow(name="score", flow_run_name=run_name, validate_parameters=False)
def score(config: Curate) -> Scored:
    """Read the files and score the rows that have no fresh score.

    Args:
        config: The rows to score, the rows you trust, and the model that compares them.
    """
    config = start_run(config)
    with emit_outcome(config), recorded(config, "score", flow_run.id) as run:
        pipeline = Pipeline(run, as_task)
        pipeline.read()
        pipeline.plant()
        with on_accelerator(config.model.device):
            return pipeline.score()
