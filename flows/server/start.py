"""How a flow begins: the settings it was given, the secrets it may need, its turn on the accelerator."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from prefect.blocks.system import Secret
from prefect.concurrency.sync import concurrency
from prefect.runtime import deployment, flow_run

from oresight.tasks.config import Curate
from oresight.tasks.configfile import validated
from oresight.tasks.scoring.model import devices

TRIES = 5
"""Starts of one run. An automation starts a run again that was killed; one that kills its machine must end."""
ACCELERATOR = "oresight-gpu"
"""The global concurrency limit that scoring on an accelerator takes a slot of, where such a limit was made."""
TOKEN = "hub-token"  # noqa: S105  a name
"""The Secret block that holds a token for the hub; HF_TOKEN in the environment goes before it."""


def start_run(config: Curate) -> Curate:
    """The settings of a run. Raises ValueError with the sentence that the command line gives."""
    config = validated(config)
    if flow_run.run_count > TRIES:
        raise ValueError(f"this run was started {TRIES} times and never ended; find out why, then start another")
    if deployment.id and not os.environ.get("HF_TOKEN"):
        with suppress(ValueError):  # there is none
            os.environ["HF_TOKEN"] = Secret.load(TOKEN).get()  # type: ignore[union-attr]
    return config


def run_name() -> str:
    """What a run is called in the Prefect UI: by its dataset, where the parameters have one."""
    config = flow_run.parameters.get("config")
    dataset = config.get("dataset") if isinstance(config, dict) else getattr(config, "dataset", None)
    name = dataset.get("name") if isinstance(dataset, dict) else getattr(dataset, "name", None)
    return f"{flow_run.flow_name} {name or flow_run.name}"


@contextmanager
def on_accelerator(device: str) -> Iterator[None]:
    """Have a slot of the accelerator's limit, where the model runs on one."""
    place = devices(device)[0]
    with nullcontext() if place == "cpu" else concurrency(ACCELERATOR):
        yield
