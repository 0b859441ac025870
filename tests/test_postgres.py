"""PostgreSQL under the Prefect server goes away for a while: a run that computes goes on, and ends."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server, free_port, query

ROOT_USER = os.geteuid() == 0
AWAY_S = 20
pytestmark = pytest.mark.skipif(
    not (shutil.which("pg_ctl") and shutil.which("initdb") and (not ROOT_USER or shutil.which("runuser"))),
    reason="there is no PostgreSQL on this machine",
)


class Postgres:
    """One on loopback, in a folder of its own. It does not run as root, so there it runs as the user postgres."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="oresight-pg-"))
        self.port = free_port()
        if ROOT_USER:
            shutil.chown(self.folder, "postgres")
        self.folder.chmod(0o700)
        self._do("initdb", "--auth=trust", "--username=prefect", "--no-sync", "-D", f"{self.folder}/data")
        self.start()
        self.url = f"postgresql+asyncpg://prefect@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        log = f"{self.folder}/log"
        self._do("pg_ctl", "start", "--wait", "-D", f"{self.folder}/data", "-l", log, "-o", options)

    def stop(self) -> None:
        self._do("pg_ctl", "stop", "--mode=immediate", "-D", f"{self.folder}/data")

    def _do(self, *command: str) -> None:
        user = ["runuser", "-u", "postgres", "--"] if ROOT_USER else []
        subprocess.run([*user, *command], check=True, cwd=self.folder, stdout=subprocess.DEVNULL)


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    one = Postgres()
    try:
        yield one
    finally:
        one.stop()
        shutil.rmtree(one.folder)


@pytest.fixture
def server(tmp_path: Path, postgres: Postgres) -> Iterator[Server]:
    one = Server(tmp_path)
    one.environment["PREFECT_API_DATABASE_CONNECTION_URL"] = postgres.url
    try:
        one.start_with("score")
        yield one
    finally:
        one.stop()


def test_a_run_outlives_twenty_seconds_without_the_servers_database(server: Server, postgres: Postgres) -> None:
    config = server.config("away", dataset={"path": str(server.folder / "all.json")}, scoring={"batch_tokens": 16})
    run = server.create_run("score", config).json()["id"]
    server.wait_for_log(run, "index correlation")
    postgres.stop()
    with httpx.Client() as client:
        ready = client.get(f"{server.url}/api/ready", timeout=60).status_code
    time.sleep(AWAY_S)
    postgres.start()
    assert ready == 503, "it was not away"
    assert server.wait(run, "COMPLETED", "FAILED", seconds=240)["state"]["type"] == "COMPLETED", server.log_text(run)
    assert query(config["database"], "SELECT count(*) - count(DISTINCT sample_id) FROM store.scores") == [(0,)]
    assert query(config["database"], "SELECT count(*) FROM scores") == query(
        config["database"], "SELECT count(*) FROM rows"
    )
    again = server.create_run("score", config).json()["id"]
    assert server.wait(again)["state"]["type"] == "COMPLETED", server.log_text(again)
