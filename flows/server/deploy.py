"""Register what is in deployments/ with a running Prefect server. Safe to repeat: an operator's changes there stay."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from oresight.flows.server.automations import update_automations
from oresight.flows.server.start import ACCELERATOR
from oresight.tasks.config import Curate

FOLDER = Path("deployments")
POOL = "oresight"


class Registered(NamedTuple):
    """The names of all deployments, and of the automations that were changed on the server and so stay as they are."""

    deployments: list[str]
    kept_automations: list[str]


def deploy(config: Curate | None) -> Registered:
    """Create or update work pool, concurrency limit, deployments and automations.

    config: what the deployments run with, in place of the one in prefect.yaml. Raises ValueError if there is no server
    or no deployments/ here, the server wants another password, or Prefect refuses prefect.yaml.
    """
    file = FOLDER / "prefect.yaml"
    if not file.is_file():
        raise ValueError(f"{file}: not here; run this in the folder that holds pyproject.toml")
    if not PREFECT_API_URL.value():
        raise ValueError("PREFECT_API_URL: names no server; set it to http://127.0.0.1:4200/api, for instance")
    with get_client(sync_client=True) as client, _naming_the_password():
        if (failure := client.api_healthcheck()) is not None:
            raise ValueError(f"PREFECT_API_URL: {PREFECT_API_URL.value()} does not answer ({failure})")
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        with suppress(ObjectAlreadyExists):
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=ACCELERATOR, limit=1))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own file
        if process.returncode:
            raise ValueError(f"{file}: {process.stdout[-500:]} {process.stderr[-500:]}")
        deployments = yaml.safe_load(file.read_text())["deployments"]
        names = [f"{deployment['name']}/{deployment['name']}" for deployment in deployments]
        if config:
            _configure(client, names, config)
        definitions = yaml.safe_load((FOLDER / "automations.yaml").read_text())["automations"]
        return Registered(names, update_automations(client, definitions))


@contextmanager
def _naming_the_password() -> Iterator[None]:
    """Raise ValueError with the cure if the server refuses the password."""
    try:
        yield
    except PrefectHTTPStatusError as error:
        if error.response.status_code != HTTPStatus.UNAUTHORIZED:
            raise
        raise ValueError(
            "PREFECT_API_AUTH_STRING: is not the server's password; the server's machine has it in a file .env"
            " (docs/operate.md, Access)"
        ) from error


def _configure(client: SyncPrefectClient, names: list[str], config: Curate) -> None:
    """Give the deployments their configuration. Its paths are absolute, because workers may run in other folders."""
    for name in names:
        deployment = client.read_deployment_by_name(name)
        parameters = deployment.parameters | {"config": config.model_dump(mode="json", exclude_unset=True)}
        client.update_deployment(deployment.id, DeploymentUpdate(parameters=parameters))
