"""`oresight push` against a hub on loopback: what is uploaded, what is refused, and what is said when it fails."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner, Result

from oresight.flows.cli import app
from oresight.tasks.config import Curate
from oresight.tasks.publishing.gate import record_answer
from oresight.tasks.runs.faults import Unreachable
from oresight.tasks.runs.record import Refused
from tests.test_publish import release, some
from tests.test_split import settings
from tests.test_verify import swap_bytes


class Hub:
    """A hub with at most one repository. It answers what the client of the installed version asks."""

    def __init__(self, url: str) -> None:
        self.url, self.repository = url, ""
        self.is_private: bool | None = None
        self.files = dict[str, bytes]()
        self.requests = list[str]()
        self.failure: tuple[int, str] | None = None
        self.failing = "/"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        self.requests.append(f"{method} {path}")
        if self.failure and path.startswith(self.failing):
            return self.failure[0], {"error": self.failure[1]}
        name = f"/api/datasets/{self.repository}"
        if path == "/api/repos/create":
            asked = json.loads(body)
            if not self.repository:
                self.repository = f"{asked['organization']}/{asked['name']}"
                self.is_private = asked["visibility"] == "private"
                return 200, {"url": f"{self.url}/datasets/{self.repository}"}
            return 409, {
                "error": "You already created this dataset repo",
                "url": f"{self.url}/datasets/{self.repository}",
            }
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == name and self.repository:
            siblings = [{"rfilename": file} for file in self.files]
            return 200, {"id": self.repository, "private": self.is_private, "siblings": siblings, "sha": "a" * 40}
        if path == f"{name}/preupload/main":
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for file in json.loads(body)["files"]]  # fmt: skip
            return 200, {"files": files}
        if path == f"{name}/commit/main":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    del self.files[line["value"]["path"]]
            return 200, {"commitUrl": f"{self.url}/datasets/{self.repository}/commit/{'a' * 40}", "commitOid": "a" * 40}
        return 404, {"error": "Repository not found"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that the client talks to, with a token."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, value = hub.answer(self.command, self.path.partition("?")[0], body)
            text = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            if code >= 400:
                self.send_header("X-Error-Message", value["error"])
                if code == 404:
                    self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub = Hub(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        point_client_to(hub.url, monkeypatch)
        yield hub
        server.shutdown()


def point_client_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT, HF_TOKEN and no HF_HUB_OFFLINE do for a new process."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_a")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """A configuration with two published versions, which tests leave as they are."""
    folder = tmp_path_factory.mktemp("push")
    config = settings(folder)
    (folder / "config.yaml").write_text(config.model_dump_json())
    release(config, some())
    release(config, some(12))
    return config


@pytest.fixture(scope="module")
def versions(config: Curate) -> tuple[Path, Path]:
    """The folders of the two versions."""
    return tuple(Path(config.publishing.folder, "chosen", name) for name in ("v1", "v2"))


def push(config: Curate, *arguments: str) -> Result:
    """Run the command. Its error is the result's exception."""
    file = Path(config.database).parent / "config.yaml"
    return CliRunner().invoke(app, ["push", str(file), "me/rows", *arguments])


def content(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_the_newest_version_is_uploaded_as_it_is_to_a_private_repository(
    hub: Hub, config: Curate, versions: tuple[Path, Path]
) -> None:
    done = push(config)
    assert (done.exit_code, done.stdout) == (0, f"{hub.url}/datasets/me/rows\n")
    assert hub.files == content(versions[1]) and {"train.parquet", "README.md", "manifest.json"} <= hub.files.keys()
    assert (hub.repository, hub.is_private) == ("me/rows", True)
    assert push(config).exit_code == 0, "it may be pushed again"


def test_an_earlier_version_replaces_our_files_and_leaves_those_of_others(
    hub: Hub, config: Curate, versions: tuple[Path, Path]
) -> None:
    hub.repository, hub.is_private = "me/rows", True
    hub.files = dict.fromkeys(("train.json", "images/a.png", "LICENSE", ".gitattributes"), b"old")
    assert push(config, "--version", "1").exit_code == 0
    assert hub.files == content(versions[0]) | dict.fromkeys(("LICENSE", ".gitattributes"), b"old")


def test_a_repository_is_public_only_if_that_is_said_and_then_without_the_dropped_rows(
    hub: Hub, config: Curate, versions: tuple[Path, Path]
) -> None:
    assert push(config, "--public").exit_code == 0 and hub.is_private is False
    assert content(versions[1]).keys() - hub.files.keys() == {"dropped.parquet"}
    again = push(config)
    assert isinstance(again.exception, ValueError)
    assert str(again.exception).startswith("me/rows: anyone can read this repository; say --public")
    assert push(config, "--public").exit_code == 0


def test_what_verify_calls_altered_is_refused(hub: Hub, config: Curate, versions: tuple[Path, Path]) -> None:
    more, file = versions[1] / "more.txt", versions[1] / "train.jsonl"
    more.touch()
    done = push(config)
    assert isinstance(done.exception, Refused) and "more.txt is not in the manifest" in str(done.exception)
    more.unlink()
    original = file.read_bytes()
    swap_bytes(versions[1])
    assert "train.jsonl has another content" in str(push(config).exception) and hub.requests == []
    file.write_bytes(original)


def test_what_nobody_approved_is_refused(hub: Hub, config: Curate) -> None:
    approval = "--set", "publishing.approval=required"
    done = push(config, *approval)
    assert isinstance(done.exception, Refused) and "waits for approval" in str(done.exception)
    record_answer(config, 2, "rejected", "Ann")
    assert "Ann rejected it" in str(push(config, *approval).exception) and hub.requests == []
    record_answer(config, 2, "approved", "Ann")
    assert push(config, *approval).exit_code == 0


def test_what_was_not_published_cannot_be_pushed(hub: Hub, config: Curate, versions: tuple[Path, Path]) -> None:
    assert "no v3 of chosen is published; `oresight publish" in str(push(config, "--version", "3").exception)
    away = versions[1].rename(versions[1].with_name("away"))
    assert "v2: is not there; `oresight publish CONFIG.yaml` writes it again" in str(push(config).exception)
    away.rename(versions[1])
    assert hub.requests == []


@pytest.mark.parametrize("name", ["rows", "me/", "/rows", "me/a/b", "me/a b", "me/..a"])
def test_a_wrong_name_is_a_sentence(hub: Hub, config: Curate, name: str) -> None:
    file = Path(config.database).parent / "config.yaml"
    done = CliRunner().invoke(app, ["push", str(file), name])
    assert isinstance(done.exception, ValueError) and hub.files == {}
    assert str(done.exception).startswith(f"{name}: is not the name of a repository")


FAILURES = {
    "no permission": (403, "You may not create a dataset under me", ValueError, "does not let this token write"),
    "wrong token": (401, "Invalid credentials", ValueError, "set HF_TOKEN to one that may write"),
    "wrong request": (400, "Too many files", ValueError, r"me/rows: the hub refuses it \(400: Too many files"),
    "broken": (500, "Oh", Unreachable, r"fails \(500: Oh.*run again later"),
    "busy": (429, "Slow down", Unreachable, "run again later"),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_of_the_hub_is_a_sentence_with_the_cure(hub: Hub, config: Curate, failure: str) -> None:
    code, text, kind, sentence = FAILURES[failure]
    hub.failure, hub.failing = (code, text), "/api/repos/create"
    with pytest.raises(kind, match=sentence):
        raise push(config).exception or AssertionError


def test_without_a_token_or_a_network_the_cure_is_named(
    hub: Hub, config: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_client_to("http://127.0.0.1:9", monkeypatch)
    done = push(config)
    assert isinstance(done.exception, Unreachable) and "cannot be reached" in str(done.exception)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set, so nothing reaches the hub; unset it" in str(push(config).exception)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    done = push(config)
    assert isinstance(done.exception, ValueError)
    assert str(done.exception).startswith("no Hugging Face token is set; set HF_TOKEN to one that may write")
