"""On a real Prefect server: runs that wait for a person, are cancelled, fall silent, or are killed with a worker."""

import json
import signal
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import psutil
import pytest
import yaml

from tests.support.server import COMPARED, ROOT, Server, query

SLOW = {"batch_tokens": 16}


class Killed(NamedTuple):
    """A run whose worker was killed with it, while it was scoring; another worker is there since."""

    config: dict[str, Any]
    run: str


@pytest.fixture(scope="module")
def killed(server: Server) -> Killed:
    config = server.config("killed", dataset={"path": str(server.folder / "all.json")}, scoring=SLOW)
    run = server.create_run("score", config).json()["id"]
    server.wait_for_log(run, "index correlation")
    server.kill(server.worker)
    server.start_worker()
    return Killed(config, run)


@pytest.fixture(scope="module")
def undisturbed(server: Server) -> tuple[dict[str, Any], str]:
    """The configuration and the id of a run of `score` that nothing disturbed."""
    config = server.config("undisturbed", dataset={"path": str(server.folder / "all.json")})
    run = server.create_run("score", config).json()["id"]
    assert server.wait(run)["state"]["type"] == "COMPLETED", server.log_text(run)
    return config, run


@pytest.fixture
def impatient(server: Server) -> Iterator[str]:
    """The automation that notices dead runs, with a deadline of 10 s; what it sets to Crashed says this message."""
    file = yaml.safe_load((ROOT / "deployments" / "automations.yaml").read_text())
    (watcher,) = (
        automation for automation in file["automations"] if automation["name"] == "oresight notices runs that died"
    )
    watcher["name"], watcher["trigger"]["within"] = "impatient", 10
    watcher["actions"][0]["message"] = "No sign of life for ten seconds."
    created = server.ask("POST", "/automations/", watcher)["id"]
    yield watcher["actions"][0]["message"]
    server.ask("DELETE", f"/automations/{created}")


def test_a_silent_run_of_the_command_line_is_left_alone_where_one_of_a_deployment_is_noticed(
    server: Server, impatient: str
) -> None:
    """Both runs are alive, but stopped, so neither sends a heartbeat after its first."""
    file = server.folder / "by-hand.yaml"
    file.write_text(yaml.safe_dump(server.config("by-hand", scoring=SLOW)))
    command = server.run("oresight", "curate", str(file), name="by-hand")
    by_hand = {"deployment_id": {"is_null_": True}, "state": {"type": {"any_": ["RUNNING"]}}}
    deadline = time.monotonic() + 120
    while not (runs := server.ask("POST", "/flow_runs/filter", {"flow_runs": by_hand})):
        assert time.monotonic() < deadline and command.poll() is None, (server.folder / "by-hand.log").read_text()
        time.sleep(0.5)
    server.until_heartbeat(runs[0]["id"])
    server.signal(command, signal.SIGSTOP)
    try:
        slow = server.config("silent", dataset={"path": str(server.folder / "all.json")}, scoring=SLOW)
        silent = server.create_run("score", slow).json()["id"]
        server.until_heartbeat(silent)
        server.signal(server.worker, signal.SIGSTOP)
        noticed = server.wait(silent, "CRASHED")
        assert noticed["state"]["message"] == impatient
        assert server.ask("GET", f"/flow_runs/{runs[0]['id']}")["state"]["type"] == "RUNNING"
    finally:
        for process in psutil.Process(server.worker.pid).children(recursive=True):
            process.kill()
        server.signal(server.worker, signal.SIGCONT)
        server.signal(command, signal.SIGCONT)
    assert command.wait(240) == 0, (server.folder / "by-hand.log").read_text()
    states = server.ask("GET", f"/flow_run_states/?flow_run_id={runs[0]['id']}")
    assert [state["type"] for state in states][-2:] == ["RUNNING", "COMPLETED"]
    assert "CRASHED" not in {state["type"] for state in states}


def test_a_killed_worker_leaves_what_was_committed(server: Server, killed: Killed) -> None:
    scored = query(killed.config["database"], COMPARED["scored once"])
    assert 0 < scored[0][0] == scored[0][1]
    assert server.ask("GET", f"/flow_runs/{killed.run}")["state"]["type"] == "RUNNING", "nobody has noticed yet"


def wait_for_form(server: Server, run: str) -> None:
    """Wait until a run is suspended and the server has the form to answer, which Prefect writes behind the state."""
    assert server.wait(run)["state"]["name"] == "Suspended", server.log_text(run)
    deadline = time.monotonic() + 60
    while True:
        stored = server.ask("POST", f"/flow_runs/{run}/input/filter", {"prefix": "", "limit": 10})
        keys = {entry["key"].rpartition("-")[2] for entry in stored}
        if {"schema", "description"} <= keys and any("of 80 rows" in entry["value"] for entry in stored):
            return
        assert time.monotonic() < deadline, stored
        time.sleep(0.5)


def answer(server: Server, run: str, answers: dict[str, str]) -> str:
    """Send the form of a suspended run. Returns whether the server takes it: ACCEPT or REJECT."""
    return str(server.ask("POST", f"/flow_runs/{run}/resume", {"run_input": answers})["status"])


def test_a_run_waits_for_a_yes_and_a_no_publishes_nothing(server: Server) -> None:
    asked = {"approval": "required"}
    config = server.config("asked", publishing=asked)
    run = server.create_run("curate", config).json()["id"]
    wait_for_form(server, run)
    assert not (server.folder / "out" / "asked" / "v1").exists()
    assert answer(server, run, {"decision": "perhaps"}) == "REJECT"
    assert answer(server, run, {"decision": "approve", "who": "Ada", "note": "looked at twenty"}) == "ACCEPT"
    assert server.wait(run, "COMPLETED", "FAILED")["state"]["type"] == "COMPLETED", server.log_text(run)
    manifest = json.loads((server.folder / "out" / "asked" / "v1" / "manifest.json").read_text())
    assert manifest["approval"] == {"decision": "approved", "who": "Ada", "note": "looked at twenty"}

    config = server.config("asked", publishing=asked, splitting={"keep": 0.5})
    run = server.create_run("curate", config).json()["id"]
    wait_for_form(server, run)
    assert answer(server, run, {"decision": "reject", "who": "Ada", "note": "too few"}) == "ACCEPT"
    ended = server.wait(run, "COMPLETED", "FAILED")
    assert ended["state"]["type"] == "FAILED" and "Ada rejected it: too few" in ended["state"]["message"]
    assert not (server.folder / "out" / "asked" / "v2").exists()
    answers = query(config["database"], "SELECT version, decision, who, note FROM approvals ORDER BY version")
    assert answers == [(1, "approved", "Ada", "looked at twenty"), (2, "rejected", "Ada", "too few")]
    published = query(config["database"], "SELECT version FROM splits WHERE folder IS NOT NULL")
    assert published == [(1,)]


def test_a_cancelled_run_leaves_what_the_next_continues_from(server: Server) -> None:
    config = server.config("cancelled", dataset={"path": str(server.folder / "all.json")}, scoring=SLOW)
    run = server.create_run("curate", config).json()["id"]
    server.wait_for_log(run, "index correlation")
    server.ask("POST", f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    begun = time.monotonic()
    assert server.wait(run, "CANCELLED", "COMPLETED")["state"]["type"] == "CANCELLED"
    assert time.monotonic() - begun < 60
    (scored,) = query(config["database"], "SELECT count(*) FROM store.scores")[0]
    run = server.create_run("curate", config | {"scoring": {}}).json()["id"]
    assert server.wait(run)["state"]["type"] == "COMPLETED", server.log_text(run)
    states = query(config["database"], "SELECT state FROM runs ORDER BY started_at")
    assert [state for (state,) in states] == ["interrupted", "completed"]
    ((rows, different),) = query(config["database"], COMPARED["scored once"])
    assert 0 < scored < rows == different


def test_score_reads_and_scores_and_decides_nothing(undisturbed: tuple[dict[str, Any], str]) -> None:
    config, run = undisturbed
    ((rows, scores, splits),) = query(
        config["database"], "SELECT (SELECT count(*) FROM rows), (SELECT count(*) FROM scores), count(*) FROM splits"
    )
    assert (scores, splits) == (rows, 0) and rows > 300
    assert query(config["database"], "SELECT prefect_flow_run_id FROM runs") == [(run,)]


def test_a_killed_run_is_noticed_and_ends_as_if_undisturbed(
    server: Server, killed: Killed, undisturbed: tuple[dict[str, Any], str]
) -> None:
    ended = server.wait(killed.run, "COMPLETED", "FAILED", "CRASHED", seconds=300)
    assert ended["state"]["type"] == "COMPLETED" and ended["run_count"] == 2, server.log_text(killed.run)
    database = undisturbed[0]["database"]
    for name in ("rows", "scores", "scored once"):
        assert query(killed.config["database"], COMPARED[name]) == query(database, COMPARED[name]), name
    states = query(killed.config["database"], "SELECT state FROM runs ORDER BY started_at")
    assert states == [("interrupted",), ("completed",)]
