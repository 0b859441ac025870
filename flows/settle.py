"""The finetunes that decide the question: does training on what is kept beat training on as much of anything else?"""

from dataclasses import dataclass

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from oresight.flows.server.artifacts import artifact_key
from oresight.flows.server.start import on_accelerator, run_name, start_run
from oresight.tasks.config import Curate
from oresight.tasks.database import newest_version
from oresight.tasks.evaluation.finetunes import Contest, compare_choices, datamodeling_score, removal_curves
from oresight.tasks.evaluation.page import write_evaluations
from oresight.tasks.evaluation.samples import dataset_rows, encode_for_training
from oresight.tasks.evaluation.trials import evaluation_folder
from oresight.tasks.ingest import ingest
from oresight.tasks.runs.progress import BestEffort, log
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.scoring.prompt import Encoded


@dataclass(frozen=True)
class Experiments:
    """Which experiments are run, on which test rows; `settle` says what each means."""

    test: str
    finetune: bool = True
    curves: bool = False
    datamodels: bool = False


@flow(name="settle", flow_run_name=run_name, validate_parameters=False)
def settle(
    config: Curate, test: str, finetune: bool = True, curves: bool = False, datamodels: bool = False
) -> list[str]:
    """Finetune the model on equal budgets of rows that the newest version of the split keeps, and of rows that others
    would keep, and compare the loss on a test set. Known finetunes are not repeated, and no model is kept.

    Args:
        config: What the database was curated with. Its section `finetuning` says how long and how often to train.
        test: A file of rows that are in neither the dataset nor the reference, read as the dataset's are; rows that are
            in one of them are left out.
        finetune: Compare ways to choose rows.
        curves: Also leave out the rows of the highest and of the lowest value, 10, 20 and 40% of them.
        datamodels: Also compute the linear datamodeling score, from finetunes on halves of some rows; for small models.
    """
    config = start_run(config)
    with on_accelerator(config.model.device):
        lines = run_experiments(config, Experiments(test, finetune, curves, datamodels))
    with BestEffort():
        create_markdown_artifact("\n".join(lines), key=artifact_key(config.splitting.name, "settled"))
    return lines


def run_experiments(config: Curate, experiments: Experiments) -> list[str]:
    """The same without Prefect's pages."""
    version = newest_version(config.database, config.splitting.name)
    lines: list[str] = []
    with recorded(config, "settle", flow_run.id) as run:
        test = _test_rows(run, experiments.test)
        if experiments.finetune:
            lines += compare_choices(Contest(run, "finetune", version, test))
        if experiments.curves:
            lines += ["", *removal_curves(Contest(run, "removal", version, test))]
        if experiments.datamodels:
            lines += ["", *datamodeling_score(Contest(run, "datamodel", version, test))]
    return [*lines, "", f"report: {write_evaluations(config)}"]


def _test_rows(run: Run, test: str) -> list[Encoded]:
    """The rows of the test file that are in neither dataset nor reference, read into a database of their own.

    Raises ValueError if none is left.
    """
    config = run.config
    dataset = config.dataset.model_copy(update={"name": "test", "path": test})
    database = str(evaluation_folder(config) / "test.duckdb")
    with recorded(config.model_copy(update={"database": database, "dataset": dataset}), "settle") as reading_run:
        ingest(reading_run, "dataset")
    ours = [dataset_rows(config.database, name) for name in (config.dataset.name, config.reference.name)]
    seen = {row["sample_id"] for rows in ours for row in rows}
    rows = dataset_rows(database, "test")
    new = [row for row in rows if row["sample_id"] not in seen]
    if len(new) < len(rows):
        log().warning("settle: %d test rows are left out: dataset or reference have them", len(rows) - len(new))
    encoded = encode_for_training(config, run.model.files, new)
    if not encoded:
        raise ValueError(f"--test: {test} holds no row that the model can read and that dataset and reference have not")
    return [row for _, row in encoded]
