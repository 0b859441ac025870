"""Is it true? Every signal, and the flags, against rows of which it is known whether they are wrong."""

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.shown import key
from flows.start import begun, named
from tasks.config import Curate
from tasks.evaluate import Evaluation
from tasks.evaluate import evaluate as against
from tasks.score import identity
from tasks.scoring.source import find


@flow(name="evaluate", flow_run_name=named, validate_parameters=False)
def evaluate(config: Curate, truth: str) -> Evaluation:
    """AUC and recall of each signal against a known truth, with intervals. Reads the database, writes nothing to it.

    Args:
        config: What the database was curated with.
        truth: A column of the rows that is true, or 1, where a row is wrong and false, or 0, where it is right.
    """
    config = begun(config)
    found = measured(config, truth)
    told = "\n\n".join([*found.about(), found.judgement()])
    create_table_artifact(found.table(), key=key(config.splitting.name, "evaluation"), description=told)
    return found


def measured(config: Curate, truth: str) -> Evaluation:
    """The same without Prefect's pages."""
    model = identity(config, find(config.model.name, config.model.revision, config.model.adapter))
    return against(config, truth, model["model_key"], model["model"])
