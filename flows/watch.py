"""The flow `watch`: start a run when input files have changed."""

import hashlib

from prefect import flow
from prefect.client.orchestration import get_client

from oresight.flows.server.start import run_name, start_run
from oresight.tasks.config import Curate
from oresight.tasks.ingest import unread_digest
from oresight.tasks.runs.progress import log


@flow(name="watch", flow_run_name=run_name, validate_parameters=False)
def watch(config: Curate) -> str | None:
    """Start `curate` if the files differ from those that were ingested. The same files start one run only.

    Args:
        config: The configuration that `curate` is started with.
    """
    config = start_run(config)
    digests = unread_digest(config, "dataset"), unread_digest(config, "reference")
    if not any(digests):
        log().info("watch: nothing new")
        return None
    settings = config.model_dump(mode="json")
    key = hashlib.sha256(repr((digests, settings)).encode()).hexdigest()
    with get_client(sync_client=True) as client:
        curate = client.read_deployment_by_name("curate/curate")
        run = client.create_flow_run_from_deployment(curate.id, parameters={"config": settings}, idempotency_key=key)
    log().info("watch: the files have changed; started %s", run.name)
    return str(run.id)
