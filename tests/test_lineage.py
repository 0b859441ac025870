"""What a version was made from stands beside it as an OpenLineage event, and is sent where somebody listens."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.test_publish import release, some
from tests.test_split import settings


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What a receiver on this machine was sent."""
    events: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))) | {"at": self.path})
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing: the test's output is its claims."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{server.server_port}")
    yield events
    server.shutdown()
    server.server_close()


def test_the_event_beside_a_version_names_its_files_its_model_and_its_folder(tmp_path: Path) -> None:
    config = settings(tmp_path, keep=0.8)
    folder = release(config, some()).folder
    event = json.loads((folder / "openlineage.json").read_text())
    assert event["eventType"] == "COMPLETE" and event["schemaURL"].endswith("RunEvent")
    assert (event["job"]["namespace"], event["job"]["name"]) == ("oresight", "curate chosen")
    inputs = {(one["namespace"], one["name"]): one["facets"]["version"]["datasetVersion"] for one in event["inputs"]}
    assert inputs["file", "f.jsonl"] == "ab"
    assert [namespace for namespace, _ in inputs].count("model") == 1
    (output,) = event["outputs"]
    assert (output["namespace"], output["name"]) == ("file", str(folder.resolve()))
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 8
    manifest = json.loads((folder / "manifest.json").read_text())
    assert event["eventTime"] == manifest["created_at"]
    assert output["facets"]["version"]["datasetVersion"] == manifest["decision_hash"]


def test_an_event_is_sent_once_where_a_receiver_is_named(tmp_path: Path, taken: list[dict[str, Any]]) -> None:
    config = settings(tmp_path, keep=0.8)
    folder = release(config, some()).folder
    (event,) = taken
    assert event.pop("at") == "/api/v1/lineage"
    del event["run"]["facets"]["tags"]  # the client says its own version
    assert event == json.loads((folder / "openlineage.json").read_text())
    assert not release(config).new and len(taken) == 1


def test_a_receiver_that_does_not_answer_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING):
        folder = release(settings(tmp_path, keep=0.8), some()).folder
    assert (folder / "manifest.json").is_file()
    assert [one for one in caplog.messages if one.startswith("publish: the OpenLineage event was not sent")]
