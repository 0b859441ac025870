"""Describes what a published split was made from, as an OpenLineage event (openlineage.io).

The event is a file beside the split. It is also sent to a receiver if the settings of the OpenLineage client name one,
such as OPENLINEAGE_URL.
"""

import json
import os
import uuid
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from oresight.tasks.publishing.version import Version
from oresight.tasks.runs.progress import log

PRODUCER = "https://pypi.org/project/oresight"
RECEIVERS = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT")


def event_of(folder: Path, published: Version) -> Any:
    """A RunEvent: raw files and the model -> the folder of a version. The same version gives the same event."""
    from openlineage.client import event_v2 as event
    from openlineage.client import facet_v2 as facet
    from openlineage.client import set_producer

    set_producer(PRODUCER)
    split, model = published.row, published.model
    own_version = version_of("oresight")

    def about(version: str, text: str) -> dict[str, Any]:
        return {
            "version": facet.dataset_version_dataset.DatasetVersionDatasetFacet(version),
            "documentation": facet.documentation_dataset.DocumentationDatasetFacet(text),
        }

    inputs = [
        event.InputDataset("file", file["path"], facets=about(file["sha256"], f"{parent['role']} {parent['dataset']}"))
        for parent in published.parents
        for file in json.loads(parent["files"] or "[]")
    ]
    inputs.append(event.InputDataset("model", model["model"], facets=about(model["model_key"], "valued the rows")))
    kept = facet.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(split["rows_kept"])
    name = f"{split['split']}/v{split['version']}, curated by Oresight"
    output = event.OutputDataset(
        "file", str(folder.resolve()), {"outputStatistics": kept}, facets=about(split["decision_hash"], name)
    )
    engine = facet.processing_engine_run.ProcessingEngineRunFacet(own_version, "oresight", own_version)
    kind = facet.job_type_job.JobTypeJobFacet("BATCH", "ORESIGHT", "CURATION")
    run = uuid.uuid5(uuid.NAMESPACE_URL, f"{PRODUCER}/{split['run_id']}/{name}")
    return event.RunEvent(
        eventType=event.RunState.COMPLETE,
        eventTime=split["created_at"],
        run=event.Run(str(run), {"processing_engine": engine}),
        job=event.Job("oresight", f"curate {split['split']}", {"jobType": kind}),
        inputs=inputs,
        outputs=[output],
    )


def event_text(event: Any) -> str:
    """The event as the text of a file."""
    from openlineage.client.serde import Serde

    return json.dumps(Serde.to_dict(event), indent=2, ensure_ascii=False) + "\n"


def send(event: Any) -> None:
    """Send an event to the receiver, if one is configured. A failure is only a warning: the file has the event too."""
    if not any(name.startswith(RECEIVERS) for name in os.environ):
        return  # without a receiver the client would print the event
    from openlineage.client import OpenLineageClient

    try:
        OpenLineageClient().emit(event)
    except Exception as error:  # each transport has its own
        log().warning("publish: the OpenLineage event was not sent (%s: %s)", type(error).__name__, error)
