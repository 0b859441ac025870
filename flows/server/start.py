"""Start a flow run: validate its configuration, load secrets, wait for a slot on the accelerator."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from prefect.blocks.system import Secret
from prefect.concurrency.sync import concurrency
from prefect.runtime import deployment, flow_run

from oresight.tasks.config import Curate
from oresight.tasks.configfile import validated

MAX_STARTS = 5
"""Starts of one run. An automation restarts killed runs; this limit ends a run that always crashes its host."""
ACCELERATOR = "oresight-gpu"
"""The global concurrency limit of scoring on accelerators. It applies if the server has a limit of this name."""
TOKEN = "hub-token"  # noqa: S105  the name of a block
"""The Secret block that holds the Hugging Face token. HF_TOKEN in the environment takes precedence."""


def start_run(config: Curate) -> Curate:
    """Validate the configuration of a run and load the token. Raises ValueError as the command line does."""
    config = validated(config)
    if flow_run.run_count > MAX_STARTS:
        raise ValueError(f"this run was started {MAX_STARTS} times and never ended; find out why, then start a new run")
    if deployment.id and not os.environ.get("HF_TOKEN"):
        with suppress(ValueError):  # the server has no such block
            os.environ["HF_TOKEN"] = Secret.load(TOKEN).get()  # type: ignore[union-attr]
    return config


def run_name() -> str:
    """The name of a run in the Prefect UI: flow and dataset, if the parameters name one."""
    config = flow_run.parameters.get("config")
    dataset = config.get("dataset") if isinstance(config, dict) else getattr(config, "dataset", None)
    name = dataset.get("name") if isinstance(dataset, dict) else getattr(dataset, "name", None)
    return f"{flow_run.flow_name} {name or flow_run.name}"


@contextmanager
def on_accelerator(device: str) -> Iterator[None]:
    """Hold a slot of the limit ACCELERATOR, unless the model runs on the CPU."""
    from oresight.tasks.scoring.device import devices  # torch takes seconds to import; `watch` and `deploy` need none

    with nullcontext() if devices(device)[0] == "cpu" else concurrency(ACCELERATOR):
        yield
