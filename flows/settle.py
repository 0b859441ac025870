"""The finetunes that settle it: does training on what is kept beat training on as much of anything else?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from pydantic import Field

from flows.shown import key
from flows.start import begun, named, on_accelerator
from tasks.config import Curate
from tasks.database import newest_version, reading, records
from tasks.encode import encoded
from tasks.findings import Place, pointer
from tasks.ingest import ingest
from tasks.planted import scratch
from tasks.progress import BestEffort, log
from tasks.proof import proof
from tasks.run import recorded
from tasks.score import identity
from tasks.scoring.finetune import Recipe
from tasks.scoring.prompt import Encoded
from tasks.scoring.source import Source, find
from tasks.scoring.trainable import trainable
from tasks.settle import Contest, Settling, datamodel, removal
from tasks.settle import settle as finetunes

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Wanted:
    """What is asked of the finetunes; `settle` says what each means."""

    test: str
    tokens: int = 10_000
    seeds: int = 5
    rate: float = 1e-3
    epochs: int = 1
    lora: bool = True
    finetune: bool = True
    curves: bool = False
    datamodels: bool = False
    against: tuple[str, ...] = ()


@flow(name="settle", flow_run_name=named, validate_parameters=False)
def settle(
    config: Curate,
    test: str,
    tokens: Count = 10_000,
    seeds: Count = 5,
    rate: Rate = 1e-3,
    epochs: Count = 1,
    lora: bool = True,
    finetune: bool = True,
    curves: bool = False,
    datamodels: bool = False,
    against: Sequence[str] = (),
) -> list[str]:
    """Finetune the model on equal budgets of rows that the newest version of the split keeps, and that others would
    keep, and compare the loss on a test set. What is known is not trained again; no model is kept.

    Args:
        config: What the database was curated with.
        test: A file of rows that are in neither the dataset nor the reference, read as the dataset's are; what is in
            them is left out.
        tokens: Answer tokens that each finetune learns from.
        seeds: How often it is done: each seed draws half of the rows.
        rate: The highest learning rate.
        epochs: How often a row is shown.
        lora: Train LoRA matrices, or else all weights.
        finetune: Compare ways to choose rows.
        curves: Also leave out the rows of the highest and of the lowest value, 10, 20 and 40% of them.
        datamodels: Also compute the linear datamodeling score, from finetunes on halves of some rows; for small models.
        against: Ways to choose rows, beside kept and random ones; by default all.
    """
    config = begun(config)
    wanted = Wanted(test, tokens, seeds, rate, epochs, lora, finetune, curves, datamodels, tuple(against))
    with on_accelerator(config.model.device):
        lines = settled(config, wanted)
    with BestEffort():
        create_markdown_artifact("\n".join(lines), key=key(config.splitting.name, "settled"))
    return lines


def settled(config: Curate, wanted: Wanted) -> list[str]:
    """The same without Prefect's pages."""
    source = find(config.model.name, config.model.revision, config.model.adapter)
    known = identity(config, source)
    version = newest_version(config.database, config.splitting.name)
    lines: list[str] = []
    with recorded(config, "settle", flow_run.id) as run_id:
        untouched = _untouched(config, source, wanted.test)

        def contest(evaluation: str) -> Contest:
            place = Place(config.database, run_id, evaluation, config.dataset.name, known["model"])
            recipe = Recipe(wanted.lora, wanted.rate, epochs=wanted.epochs)
            settling = Settling(wanted.tokens, wanted.seeds, recipe, wanted.against)
            return Contest(config, source, place, version, untouched, settling, known["model_key"])

        if wanted.finetune:
            lines += finetunes(contest("finetune"))
        if wanted.curves:
            lines += ["", *removal(contest("removal"))]
        if wanted.datamodels:
            lines += ["", *datamodel(contest("datamodel"))]
    return [*lines, "", f"report: {proof(config)}"]


def _untouched(config: Curate, source: Source, test: str) -> list[Encoded]:
    """The rows of the test file that are in neither dataset nor reference, read into a database of their own.

    Raises ValueError if none is left.
    """
    there = scratch(config)
    dataset = config.dataset.model_copy(update={"name": "test", "path": test})
    place = config.model_copy(update={"database": str(there / "test.duckdb"), "dataset": dataset})
    with recorded(place, "settle") as run_id:
        ingest(place.database, place.dataset, "dataset", run_id)

    def rows(database: str, dataset: str) -> list[dict[str, object]]:
        wanted = {"dataset": dataset, "first": pointer("-"), "second": pointer("-")}
        with reading(database) as connection:
            return records(connection, "findings_samples", wanted)

    ours = [rows(config.database, name) for name in (config.dataset.name, config.reference.name)]
    seen, found = {row["sample_id"] for some in ours for row in some}, rows(place.database, "test")
    new = [row for row in found if row["sample_id"] not in seen]
    if len(new) < len(found):
        log().warning("settle: %d test rows are left out: dataset or reference have them", len(found) - len(new))
    good, _ = encoded(new, trainable(source, "cpu", lora=False), config.scoring.max_tokens)
    if not good:
        raise ValueError(f"--test: {test} holds no row that the model can read and that dataset and reference have not")
    return [row for _, row in good]
