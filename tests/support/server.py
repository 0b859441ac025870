"""A real Prefect server on loopback with what is in deployments/, a worker, and a small configuration."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from playwright.sync_api import Page
from prefect.client.base import PrefectHttpxSyncClient

from oresight.tasks.database import reading
from tests.support.environments import ROOT, makefile_environment

BIN = Path(sys.executable).parent
EASY = ROOT / "tests" / "data" / "easy_vqa"
TOKEN = "hub-token-that-nobody-must-see"
"""The secret in the block hub-token of every server."""
PASSWORD = "oresight:password-that-nobody-must-see"
"""The password of every server."""
TERMINAL_STATES = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED", "PAUSED")


def free_port() -> int:
    """A port that no process listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Server:
    """Started with `start`, ended with `stop`; `folder` holds all that it writes.

    environment: that of the server and of all other processes, by default that of `make serve`. Folder, address and
    database are replaced, because they are the test's own.
    """

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{free_port()}"
        own = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        self.environment = (
            own
            | (makefile_environment() if environment is None else environment)
            | {
                "PREFECT_HOME": str(folder / "prefect"),
                "PREFECT_API_URL": f"{self.url}/api",
                "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
                "PREFECT_API_AUTH_STRING": PASSWORD,
                "PREFECT_WORKER_QUERY_SECONDS": "2",
                "OMP_NUM_THREADS": "1",
            }
        )
        self.processes: list[subprocess.Popen[bytes]] = []
        self.client = PrefectHttpxSyncClient(  # asks again where SQLite was locked, as all of Prefect's clients do
            base_url=f"{self.url}/api",
            timeout=90,
            auth=tuple(PASSWORD.split(":")),
            raise_on_all_errors=False,
            enable_csrf_support=True,
        )
        rows, trusted = (json.loads((EASY / name).read_text()) for name in ("rows.json", "trusted.json"))
        shutil.copytree(EASY / "images", folder / "images")
        (folder / "rows.json").write_text(json.dumps(rows[:80]))
        (folder / "all.json").write_text(json.dumps(rows))
        (folder / "trusted.json").write_text(json.dumps(trusted[:60]))

    def run(self, *command: str, name: str = "") -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own. Its output goes to a file."""
        with (self.folder / f"{name or command[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def start(self) -> None:
        """Start the server, deploy what is in deployments/ and start a worker."""
        self.start_server()
        config = self.folder / "config.yaml"
        config.write_text(yaml.safe_dump(self.config("nightly")))
        done = self.run("oresight", "deploy", str(config))
        assert done.wait(180) == 0, (self.folder / "oresight.log").read_text()
        self.start_worker()

    def start_with(self, flow: str) -> None:
        """Start the server with one deployment, of this flow, and a worker. It takes half the time of `start`."""
        self.start_server()
        self.ask("POST", "/work_pools/", {"name": "oresight", "type": "process"})
        file = ("--prefect-file", "deployments/prefect.yaml")
        done = self.run("prefect", "--no-prompt", "deploy", "--name", flow, *file, name="deploy")
        assert done.wait(180) == 0, (self.folder / "deploy.log").read_text()
        self.start_worker()

    def start_worker(self) -> None:
        """Start a worker, which is `worker` from now on."""
        self.worker = self.run("prefect", "worker", "start", "--pool", "oresight", "--type", "process", name="worker")

    def start_server(self) -> None:
        """Start the server alone and wait until it answers."""
        port = self.url.rpartition(":")[2]
        self.run("prefect", "server", "start", "--host", "127.0.0.1", "--port", port, name="server")
        for _ in range(600):
            with suppress(httpx.TransportError):
                if self.client.get("/health").is_success:
                    return
            time.sleep(0.2)
        raise AssertionError((self.folder / "server.log").read_text()[-3000:])

    def log_in(self, tab: Page) -> None:
        """Give the password to the login form of the server's pages."""
        tab.goto(f"{self.url}/login")
        tab.get_by_role("textbox").or_(tab.locator("input[type=password]")).first.fill(PASSWORD)
        tab.keyboard.press("Enter")
        tab.wait_for_url(f"{self.url}/dashboard")

    def keep_secret(self) -> None:
        """Make the block hub-token."""
        secret = self.ask("GET", "/block_types/slug/secret")["id"]
        schema = self.ask("POST", "/block_schemas/filter", {"block_schemas": {"block_type_id": {"any_": [secret]}}})[0]
        ids = {"block_type_id": secret, "block_schema_id": schema["id"]}
        self.ask("POST", "/block_documents/", {"name": "hub-token", "data": {"value": TOKEN}} | ids)

    def stop(self) -> None:
        """Kill all processes."""
        for process in reversed(self.processes):
            self.kill(process, signal.SIGKILL)
        self.client.close()

    def kill(self, process: subprocess.Popen[bytes], how: int = signal.SIGKILL) -> None:
        """End a process and all that it has started."""
        self.signal(process, how)
        process.wait(60)

    def signal(self, process: subprocess.Popen[bytes], how: int) -> None:
        """Send a signal to a process and all that it has started."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            for member in [*root.children(recursive=True), root]:
                with suppress(psutil.NoSuchProcess):
                    member.send_signal(how)

    def config(self, name: str, **sections: Any) -> dict[str, Any]:
        """The VQA sample, smaller, in a database of this name."""
        tree: dict[str, Any] = {
            "database": str(self.folder / f"{name}.duckdb"),
            "dataset": {"name": "easy", "path": str(self.folder / "rows.json")},
            "reference": {"name": "trusted", "path": str(self.folder / "trusted.json")},
            "model": {"name": "easy-vqa-llava"},
            "splitting": {"name": name, "keep": 0.8},
            "publishing": {"folder": str(self.folder / "out")},
        }
        return tree | {key: tree.get(key, {}) | value for key, value in sections.items()}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API, which must succeed. Returns its answer."""
        answer = self.client.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def create_run(self, flow: str, config: dict[str, Any], **parameters: Any) -> httpx.Response:
        """Create a run of a deployment. Returns the API's response."""
        deployment = self.ask("GET", f"/deployments/name/{flow}/{flow}")["id"]
        body = {"parameters": {"config": config} | parameters, "state": {"type": "SCHEDULED"}}
        return self.client.post(f"/deployments/{deployment}/create_flow_run", json=body)

    def wait(self, run: str, *states: str, seconds: float = 180) -> dict[str, Any]:
        """Wait until a run is in one of these states, or in a terminal one. States are types or names."""
        deadline = time.monotonic() + seconds
        while True:
            flow_run: dict[str, Any] = self.ask("GET", f"/flow_runs/{run}")
            state = flow_run["state"] or {"type": None, "name": None}
            if state["name"] in states or state["type"] in states or (not states and state["type"] in TERMINAL_STATES):
                return flow_run
            assert time.monotonic() < deadline, f"{state}\n{self.log_text(run)}"
            time.sleep(1)

    def logs(self, run: str) -> list[str]:
        """The log lines of a run, in order."""
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        return [line["message"] for line in self.ask("POST", "/logs/filter", body)]

    def wait_for_log(self, run: str, words: str, seconds: float = 180) -> None:
        """Wait until a log line of a run contains these words."""
        deadline = time.monotonic() + seconds
        while not any(words in line for line in self.logs(run)):
            assert time.monotonic() < deadline, self.log_text(run)
            time.sleep(0.5)

    def until_heartbeat(self, run: str, seconds: float = 180) -> None:
        """Wait until the server has the first heartbeat of a run."""
        resource = {"id": [f"prefect.flow-run.{run}"]}
        wanted = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": resource}}
        deadline = time.monotonic() + seconds
        while not self.ask("POST", "/events/filter", wanted)["events"]:
            assert time.monotonic() < deadline, self.log_text(run)
            time.sleep(0.5)

    def log_text(self, run: str) -> str:
        return "\n".join([*self.logs(run), (self.folder / "worker.log").read_text()[-3000:]])


def query(database: str, question: str) -> list[tuple[Any, ...]]:
    """The rows that a SQL question returns."""
    with reading(database) as connection:
        return connection.execute(question).fetchall()


COMPARED = {
    "rows": "SELECT dataset, sample_id FROM rows ORDER BY ALL",
    "scores": "SELECT dataset, sample_id, round(nll, 3) FROM scores ORDER BY ALL",
    "scored once": "SELECT count(*), count(DISTINCT sample_id) FROM store.scores",
    "flags": "SELECT sample_id, check_name FROM flags ORDER BY ALL",
    "splits": "SELECT version, rows_kept, rows_dropped, rows_flagged FROM splits",
    "split_rows": "SELECT sample_id, decision FROM split_rows ORDER BY ALL",
}
"""Questions whose answers are the same after a killed and an undisturbed run."""
