"""Only reading and scoring: for new data that is decided about later."""

from prefect import flow
from prefect.runtime import flow_run

from flows.curate import ingest_rows, plant_canaries, score_rows
from flows.notice import told
from flows.start import begun, named, on_accelerator
from tasks.config import Curate
from tasks.run import recorded
from tasks.score import Scored


@flow(name="score", flow_run_name=named, validate_parameters=False)
def score(config: Curate) -> Scored:
    """Read the files and score the rows that have no fresh score.

    Args:
        config: The rows to score, the rows you trust, and the model that compares them.
    """
    config = begun(config)
    with told(config), recorded(config, "score", flow_run.id) as run_id:
        ingest_rows(config.database, config.dataset, "dataset", run_id)
        ingest_rows(config.database, config.reference, "reference", run_id)
        plant_canaries(config, run_id)
        with on_accelerator(config.model.device):
            return score_rows(config, run_id)
