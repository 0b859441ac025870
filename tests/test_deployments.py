"""deployments/ and docs/operate.md, as far as they can be judged without a server, an engine or a cluster."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from oresight.flows.cli import app
from tests.support.environments import ROOT, systemd_environment

DEPLOYMENTS = ROOT / "deployments"
UNITS = sorted((DEPLOYMENTS / "systemd").glob("*.service"))
PAGE = (ROOT / "docs" / "operate.md").read_text()
QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())


def text_of_deployments() -> str:
    return "\n".join(f.read_text() for f in sorted(DEPLOYMENTS.rglob("*")) if f.is_file() and f.suffix != ".pyc")


def unit(file: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", file.read_text(), re.M):
        found.setdefault(key, []).append(value)
    return found


def test_compose_publishes_on_loopback_only() -> None:
    services = compose()["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:4200:4200"]
    assert not any("network_mode" in service or service.get("privileged") for service in services.values())
    assert services["postgres"]["networks"] == ["database"] and compose()["networks"]["database"]["internal"]


def test_compose_waits_for_what_it_needs_and_starts_again() -> None:
    services = compose()["services"]
    for name, service in services.items():
        assert service["restart"] == ("no" if name == "register" else "unless-stopped")
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[other]
    volumes = [volume for service in services.values() for volume in service.get("volumes", [])]
    named = {found[0] for volume in volumes if (found := re.match(r"[a-z]+(?=:/)", volume))}
    assert named == set(compose()["volumes"])
    for volume in volumes:
        if volume.startswith("./"):
            assert (DEPLOYMENTS / volume.split(":")[0]).is_file(), "Docker would make a folder of it"
    assert set(yaml.safe_load((DEPLOYMENTS / "compose.gpu.yaml").read_text())["services"]) <= set(services)


def test_no_file_of_deployments_holds_a_secret() -> None:
    secret = re.compile(r"^[ #]*(\w*(?:PASSWORD|TOKEN|SECRET|API_KEY)\w*)[:=](.*)$", re.M)
    values = {key: value.split(" #")[0].strip() for key, value in secret.findall(text_of_deployments())}
    assert "POSTGRES_PASSWORD" in values
    assert not [key for key, value in values.items() if value and not value.startswith(("${", "#"))]
    for user, password in re.findall(r"://(\w+):([^@\s]+)@", text_of_deployments()):
        assert password == "PASSWORD" or password.startswith("${POSTGRES_PASSWORD:?"), user
    assert ".env" in (DEPLOYMENTS / ".gitignore").read_text().split()
    assert "deployments/.env" in (DEPLOYMENTS / "Dockerfile.dockerignore").read_text().split()


def test_the_image_has_the_versions_of_the_lock_file_and_of_the_makefile() -> None:
    (prefect,) = re.findall(r"^prefect==(\S+)", (ROOT / "requirements.lock").read_text(), re.M)
    image = (DEPLOYMENTS / "Dockerfile").read_text()
    assert "pip install --no-deps --require-hashes -r requirements.lock" in image
    assert set(re.findall(r"prefect[:=]+(\d+\.\d+\.\d+)", text_of_deployments())) <= {prefect}
    (torch,) = re.findall(r"^TORCH = (\S+)$", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"torch==[\d.]+", text_of_deployments())) == {torch}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert set(re.findall(r"\boresight:(\d[\d.]*\d)", text_of_deployments())) == {version}
    for name, service in compose()["services"].items():
        assert name == "postgres" or service["image"] == f"oresight:{version}"
    assert re.search(r"^USER 10001$", image, re.M), "a run is nobody special"


def test_the_image_is_given_only_what_git_has() -> None:
    wanted = re.findall(r"^!(\S+)$", (DEPLOYMENTS / "Dockerfile.dockerignore").read_text(), re.M)
    assert [path for path in wanted if not (ROOT / path).exists()] == []
    import hatch_build

    needed = {"pyproject.toml", "hatch_build.py", "requirements.lock", "README.md", *hatch_build.PARTS}
    assert needed <= set(wanted), "what `pip install -e .` needs"
    assert not {".git", ".venv", "."} & set(wanted)


def test_nothing_is_told_to_anybody() -> None:
    for name, service in compose()["services"].items():
        assert name == "postgres" or QUIET.items() <= service["environment"].items()
    assert QUIET.items() <= systemd_environment().items()
    assert all(unit(file)["EnvironmentFile"] == ["/etc/oresight/env", "-/var/lib/oresight/.env"] for file in UNITS)


def test_a_workers_runs_give_a_sign_of_life() -> None:
    worker = compose()["services"]["worker"]["environment"]
    for environment in (worker, systemd_environment()):
        assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert worker["HF_TOKEN"] is None, "an empty one would go before the block hub-token"


def test_docker_compose_accepts_the_files() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    ours = DEPLOYMENTS / "compose.yaml", DEPLOYMENTS / "compose.gpu.yaml"
    given = {
        "POSTGRES_PASSWORD": "x",
        "PREFECT_SERVER_API_AUTH_STRING": "a:b",
        "PREFECT_API_AUTH_STRING": "a:b",
        "ORESIGHT_DATA": "/srv/oresight",
        "ORESIGHT_CONFIG": "/data/config.yaml",
    }
    for files in (ours[:1], ours):
        command = [docker, "compose", *(word for file in files for word in ("-f", str(file))), "config", "-q"]
        subprocess.run(command, check=True, env=os.environ | given)


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.stem)
def test_systemd_has_nothing_to_say_about_a_unit(file: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / file.name  # /opt/oresight is not on this machine
    copy.write_text(file.read_text().replace("/opt/oresight/.venv/bin/prefect", shutil.which("true") or "/bin/true"))
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
    about_it = [line for line in (said.stdout + said.stderr).splitlines() if file.stem in line]
    assert about_it == []
    broken = tmp_path / f"broken-{file.name}"
    broken.write_text(copy.read_text().replace("NoNewPrivileges", "NoNewPrivilege"))
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", broken], capture_output=True, text=True)
    assert "NoNewPrivilege'" in said.stdout + said.stderr, "a wrong key is told"


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.stem)
def test_a_unit_starts_again_and_may_do_little(file: Path) -> None:
    found = unit(file)
    wanted = {
        "Restart": "always",
        "User": "oresight",
        "NoNewPrivileges": "true",
        "ProtectSystem": "strict",
        "ProtectHome": "true",
        "CapabilityBoundingSet": "",
    }
    assert {key: found[key] for key in wanted} == {key: [value] for key, value in wanted.items()}
    for path in found["ReadWritePaths"][0].split():
        assert path in ("/var/lib/oresight", "/var/cache/oresight")
    (command,) = found["ExecStart"]
    assert "server start" not in command or "--host 127.0.0.1" in command


def test_the_kubernetes_template_uses_each_of_its_variables_and_no_others() -> None:
    template = yaml.safe_load((DEPLOYMENTS / "kubernetes.yaml").read_text())
    used = set(re.findall(r"\{\{ (\w+) \}\}", yaml.safe_dump(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])
    theirs = prefects_template()
    assert set(template["job_configuration"]) <= set(theirs["job_configuration"])
    assert set(theirs["variables"]["properties"]) - used <= {"cluster_config", "cpu_limit"}


def test_the_kubernetes_template_becomes_a_job_with_claim_and_gpu() -> None:
    from prefect.utilities.templating import apply_values

    template = yaml.safe_load((DEPLOYMENTS / "kubernetes.yaml").read_text())
    defaults = {k: v["default"] for k, v in template["variables"]["properties"].items() if "default" in v}
    job = apply_values(template["job_configuration"], defaults | {"gpus": 1, "command": "run", "name": "curate"})
    pod = job["job_manifest"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "oresight-data"}}]
    assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    assert QUIET["DO_NOT_TRACK"] == job["env"]["DO_NOT_TRACK"]


def is_our_command(words: list[str]) -> bool:
    return words[0] == "oresight" and words[1] in typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_the_ray_job_runs_our_command_with_actors_on_nodes_of_their_own() -> None:
    job = yaml.safe_load((DEPLOYMENTS / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert set(spec) <= {
        "entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit", "rayClusterSpec"
    }  # fmt: skip
    assert is_our_command(spec["entrypoint"].split()) and spec["shutdownAfterJobFinishes"]
    assert cluster["authOptions"] == {"mode": "token"}
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert head["rayStartParams"] == {"num-cpus": "0"} and head["serviceType"] == "ClusterIP"
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for group in (head, workers):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"] == f"oresight:{version}"
        assert {entry["name"]: entry["value"] for entry in container["env"]} == {
            "DO_NOT_TRACK": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert pod["securityContext"]["runAsNonRoot"] and not container["securityContext"]["allowPrivilegeEscalation"]
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (group is workers)


def test_ray_has_the_version_that_is_tested() -> None:
    (ray,) = re.findall(r"^ray==(\S+)", (ROOT / "requirements-dev.lock").read_text(), re.M)
    named = re.findall(r'ray(?:\[default\]==|Version: ")(\d+\.\d+\.\d+)', text_of_deployments())
    assert len(named) == 2 and set(named) == {ray}
    assert f"ray=={ray.rpartition('.')[0]}.*" in (ROOT / "pyproject.toml").read_text()


def test_the_slurm_script_starts_ray_on_all_nodes_and_our_command_on_the_first(tmp_path: Path) -> None:
    for name, body in {"scontrol": "echo node1; echo node2", "srun": 'printf "%s\\n" "$@"', "ray": "true"}.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    given = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "4"}
    environment = os.environ | given | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = DEPLOYMENTS / "cluster.sbatch"
    done = subprocess.run(["bash", script, "my config.yaml"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    slurm, _, command = done.stdout.partition("ray\n")
    assert slurm.split() == ["--no-kill", "--kill-on-bad-exit=0"]
    ray, _, ours = command.partition("\n--\n")
    assert ray.split() == [
        "symmetric-run", "--address", "node1:6379", "--min-nodes", "2", "--num-cpus", "4", "--include-dashboard=False"
    ]  # fmt: skip
    assert ours.splitlines() == ["oresight", "score", "my config.yaml"] and is_our_command(ours.split("\n"))
    assert "export RAY_AUTH_MODE=token" in script.read_text()


def prefects_template() -> dict[str, Any]:
    """The template that Prefect has for Kubernetes, from the copy in its package."""
    import prefect

    views = Path(prefect.__file__).parent / "server" / "api" / "collections_data" / "views"
    known = yaml.safe_load((views / "aggregate-worker-metadata.json").read_text())
    return known["prefect-kubernetes"]["kubernetes"]["default_base_job_configuration"]


def test_every_setting_of_prefect_that_is_named_exists() -> None:
    from prefect.settings import Settings

    def names(model: Any) -> set[str]:
        found = set()
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                found |= names(field.annotation)
            alias = getattr(field.validation_alias, "choices", [])
            found |= {str(choice).upper() for choice in [model.model_config["env_prefix"] + name, *alias]}
        return found

    named = set(re.findall(r"\bPREFECT_[A-Z0-9_]+", PAGE + text_of_deployments()))
    by_the_environment_only = {"PREFECT_SERVER_ENCRYPTION_KEY"}
    assert len(named) > 10 and named - names(Settings) == by_the_environment_only


def test_every_command_that_the_page_names_exists() -> None:
    ours = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"(?:^|&& |[`(]|exec worker )oresight ([a-z]+)", PAGE, re.M))
    assert {"curate", "sql", "backup", "approve", "deploy"} <= named
    assert named <= ours, f"no such command: {', '.join(sorted(named - ours))}"
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.M))
    wanted = set(re.findall(r"\bmake ([\w./-]+)(?=\s)", "\n".join(code_of_the_page())))
    assert {"serve", ".venv/installed"} <= wanted <= targets


def test_every_file_that_the_page_names_exists() -> None:
    code = "\n".join(code_of_the_page())
    named = {path.rstrip("./") for path in re.findall(r"(?<![\w.])(?:/opt/oresight/)?(deployments/[\w./-]+)", code)}
    made_by_the_reader = {"deployments/.env"}
    assert {"deployments/compose.yaml", "deployments/prefect.yaml", "deployments/kubernetes.yaml"} <= named
    assert sorted(path for path in named - made_by_the_reader if not (ROOT / path).exists()) == []
    links = {link for link in re.findall(r"\]\(([^)#]+)\)", PAGE) if "://" not in link}
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def code_of_the_page() -> list[str]:
    """Its blocks of commands and what stands between backticks."""
    return [f"{block or word}\n" for block, word in re.findall(r"```sh\n(.*?)```|`([^`\n]+)`", PAGE, re.S)]


def test_every_figure_of_the_page_has_a_command_that_exists() -> None:
    benches = set(re.findall(r"tests/bench/bench_\w+\.py", PAGE))
    assert len(benches) >= 5
    assert all((ROOT / bench).is_file() for bench in benches)
