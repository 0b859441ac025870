"""The environments that the Makefile, systemd and compose give to a Prefect server, read from their files."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def makefile_environment() -> dict[str, str]:
    """What `make serve` exports."""
    return dict(re.findall(r"^serve: export (\w+) = (.*)$", (ROOT / "Makefile").read_text(), re.M))


def systemd_environment() -> dict[str, str]:
    """What /etc/oresight/env holds after it was copied from the example."""
    lines = (ROOT / "deployments" / "systemd" / "env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose_environment(service: str = "server") -> dict[str, str | None]:
    """What compose gives a service, with references to deployments/.env left as they are."""
    services = yaml.safe_load((ROOT / "deployments" / "compose.yaml").read_text())["services"]
    return dict(services[service]["environment"])
