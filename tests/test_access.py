"""Pages of other sites cannot use a Prefect server that runs as `make serve`, systemd or compose start it."""

import json
import re
from typing import Any

import httpx
import pytest

from tests.support.environments import compose_environment, makefile_environment, systemd_environment
from tests.support.server import Server

OWN_PAGES = ("http://127.0.0.1:4200", "http://localhost:4200")
FOREIGN_PAGES = ("https://evil.example", "http://127.0.0.1:4201", "http://localhost:4200.evil.example", "null")


def send(server: Server, method: str, path: str, origin: str, **request: Any) -> httpx.Response:
    """What a browser sends for a page of this origin: no token, no client of Prefect's."""
    headers = {"Origin": origin} | request.pop("headers", {})
    with httpx.Client() as browser:
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


def test_make_systemd_and_compose_protect_the_server_alike() -> None:
    """The server of the other tests has the environment of `make serve`."""
    made, unit, container = (
        {key: value for key, value in environment.items() if re.match("PREFECT_SERVER_(CORS|CSRF|API|UI)_", key)}
        for environment in (makefile_environment(), systemd_environment(), compose_environment())
    )
    assert made == unit == container
    assert made["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",") == list(OWN_PAGES)
