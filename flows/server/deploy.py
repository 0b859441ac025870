"""What is in deployments/ -> a running Prefect server. Safe to repeat: what an operator has changed there stays."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL

from oresight.flows.server.start import ACCELERATOR
from oresight.tasks.config import Curate

FOLDER = Path("deployments")
POOL = "oresight"


def deploy(config: Curate | None) -> list[str]:
    """Make pool, limit, deployments and automations, and give the names of the deployments.

    config: what the deployments run with, in place of what prefect.yaml says. Raises ValueError if there is no server
    or no deployments/ here, or Prefect refuses prefect.yaml.
    """
    file = FOLDER / "prefect.yaml"
    if not file.is_file():
        raise ValueError(f"{file}: not here; run this in the folder that holds pyproject.toml")
    if not PREFECT_API_URL.value():
        raise ValueError("PREFECT_API_URL: names no server; set it to http://127.0.0.1:4200/api, for instance")
    with get_client(sync_client=True) as client:
        if (silent := client.api_healthcheck()) is not None:
            raise ValueError(f"PREFECT_API_URL: {PREFECT_API_URL.value()} does not answer ({silent})")
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        with suppress(ObjectAlreadyExists):
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=ACCELERATOR, limit=1))
        prefect = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        done = subprocess.run(prefect, capture_output=True, text=True, check=False)  # noqa: S603  our own file
        if done.returncode:
            raise ValueError(f"{file}: {done.stdout[-500:]} {done.stderr[-500:]}")
        names = [f"{one['name']}/{one['name']}" for one in yaml.safe_load(file.read_text())["deployments"]]
        if config:
            _configure(client, names, config)
        for one in yaml.safe_load((FOLDER / "automations.yaml").read_text())["automations"]:
            if not client.read_automations_by_name(one["name"]):
                client.create_automation(AutomationCore.model_validate(one))
    return names


def _configure(client: SyncPrefectClient, names: list[str], config: Curate) -> None:
    """Give the deployments their configuration. Its paths are seen from this folder, in which workers run them."""
    for name in names:
        known = client.read_deployment_by_name(name)
        parameters = known.parameters | {"config": config.model_dump(mode="json", exclude_unset=True)}
        client.update_deployment(known.id, DeploymentUpdate(parameters=parameters))
