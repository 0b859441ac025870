"""The flow `curate`: the complete pipeline, from files to a published split."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.runtime import deployment, flow_run

from oresight.flows.pipeline import Pipeline, Step
from oresight.flows.server.approval import request_approval
from oresight.flows.server.artifacts import show_findings, show_split
from oresight.flows.server.events import emit_drift, emit_outcome
from oresight.flows.server.start import on_accelerator, run_name, start_run
from oresight.tasks.config import Curate
from oresight.tasks.publishing.signature import private_key
from oresight.tasks.runs.record import Waiting, recorded
from oresight.tasks.split import Split, dropped_rows

READS_FILES = {"ingest", "report", "publish"}
"""Steps that Prefect retries when a file or a disk fails."""


@dataclass(frozen=True)
class Curated:
    """The result of a run: counts in the order of the steps, and where the results are."""

    counts: dict[str, int]
    seconds: float
    folder: Path
    new_version: bool
    report: Path
    run_id: str
    split: Split
    dropped: dict[str, int]
    """Rows of the split that are dropped, by cause, the most frequent first."""
    flagged: dict[str, int]
    """Rows that are dropped for a flag, by check. A row may have flags of several checks."""
    verdict: list[str]
    """The first sentences of the report."""


@flow(name="curate", flow_run_name=run_name, validate_parameters=False)
def curate(config: Curate) -> Curated:
    """Ingest, check, plant, score, flag, check, split, report, publish. A repeated run does only what is missing.

    Args:
        config: The rows to choose from, the rows you trust, the model that compares them, and what to keep.
    """
    config = start_run(config)
    if config.publishing.sign:
        private_key(config.publishing.sign)  # before hours of scoring: without the key, nothing can be published
    with emit_outcome(config):
        try:
            return _curated(config)
        except Waiting as waiting:
            if not deployment.id:
                raise  # no form to answer in: the person uses `oresight approve`
            request_approval(config, waiting)  # ends this process; an answer restarts the flow run
            return _curated(config)


def _curated(config: Curate) -> Curated:
    started = time.monotonic()
    with recorded(config, "curate", flow_run.id) as run:
        pipeline = Pipeline(run, as_task)
        rows = pipeline.read()
        pipeline.inspect()
        canaries = pipeline.plant()
        with on_accelerator(config.model.device):
            scored = pipeline.score(as_task=task(name="score shard", task_run_name="shard {number}"))
        pipeline.judge()
        decided = pipeline.split()
        reported = pipeline.report()
        counts = {
            "rows read": rows.rows + rows.rejected + rows.duplicates,
            "rejected": rows.rejected,
            "duplicates": rows.duplicates,
            "scored": scored.scored,
            "reused": scored.reused,
            "canaries": canaries,
            "flagged": run.count("flagged_rows"),
            "kept": decided.rows_kept,
            "dropped": decided.rows_dropped,
        }
        show_findings(decided.name, counts, reported)
        emit_drift(config, decided)
        published = pipeline.publish()
        show_split(config.database, decided, published.folder)
    dropped, flagged = dropped_rows(config.database, decided)
    return Curated(
        counts=counts,
        seconds=time.monotonic() - started,
        folder=published.folder,
        new_version=published.new,
        report=reported.page,
        run_id=run.run_id,
        split=decided,
        dropped=dropped,
        flagged=flagged,
        verdict=reported.verdict,
    )


def as_task(name: str, step: Step) -> Step:
    """Wrap a step in a Prefect task of that name."""
    options: dict[str, Any] = {"retries": 2, "retry_delay_seconds": 5, "retry_condition_fn": _is_worth_a_retry}
    return task(name=name, **(options if name in READS_FILES else {}))(step)


def _is_worth_a_retry(_task: Any, _run: Any, state: Any) -> bool:
    """Retry errors of files and disks only: a bad row, a wrong setting or a bug fails every time."""
    return isinstance(state.data, OSError) or isinstance(getattr(state.data, "exception", None), OSError)
