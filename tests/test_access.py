"""Pages of other sites cannot use a Prefect server that runs as `make serve`, systemd or compose start it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.support.environments import ROOT, compose_environment, makefile_environment, systemd_environment
from tests.support.server import PASSWORD, Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

OWN_PAGES = ("http://127.0.0.1:4200", "http://localhost:4200")
FOREIGN_PAGES = ("https://evil.example", "http://127.0.0.1:4201", "http://localhost:4200.evil.example", "null")


def send(server: Server, method: str, path: str, origin: str, **request: Any) -> httpx.Response:
    """What a browser sends for a page of this origin that knows the password: no token, no client of Prefect's."""
    headers = {"Origin": origin} | request.pop("headers", {})
    with httpx.Client(auth=tuple(PASSWORD.split(":"))) as browser:
        return browser.request(method, f"{server.url}/api{path}", headers=headers, timeout=60, **request)


def test_only_the_pages_of_the_server_itself_pass_the_preflight(bare_server: Server) -> None:
    for method, path in (("POST", "/deployments/"), ("DELETE", "/work_pools/oresight"), ("PATCH", "/automations/1")):
        wish = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}
        for origin in OWN_PAGES:
            answer = send(bare_server, "OPTIONS", path, origin, headers=wish)
            assert answer.is_success and answer.headers["Access-Control-Allow-Origin"] == origin
        for origin in FOREIGN_PAGES:
            answer = send(bare_server, "OPTIONS", path, origin, headers=wish)
            assert answer.status_code == 400 and "Access-Control-Allow-Origin" not in answer.headers, origin


@pytest.mark.parametrize("body_type", ["text/plain", "application/x-www-form-urlencoded", "application/json", None])
def test_a_request_that_needs_no_preflight_changes_nothing(bare_server: Server, body_type: str | None) -> None:
    """A browser sends such a POST and hides the answer from the page only, so the server itself must refuse it."""
    headers = {"Content-Type": body_type} if body_type else {}
    body = json.dumps({"name": "planted"}).encode()
    for origin in (*FOREIGN_PAGES, *OWN_PAGES):
        answer = send(bare_server, "POST", "/flows/", origin, headers=headers, content=body)
        assert answer.status_code == 403 and "CSRF" in answer.text, answer.text
    assert not [flow for flow in bare_server.ask("POST", "/flows/filter", {}) if flow["name"] == "planted"]


def test_the_token_that_a_change_needs_is_readable_by_the_servers_own_pages_only(bare_server: Server) -> None:
    for origin in FOREIGN_PAGES:
        answer = send(bare_server, "GET", "/csrf-token?client=page", origin)
        assert "Access-Control-Allow-Origin" not in answer.headers, origin
    for origin in OWN_PAGES:
        answer = send(bare_server, "GET", "/csrf-token?client=page", origin)
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        token = {"Prefect-Csrf-Token": answer.json()["token"], "Prefect-Csrf-Client": "page"}
        made = send(
            bare_server, "POST", "/flows/", origin, headers=token, json={"name": f"own-{OWN_PAGES.index(origin)}"}
        )
        assert made.status_code == 201 and made.headers["Access-Control-Allow-Origin"] == origin


def test_prefects_own_clients_work(bare_server: Server) -> None:
    for command in (
        ("work-pool", "create", "pool", "--type", "process"),
        ("api", "POST", "/flows/", "--data", '{"name": "by-prefect-api"}'),
    ):
        process = bare_server.run("prefect", *command, name="cli")
        assert process.wait(120) == 0, (bare_server.folder / "cli.log").read_text()
    assert bare_server.ask("GET", "/work_pools/pool")["type"] == "process"
    assert "by-prefect-api" in [flow["name"] for flow in bare_server.ask("POST", "/flows/filter", {})]


def test_without_the_password_no_route_answers_whatever_the_host_is_called(bare_server: Server) -> None:
    """DNS rebinding: the browser sends the name of a foreign host, and takes the server's answers for that host's."""
    with httpx.Client(base_url=bare_server.url, timeout=60) as browser:
        routes = browser.get("/openapi.json").json()["paths"]
        assert len(routes) > 100
        for host in (bare_server.url.partition("//")[2], "evil.example"):
            for route, methods in routes.items():
                path = "/api" + re.sub(r"{\w+(:path)?}", "x", route.removeprefix("/api"))
                for method in methods:
                    answer = browser.request(method.upper(), path, headers={"Host": host, "Content-Type": "text/plain"})
                    open_to_all = method == "get" and path in ("/api/health", "/api/ready")
                    assert answer.status_code in ((200,) if open_to_all else (401, 403)), f"{method} {path}"
                    assert "WWW-Authenticate" not in answer.headers, "a browser would keep and send it by itself"
    wrong = httpx.get(f"{bare_server.url}/api/flows/x", auth=("oresight", "wrong"))
    assert wrong.status_code == 401


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled"])
@pytest.mark.parametrize("token", [None, "oresight:wrong"])
def test_without_the_password_no_socket_answers(bare_server: Server, path: str, token: str | None) -> None:
    for protocols in (None, ["prefect"]):
        with pytest.raises(WebSocketException):
            address = f"{bare_server.url.replace('http', 'ws')}/api/{path}"
            with connect(address, origin="https://evil.example", subprotocols=protocols) as socket:
                socket.send(json.dumps({"type": "auth", "token": token}))
                socket.recv(timeout=30)


@pytest.fixture
def foreign_site(tmp_path: Path) -> Iterator[str]:
    """The address of an empty page on another port of this machine, which is another site."""
    (tmp_path / "index.html").write_text("<html></html>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as site:
        Thread(target=site.serve_forever).start()
        yield f"http://127.0.0.1:{site.server_port}/"
        site.shutdown()


ATTACK = """async server => {
    const answers = [], socket = new WebSocket(server.replace("http", "ws") + "/api/events/in");
    const closed = new Promise(resolve => {
        socket.onclose = () => resolve("closed");
        socket.onopen = () => resolve("open");
    });
    for (const headers of [{}, {"Content-Type": "application/json"}, {"Authorization": "Basic b3Jlc2lnaHQ6d3Jvbmc="}])
        for (const mode of ["cors", "no-cors"])
            for (const path of ["/flows/", "/deployments/", "/flows/filter", "/work_pools/"])
                try {
                    const body = JSON.stringify({name: "planted", type: "process"});
                    const answer = await fetch(server + "/api" + path, {method: "POST", mode, headers, body});
                    answers.push(answer.status)
                } catch { answers.push("refused") }
    const health = await fetch(server + "/api/health", {mode: "no-cors"});
    return [answers, health.type, await closed]
}"""
"""What a page tries against the server: to create things, to read them, and to open a socket."""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_a_page_in_a_browser_changes_nothing_from_another_site_nor_under_another_name(
    bare_server: Server, foreign_site: str
) -> None:
    from playwright.sync_api import sync_playwright

    rebound = f"http://evil.example:{bare_server.url.rpartition(':')[2]}"
    with sync_playwright() as playwright:
        names = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP evil.example 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=names)
        tab = browser.new_page()
        for page, server in ((foreign_site, bare_server.url), (f"{rebound}/docs", rebound)):
            tab.goto(page)
            answers, health, socket = tab.evaluate(ATTACK, server)
            assert health in ("opaque", "basic"), "the page reaches the server"
            assert set(answers) <= {"refused", 0, 401, 403} and socket == "closed", page
        bare_server.log_in(tab)
        tab.goto(f"{bare_server.url}/flows")
        tab.get_by_role("heading", name="Flows").or_(tab.get_by_text("Flows", exact=True)).first.wait_for()
        assert "/login" not in tab.url
        browser.close()
    for path in ("/flows/filter", "/deployments/filter", "/work_pools/filter"):
        assert "planted" not in json.dumps(bare_server.ask("POST", path, {}))


def test_the_password_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    def make(file: Path) -> dict[str, str]:
        subprocess.run(["sh", str(ROOT / "deployments" / "password.sh"), str(file)], check=True)
        assert file.stat().st_mode & 0o777 == 0o600
        return dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)

    made = make(tmp_path / ".env")
    assert make(tmp_path / ".env") == made, "the second start keeps it"
    assert made["PREFECT_SERVER_API_AUTH_STRING"] == made["PREFECT_API_AUTH_STRING"]
    assert re.fullmatch("oresight:[0-9a-f]{48}", made["PREFECT_API_AUTH_STRING"])
    (tmp_path / "other").write_text("POSTGRES_PASSWORD=mine")
    (tmp_path / "other").chmod(0o644)
    other = make(tmp_path / "other")
    assert other["POSTGRES_PASSWORD"] == "mine" and other["PREFECT_API_AUTH_STRING"] != made["PREFECT_API_AUTH_STRING"]


def test_programs_that_start_beside_the_password_use_it_and_another_is_a_sentence(
    bare_server: Server, tmp_path: Path
) -> None:
    """As after `make serve`: the settings come from .env in the folder, and nothing in the environment names them."""
    given = {key: value for key, value in bare_server.environment.items() if "AUTH_STRING" not in key}
    bin_folder = ROOT / ".venv" / "bin"
    (tmp_path / "deployments").symlink_to(ROOT / "deployments")
    (tmp_path / ".env").write_text(f"PREFECT_API_AUTH_STRING={PASSWORD}\n")
    subprocess.run([bin_folder / "prefect", "work-pool", "ls"], cwd=tmp_path, env=given, check=True)
    (tmp_path / ".env").write_text("PREFECT_API_AUTH_STRING=oresight:wrong\n")
    refused = subprocess.run(
        [bin_folder / "oresight", "deploy"], cwd=tmp_path, env=given, capture_output=True, text=True
    )
    assert refused.returncode == 2 and "PREFECT_API_AUTH_STRING: is not the server's password" in refused.stderr


def test_every_way_to_start_a_server_gives_it_the_password() -> None:
    assert "\tsh deployments/password.sh .env\n" in (ROOT / "Makefile").read_text()
    assert ".env" in {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    units = {name: (ROOT / f"deployments/systemd/oresight-{name}.service").read_text() for name in ("server", "worker")}
    assert "ExecStartPre=/bin/sh /opt/oresight/deployments/password.sh /var/lib/oresight/.env\n" in units["server"]
    assert all("EnvironmentFile=-/var/lib/oresight/.env\n" in unit for unit in units.values())
    assert str(compose_environment()["PREFECT_SERVER_API_AUTH_STRING"]).startswith("${PREFECT_SERVER_API_AUTH_STRING:?")
    for service in ("register", "worker"):
        assert str(compose_environment(service)["PREFECT_API_AUTH_STRING"]).startswith("${PREFECT_API_AUTH_STRING:?")


def test_make_systemd_and_compose_protect_the_server_alike() -> None:
    """The server of the other tests has the environment of `make serve`."""
    made, unit, container = (
        {key: value for key, value in environment.items() if re.match("PREFECT_SERVER_(CORS|CSRF|UI)_", key)}
        for environment in (makefile_environment(), systemd_environment(), compose_environment())
    )
    assert made == unit == container
    assert made["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",") == list(OWN_PAGES)
