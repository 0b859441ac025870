"""What a person says of flagged rows counts: on the page, in the database, in the next split."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from oresight.tasks.check import check
from oresight.tasks.formats import recognise
from oresight.tasks.review import decide, review_queue
from oresight.tasks.runs.record import Run, recorded
from tests.support.curated import Curated

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def queue(curated: Curated) -> list[dict[str, Any]]:
    return review_queue(Run(curated.config))


def decided(curated: Curated, sample_id: str) -> tuple[str, str]:
    """In the newest version."""
    (found,) = curated.ask(
        "SELECT decision, reason FROM split_rows WHERE sample_id = ? ORDER BY version DESC LIMIT 1", sample_id
    )
    return found


@pytest.fixture
def page(curated: Curated) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "oresight.flows.cli",
        "review",
        *curated.arguments,
        "--port",
        str(port),
        "--who",
        "ana",
    ]
    elsewhere = {
        name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"
    }  # NiceGUI looks at it
    server = subprocess.Popen([*command, "--no-show"], cwd=curated.root, env=elsewhere)
    try:
        address = f"http://127.0.0.1:{port}/"
        for _ in range(240):
            try:
                urllib.request.urlopen(address, timeout=10).close()
                break
            except OSError:
                time.sleep(0.25)
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_ten_verdicts_by_keyboard_are_in_the_next_split(curated: Curated, page: str) -> None:
    from playwright.sync_api import expect, sync_playwright

    rows = queue(curated)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 900, "height": 1100})
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page)
        place = tab.get_by_test_id("place")
        for number, key in enumerate("kdrkdrkddu"):
            expect(place).to_contain_text(f"{number + 1} of {len(rows)}", timeout=20_000)
            if key == "r":
                tab.keyboard.press("r")
                answer = tab.get_by_label("the right answer, then Enter")
                expect(answer).to_be_focused()
                answer.fill("deep")
                answer.press("Shift+Enter")
                tab.keyboard.type("magenta")
                answer.press("Enter")
            elif key == "u":
                tab.keyboard.press("d")
                expect(place).to_contain_text(f"{number + 2} of {len(rows)}", timeout=20_000)
                tab.keyboard.press("ArrowLeft")
                expect(tab.get_by_test_id("verdict")).to_contain_text("drop by ana")
                tab.keyboard.press("u")
                expect(tab.get_by_test_id("verdict")).to_have_count(0)
            else:
                tab.keyboard.press(key)
        expect(tab.get_by_test_id("precision")).to_contain_text("6 of 9 flags")
        tab.screenshot(path=str(curated.folder / "review.png"))
        tab.set_viewport_size({"width": 390, "height": 844})
        tab.screenshot(path=str(curated.folder / "phone.png"))
        browser.close()
    assert {url.split("/")[2] for url in asked if url.startswith(("http", "ws"))} == {page.split("/")[2]}
    curated.oresight("curate", *curated.arguments)
    wanted = dict(zip([row["sample_id"] for row in rows[:10]], "kdrkdrkdd-", strict=True))
    for sample_id, key in wanted.items():
        decision, reason = decided(curated, sample_id)
        assert (decision, reason.split(":")[0]) == {
            "k": ("keep", "kept by hand"),
            "d": ("drop", "dropped by hand"),
            "r": ("keep", "kept by hand"),
            "-": ("drop", "flagged by looks_mislabeled"),
        }[key]
    lines = (curated.folder / "out" / "curated" / "latest" / "train.jsonl").read_text().splitlines()
    answers = [json.loads(line)["conversations"][-1]["value"] for line in lines]
    assert answers.count("deep\nmagenta") == 2
    assert curated.ask("SELECT DISTINCT who FROM verdicts") == [("ana",)]
    assert "magenta" in curated.oresight("explain", rows[2]["sample_id"], "--database", curated.config.database)


def test_other_pages_get_no_answer_and_no_socket_and_may_not_frame_the_page(page: str) -> None:
    host = page.split("/")[2]
    own = httpx.get(page, headers={"Origin": f"http://{host}"})
    assert own.status_code == 200
    assert (
        own.headers["Content-Security-Policy"] == "frame-ancestors 'none'" and own.headers["X-Frame-Options"] == "DENY"
    )
    socket_path = "_nicegui_ws/socket.io/?EIO=4&transport="
    for origin in (
        "https://evil.example",
        f"https://{host}",
        "http://127.0.0.1:1",
        "http://localhost.evil.example",
        "null",
    ):
        for path in ("", f"{socket_path}polling"):
            assert httpx.get(page + path, headers={"Origin": origin}).status_code == 403, origin
        with pytest.raises(InvalidStatus):
            connect(f"ws://{host}/{socket_path}websocket", origin=origin)
    with connect(f"ws://{host}/{socket_path}websocket", origin=f"http://{host}") as socket:
        assert str(socket.recv(timeout=30)).startswith("0{"), "its own page gets one"
    for path in ("", f"{socket_path}polling"):
        assert httpx.get(page + path, headers={"Host": "evil.example"}).status_code == 400, "DNS rebinding"


def test_a_verdict_survives_another_scoring_and_the_newest_counts(curated: Curated) -> None:
    row = queue(curated)[20]["sample_id"]
    decide(curated.config, row, "drop", who="ana")
    decide(curated.config, row, "keep", why="a good\nrow", who="bo")
    changed = [*curated.arguments, "--set", "scoring.max_tokens=512"]
    curated.oresight("curate", *changed)
    assert decided(curated, row) == ("keep", "kept by hand: kept by bo (a good row)")
    assert curated.ask("SELECT verdict FROM verdict_history WHERE sample_id = ? ORDER BY decided_at", row) == [
        ("drop",),
        ("keep",),
    ]


def test_a_port_that_is_taken_is_a_sentence(curated: Curated) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = curated.run("review", *curated.arguments, "--no-show", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "--port:" in done.stderr


def test_what_cannot_be_decided_is_a_sentence(curated: Curated) -> None:
    row = queue(curated)[21]["sample_id"]
    with pytest.raises(ValueError, match="needs the right answer"):
        decide(curated.config, row, "relabel", " ")
    with pytest.raises(ValueError, match="has no row nobody"):
        decide(curated.config, "nobody", "keep")
    assert curated.ask("SELECT * FROM verdicts WHERE sample_id = ?", row) == []


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": "Ask", "input": "", "output": "old"},
        {"question": "Ask", "answer": "old"},
        {"prompt": [{"role": "user", "content": "Ask"}], "completion": [{"role": "assistant", "content": "old"}]},
        {"messages": [{"role": "user", "content": "Ask"}, {"role": "assistant", "content": "old"}]},
        {"conversations": [{"from": "human", "value": "Ask"}, {"from": "gpt", "value": "old"}]},
        {"messages": json.dumps([{"role": "user", "content": "Ask"}, {"role": "assistant", "content": "old"}])},
    ],
)  # fmt: skip
def test_another_answer_stands_where_the_layout_has_it(record: dict[str, Any]) -> None:
    layout = recognise([record], {})
    changed = layout.with_answer(record, 'new\n"one"')
    assert layout.read(changed).messages[-1]["content"] == 'new\n"one"'
    assert layout.read(changed).messages[:-1] == layout.read(record).messages[:-1]
    assert "old" not in json.dumps(changed)
    assert "old" in json.dumps(record)


def test_without_flags_the_most_suspicious_rows_are_offered(curated: Curated) -> None:
    # The rate is so low that no row has a q-value below it.
    strict = curated.config.model_copy(
        update={"flagging": curated.config.flagging.model_copy(update={"false_discovery_rate": 1e-9})}
    )
    flagged = {row["sample_id"] for row in queue(curated)}
    with recorded(strict, "curate") as run:
        check(run, "score")
    offered = queue(curated)
    suspicions = [row["suspicion"] for row in offered]
    assert 0 < len(offered) <= 50 and all(row["flags"] is None for row in offered)
    assert suspicions == sorted(suspicions, reverse=True)
    assert {row["sample_id"] for row in offered[:20]} <= flagged
    with recorded(curated.config, "curate") as run:
        check(run, "score")
    assert {row["sample_id"] for row in queue(curated)} == flagged
