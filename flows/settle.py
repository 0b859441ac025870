"""The flow `settle`: finetunes that compare training on kept rows with training on as many tokens of other rows."""

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
from oresight.tasks.evaluation.training import TestRow
from oresight.tasks.evaluation.trials import evaluation_folder
from oresight.tasks.ingest import ingest
from oresight.tasks.runs.progress import BestEffort, log
from oresight.tasks.runs.record import Run, recorded


@dataclass(frozen=True)
class Experiments:
    """Which experiments run, and on which test rows. The arguments of `settle` explain them."""

    test: str
    truth: str | None = None
    finetune: bool = True
    curves: bool = False
    datamodels: bool = False


@flow(name="settle", flow_run_name=run_name, validate_parameters=False)
def settle(
    config: Curate,
    test: str,
    truth: str | None = None,
    finetune: bool = True,
    curves: bool = False,
    datamodels: bool = False,
) -> list[str]:
    """Finetune on the rows that the newest split keeps and on rows that other methods choose; compare the test loss.

    All finetunes have the same budget of answer tokens. Stored results are not computed again, and no model is saved.

    Args:
        config: The configuration of the curated database. Its section `finetuning` says how to train.
        test: A file of test rows in the layout of the dataset. Rows that dataset or reference hold are left out.
        truth: A column that says which rows are wrong. The share of wrong rows is then shown, and clean rows compared.
        finetune: Compare methods that choose rows.
        curves: Also train without the 10, 20 and 40% of rows of the highest value, and of the lowest.
        datamodels: Also compute the linear datamodeling score, from finetunes on halves of some rows; for small models.
    """
    config = start_run(config)
    with on_accelerator(config.model.device):
        lines = run_experiments(config, Experiments(test, truth, finetune, curves, datamodels))
    with BestEffort():
        create_markdown_artifact("\n".join(lines), key=artifact_key(config.splitting.name, "settled"))
    return lines


def run_experiments(config: Curate, experiments: Experiments) -> list[str]:
    """Run the experiments. Needs no Prefect server. Returns markdown."""
    version = newest_version(config.database, config.splitting.name)
    lines: list[str] = []
    with recorded(config, "settle", flow_run.id) as run:
        run.require_trusted("settle")
        test = _test_rows(run, experiments.test)
        if experiments.finetune:
            lines += compare_choices(Contest(run, "finetune", version, test, experiments.truth))
        if experiments.curves:
            lines += ["", *removal_curves(Contest(run, "removal", version, test))]
        if experiments.datamodels:
            lines += ["", *datamodeling_score(Contest(run, "datamodel", version, test))]
    return [*lines, "", f"report: {write_evaluations(config)}"]


def _test_rows(run: Run, test: str) -> list[TestRow]:
    """Ingest the test file into a separate database. Rows that dataset or reference hold are left out.

    Raises ValueError if no row is left.
    """
    config = run.config
    dataset = config.dataset.model_copy(update={"name": "test", "path": test})
    database = str(evaluation_folder(config) / "test.duckdb")
    with recorded(config.model_copy(update={"database": database, "dataset": dataset}), "settle") as test_run:
        ingest(test_run, "dataset")
    curated = [dataset_rows(config.database, name) for name in (config.dataset.name, config.reference_name)]
    seen = {row["sample_id"] for rows in curated for row in rows}
    rows = dataset_rows(database, "test")
    new = [row for row in rows if row["sample_id"] not in seen]
    if len(new) < len(rows):
        log().warning("settle: %d test rows are left out: dataset or reference have them", len(rows) - len(new))
    answers = {row["sample_id"]: row["answer"] for row in new}
    encoded = encode_for_training(config, run.model.files, new)
    if not encoded:
        raise ValueError(
            f"--test: {test} has no row that the model can read and that is neither in dataset nor reference"
        )
    return [TestRow(row, answers[sample_id]) for sample_id, row in encoded]
