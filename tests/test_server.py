"""On a real Prefect server: deployments run by schedule and API, and their pages show what they did."""

import json
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.support.server import BIN, COMPARED, PASSWORD, ROOT, TOKEN, Server, query

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def nightly(server: Server) -> dict[str, Any]:
    """The run that a schedule started, ended."""
    deployment = server.ask("GET", "/deployments/name/curate/curate")["id"]
    for seconds in (15, 60):  # a server that is too busy to plan it before then plans tomorrow's
        soon = datetime.now(UTC) + timedelta(seconds=seconds)
        schedule = {"interval": 86_400, "anchor_date": soon.isoformat(), "timezone": "UTC"}
        server.ask("POST", f"/deployments/{deployment}/schedules", [{"schedule": schedule, "active": True}])
        today = {"deployment_id": {"any_": [deployment]}, "expected_start_time": {"before_": soon.isoformat()}}
        while datetime.now(UTC) < soon + timedelta(seconds=20):
            if runs := server.ask("POST", "/flow_runs/filter", {"flow_runs": today}):
                return server.wait(runs[0]["id"], seconds=240)
            time.sleep(1)
    raise AssertionError((server.folder / "server.log").read_text()[-3000:])


def test_all_deployments_of_the_file_are_registered(server: Server) -> None:
    wanted = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
    for one in wanted:
        found = server.ask("GET", f"/deployments/name/{one['name']}/{one['name']}")
        assert found["parameters"]["config"]["database"] == server.config("nightly")["database"]
        assert [s["schedule"] for s in found["schedules"]] or not one.get("schedules")
        assert found["enforce_parameter_schema"]
    automations = {one["name"] for one in server.ask("POST", "/automations/filter", {})}
    assert {
        one["name"] for one in yaml.safe_load((ROOT / "deployments/automations.yaml").read_text())["automations"]
    } <= automations
    again = server.run("oresight", "deploy", str(server.folder / "config.yaml"), name="again")
    assert again.wait(180) == 0
    assert len(server.ask("POST", "/automations/filter", {})) == len(automations), "made twice"


def test_a_scheduled_run_fires_by_itself_and_shows_what_it_did(server: Server, nightly: dict[str, Any]) -> None:
    assert nightly["state"]["type"] == "COMPLETED", server.log_text(nightly["id"])
    assert nightly["auto_scheduled"] and nightly["name"] == "curate easy"
    ((version, kept),) = query(server.config("nightly")["database"], "SELECT version, rows_kept FROM splits")
    artifacts = server.ask("POST", "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [nightly["id"]]}}})
    shown = {one["key"]: one for one in artifacts if one["key"]}
    assert {"nightly-counts": "table", "nightly-summary": "markdown", "nightly-lineage": "markdown",
            "nightly-histogram": "image", "nightly-detectability": "image", "nightly-calibration": "image",
            "nightly-report": "markdown", "nightly-split": "markdown"}.items() <= {
        key: one["type"] for key, one in shown.items()}.items()  # fmt: skip
    assert "swapped_answer" in shown["nightly-summary"]["data"]
    assert shown["nightly-lineage"]["data"].startswith("```mermaid")
    assert "rows.json" in shown["nightly-lineage"]["data"] and "split: nightly/v1" in shown["nightly-lineage"]["data"]
    assert [one for one in artifacts if one["type"] == "progress"], "no progress was shown"
    server.wait_for_log(nightly["id"], f"split: nightly/v{version} keeps {kept} rows")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_the_pages_show_the_form_the_run_and_what_it_found(server: Server, nightly: dict[str, Any]) -> None:
    from playwright.sync_api import expect, sync_playwright

    deployment, run = nightly["deployment_id"], nightly["id"]
    artifacts = server.ask("POST", "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    ids = {one["key"]: one["id"] for one in artifacts}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 1300, "height": 1100})
        tab.set_default_timeout(60_000)
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        server.log_in(tab)
        tab.goto(f"{server.url}/deployments/deployment/{deployment}/run")
        expect(tab.get_by_text("Target share of good rows among the rows", exact=False)).to_be_visible()
        field = tab.locator(".p-label", has_text="False Discovery Rate (Optional)").last.locator("input")
        field.fill("2")
        tab.get_by_role("button", name="Submit").click()
        expect(tab.get_by_text("'config.flagging.false_discovery_rate'", exact=False).first).to_be_visible()
        tab.goto(f"{server.url}/runs/flow-run/{run}")
        tab.get_by_text("Artifacts", exact=True).click()
        expect(tab.get_by_text("nightly-counts")).to_be_visible()
        tab.screenshot(path=str(server.folder / "run.png"))
        tab.goto(f"{server.url}/artifacts/artifact/{ids['nightly-summary']}")
        expect(tab.get_by_role("cell", name="swapped_answer")).to_be_visible()
        tab.goto(f"{server.url}/artifacts/artifact/{ids['nightly-detectability']}")
        picture = tab.locator("img[src^='data:image/svg']").first
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") > 100
        browser.close()
    assert {url.split("/")[2] for url in asked if url.startswith(("http", "ws"))} == {server.url.split("/")[2]}


def test_a_wrong_parameter_is_refused_with_a_sentence(server: Server) -> None:
    refused = server.create_run("curate", server.config("wrong", splitting={"keep": 2}))
    assert refused.status_code == 409 and "config.splitting.keep" in refused.text, refused.text
    refused = server.create_run("curate", server.config("wrong") | {"colour": "red"})
    assert refused.status_code == 409 and "colour" in refused.text
    run = server.create_run("curate", server.config("wrong", splitting={"rows": 3})).json()["id"]
    ended = server.wait(run)
    cli = subprocess.run(
        [BIN / "oresight", "curate", server.folder / "config.yaml", "--set", "splitting.rows=3"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    sentence = "splitting: give one of keep, rows and tokens, not keep and rows"
    assert cli.returncode == 2 and sentence in cli.stderr
    assert ended["state"]["type"] == "FAILED" and sentence in ended["state"]["message"]
    assert ended["total_run_time"] < 1


@pytest.mark.usefixtures("nightly")
def test_runs_that_meet_take_turns(server: Server) -> None:
    config = server.folder / "meeting.yaml"
    config.write_text(yaml.safe_dump(server.config("meeting")))
    run = server.create_run("curate", server.config("meeting")).json()["id"]
    pair = [server.run("oresight", command, str(config), name=command) for command in ("curate", "ingest")]
    assert [process.wait(240) for process in pair] == [0, 0], (server.folder / "curate.log").read_text()
    assert server.wait(run)["state"]["type"] == "COMPLETED", server.log_text(run)
    found = query(server.config("meeting")["database"], "SELECT state, rows_scored FROM runs ORDER BY started_at")
    assert [state for state, _ in found] == ["completed"] * 3
    assert sorted(rows for _, rows in found) == [0, 0, 140], "scored twice"
    alone = server.config("nightly")["database"]
    for name, question in COMPARED.items():
        assert query(server.config("meeting")["database"], question) == query(alone, question), name


def test_a_file_that_changed_starts_one_run(server: Server) -> None:
    config = server.config("watched", dataset={"path": str(server.folder / "incoming.json")})
    (server.folder / "incoming.json").write_text((server.folder / "rows.json").read_text())
    time.sleep(11)  # a file is left alone while it may still be written
    looks = [server.create_run("watch", config).json()["id"]]
    assert server.wait(looks[0])["state"]["type"] == "COMPLETED", server.log_text(looks[0])
    server.wait_for_log(looks[0], "the files have changed")
    curate = server.ask("GET", "/deployments/name/curate/curate")["id"]
    runs = server.ask("POST", "/flow_runs/filter", {"flow_runs": {"deployment_id": {"any_": [curate]}}})
    (started,) = [one for one in runs if one["parameters"]["config"]["database"] == config["database"]]
    assert server.wait(started["id"])["state"]["type"] == "COMPLETED", server.log_text(started["id"])
    looks.append(server.create_run("watch", config).json()["id"])
    server.wait(looks[1])
    server.wait_for_log(looks[1], "nothing new")


def test_an_evaluation_runs_like_any_flow_and_leaves_rows_and_splits_alone(
    server: Server, nightly: dict[str, Any]
) -> None:
    config = server.config("nightly", evaluating={"rows": 40, "seeds": 2})
    before = [query(config["database"], question) for question in COMPARED.values()]
    run = server.create_run("evaluate", config).json()["id"]
    assert server.wait(run)["state"]["type"] == "COMPLETED", server.log_text(run)
    assert [query(config["database"], question) for question in COMPARED.values()] == before
    kinds = query(config["database"], "SELECT DISTINCT evaluation FROM evaluations ORDER BY 1")
    assert kinds == [("approximation",), ("planted",)]
    (artifact,) = server.ask("POST", "/artifacts/filter", {"artifacts": {"key": {"any_": ["nightly-evaluation"]}}})
    assert "| 20% bad, all kinds | suspicion |" in artifact["data"]


@pytest.mark.usefixtures("nightly")
def test_nothing_listens_but_on_loopback_and_a_secret_is_written_nowhere(server: Server) -> None:
    ours = [one for process in server.processes if process.poll() is None for one in [psutil.Process(process.pid)]]
    ours += [child for one in ours for child in one.children(recursive=True)]
    listening = [c.laddr for one in ours for c in one.net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening and {address.ip for address in listening} <= {"127.0.0.1", "::1"}
    places = [
        f for f in server.folder.rglob("*") if f.is_file() and "prefect" not in f.relative_to(server.folder).parts
    ]
    assert {".duckdb", ".jsonl", ".json", ".html", ".log"} <= {file.suffix for file in places}
    secrets = TOKEN, PASSWORD
    assert [file for file in places for secret in secrets if secret.encode() in file.read_bytes()] == []
    for path in ("/logs/filter", "/artifacts/filter", "/flow_runs/filter", "/events/filter"):
        assert not [secret for secret in secrets if secret in json.dumps(server.ask("POST", path, {}))], path


@pytest.mark.usefixtures("nightly")
def test_a_runs_log_names_dataset_run_and_step_and_holds_no_text_of_rows(server: Server) -> None:
    config = server.config("nightly")
    texts = {
        row["conversations"][0]["value"].partition("\n")[2]
        for row in json.loads((server.folder / "all.json").read_text())
    }
    files = list(Path(f"{config['database']}.logs").glob("*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert {"ingest", "check", "plant", "score", "flag", "split", "report", "publish"} <= {
        line["step"] for line in lines
    }
    runs = {run for (run,) in query(config["database"], "SELECT run_id FROM runs")}
    assert all(line["dataset"] == "easy" and line["run"] in runs and line["time"] for line in lines)
    said = [line["message"] for line in lines]
    said += [line["message"] for line in server.ask("POST", "/logs/filter", {"limit": 200})]
    assert texts and not [text for text in texts for message in said if text in message]
