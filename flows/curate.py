"""The pipeline, read down the page."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.runtime import deployment, flow_run

from flows.approval import ask
from flows.notice import notice_drift, told
from flows.shown import show_findings, show_split
from flows.start import begun, named, on_accelerator
from tasks.check import check
from tasks.config import Curate
from tasks.flag import flag
from tasks.ingest import ingest
from tasks.plant import plant
from tasks.publish import publish
from tasks.report import report
from tasks.run import Waiting, recorded, summary
from tasks.score import score
from tasks.split import split


def _reading_failed(_task: Any, _run: Any, state: Any) -> bool:
    """A file or a disk can fail for a moment and is worth another try; a bad row, a wrong setting or a bug is not."""
    return isinstance(state.data, OSError) or isinstance(getattr(state.data, "exception", None), OSError)


try_again: dict[str, Any] = {"retries": 2, "retry_delay_seconds": 5, "retry_condition_fn": _reading_failed}
ingest_rows = task(name="ingest", **try_again)(ingest)
check_rows = task(name="check")(check)
plant_canaries = task(name="plant")(plant)
score_rows = task(name="score")(partial(score, as_task=task(name="score shard", task_run_name="shard {number}")))
flag_rows = task(name="flag")(flag)
split_rows = task(name="split")(split)
report_rows = task(name="report", **try_again)(report)
publish_split = task(name="publish", **try_again)(publish)


@dataclass(frozen=True)
class Curated:
    """What a run did: counts by name, in the order of the steps, and where the split is."""

    counts: dict[str, int]
    seconds: float
    folder: Path
    new_version: bool
    report: Path


@flow(name="curate", flow_run_name=named, validate_parameters=False)
def curate(config: Curate) -> Curated:
    """Ingest, check, plant, score, flag, check, split, report, publish. Safe to run again: what stands is not redone.

    Args:
        config: The rows to choose from, the rows you trust, the model that compares them, and what to keep.
    """
    config = begun(config)
    with told(config):
        try:
            return _curated(config)
        except Waiting as waiting:
            if not deployment.id:
                raise  # nobody could answer: `oresight approve` is the way
            ask(config, waiting)  # ends this process; the answer starts the flow again
            return _curated(config)


def _curated(config: Curate) -> Curated:
    started, dataset, reference = time.monotonic(), config.dataset.name, config.reference.name
    page = Path(config.publishing.folder) / config.splitting.name / "checks.html"
    with recorded(config, "curate", flow_run.id) as run_id:
        rows = ingest_rows(config.database, config.dataset, "dataset", run_id)
        ingest_rows(config.database, config.reference, "reference", run_id)
        check_rows(config.database, "raw", dataset, reference, run_id, flagging=config.flagging, page=page)
        canaries = plant_canaries(config, run_id)
        with on_accelerator(config.model.device):
            scored = score_rows(config, run_id)
        flag_rows(config, scored.model_key, run_id)
        check_rows(config.database, "score", dataset, reference, run_id, scored.model_key, config.flagging, page)
        decided = split_rows(config.database, config.splitting, dataset, reference, scored.model_key, run_id)
        reported = report_rows(config, scored.model_key, scored.model)
        counts = {
            "rows read": rows.rows + rows.rejected + rows.duplicates,
            "rejected": rows.rejected,
            "duplicates": rows.duplicates,
            "scored": scored.scored,
            "reused": scored.reused,
            "canaries": canaries,
            "flagged": summary(config.database, "flagged_rows", dataset),
            "kept": decided.rows_kept,
            "dropped": decided.rows_dropped,
        }
        show_findings(decided.name, counts, reported)
        notice_drift(config, decided)
        published = publish_split(config.database, config, decided.name, decided.version)
        show_split(config.database, decided, published.folder)
    return Curated(counts, time.monotonic() - started, published.folder, published.new, reported.page)
