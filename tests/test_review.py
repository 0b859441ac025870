"""What a person says of flagged rows counts: on the page, in the database, in the next split."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from oresight.flows.commands.review import review
from oresight.flows.server.review_page import answer_html
from oresight.tasks.check import check
from oresight.tasks.database import transaction, writing
from oresight.tasks.formats import recognise
from oresight.tasks.pages.highlight import highlighted
from oresight.tasks.review import DecidedMeanwhile, decide, decide_all, newest_bulk, standing, undo_bulk
from oresight.tasks.reviewing.queue import (
    Filter,
    find_row,
    read_neighbours,
    read_queue,
    read_row,
    read_rows,
)
from oresight.tasks.runs.record import Run, recorded
from tests.support.curated import Curated

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def queue(curated: Curated) -> list[str]:
    """The sample_ids of the rows that the page shows."""
    ids: list[str] = read_queue(Run(curated.config), Filter())[0].ids.to_pylist()
    return ids


def decided(curated: Curated, sample_id: str) -> tuple[str, str]:
    """In the newest version."""
    (found,) = curated.ask(
        "SELECT decision, reason FROM split_rows WHERE sample_id = ? ORDER BY version DESC LIMIT 1", sample_id
    )
    return found


@dataclass
class Many(Curated):
    """A copy of the database with 1,500 more rows, which two checks of ours flag."""

    @property
    def arguments(self) -> list[str]:
        return [*super().arguments, "--set", f"database={self.folder / 'many.duckdb'}"]

    def ids(self, chosen: Filter) -> pa.StringArray:
        """The rows that pass a filter."""
        return read_queue(Run(self.config), chosen)[0].ids


@pytest.fixture(scope="module")
def many(curated: Curated) -> Many:
    made = Many(curated.folder)
    shutil.copyfile(curated.config.database, made.config.database)
    changes = {
        "rows": "i AS source_line, 'part-' || i % 4 || '.jsonl' AS source_file,"
        " 'Line one' || chr(10) || '<b>Line ' || i || '</b>' AS prompt,"
        " if(i % 5 = 0, r.answer, '<script>' || chr(10) || r.answer) AS answer,"
        " json_object('topic', ['sea', 'sky', 'land'][1 + i % 3], 'number', i, 'deep', [1]) AS metadata",
        "scores": "r.run_id AS run_id",
        "suspicions": "i AS suspicion",
        "packed": "r.unit AS unit",
    }
    with writing(made.config.database) as connection, transaction(connection):
        connection.execute(
            "CREATE TEMP TABLE made AS SELECT i, md5('made ' || i) AS made_id, sample_id FROM range(1500) AS t(i) JOIN"
            " (SELECT sample_id, row_number() OVER (ORDER BY sample_id) AS k FROM rows WHERE dataset = 'easy')"
            " ON k = 1 + i % 300"
        )
        for table, columns in changes.items():
            mine = "r.role = 'dataset'" if table == "suspicions" else "true"
            connection.execute(
                f"INSERT INTO store.{table} BY NAME SELECT r.* REPLACE (made_id AS sample_id, {columns})"
                f" FROM made JOIN store.{table} AS r USING (sample_id) WHERE {mine}"
            )
        connection.execute(
            "INSERT INTO store.flags BY NAME SELECT made_id AS sample_id, 'easy' AS dataset, 'warning' AS severity,"
            " unnest(if(i % 2 = 0, ['odd_words', '=2+3'], ['odd_words'])) AS check_name, '@reason ' || i AS reason,"
            " i / 1e9 AS q_value, 'r' AS run_id FROM made"
        )
    return made


@pytest.fixture(scope="module")
def page(curated: Curated) -> Iterator[str]:
    with served(curated.arguments, curated.root) as address:
        yield address


@contextmanager
def served(arguments: list[str], folder: Path) -> Iterator[str]:
    """The address of the page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "oresight.flows.cli",
        "review",
        *arguments,
        "--port",
        str(port),
        "--who",
        "ana",
    ]
    elsewhere = {
        name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"
    }  # NiceGUI looks at it
    server = subprocess.Popen([*command, "--no-show"], cwd=folder, env=elsewhere)
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
    wanted = dict(zip(rows[:10], "kdrkdrkdd-", strict=True))
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
    assert "magenta" in curated.oresight("explain", rows[2], "--database", curated.config.database)


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
        for path in ("", "flags.csv", "report", f"{socket_path}polling"):
            assert httpx.get(page + path, headers={"Origin": origin}).status_code == 403, origin
        with pytest.raises(InvalidStatus):
            connect(f"ws://{host}/{socket_path}websocket", origin=origin)
    with connect(f"ws://{host}/{socket_path}websocket", origin=f"http://{host}") as socket:
        assert str(socket.recv(timeout=30)).startswith("0{"), "its own page gets one"
    for path in ("", "flags.csv", "report", f"{socket_path}polling"):
        assert httpx.get(page + path, headers={"Host": "evil.example"}).status_code == 400, "DNS rebinding"


def test_a_verdict_survives_another_scoring_and_the_newest_counts(curated: Curated) -> None:
    row = queue(curated)[20]
    decide(curated.config, row, "drop", who="ana")
    decide(curated.config, row, "keep", why="a good\nrow", who="bo")
    changed = [*curated.arguments, "--set", "scoring.max_tokens=512"]
    curated.oresight("curate", *changed)
    assert decided(curated, row) == ("keep", "kept by hand: kept by bo (a good row)")
    assert curated.ask("SELECT verdict FROM verdict_history WHERE sample_id = ? ORDER BY decided_at", row) == [
        ("drop",),
        ("keep",),
    ]


def test_the_newest_verdict_counts_also_if_the_clock_was_set_back(curated: Curated) -> None:
    row = queue(curated)[22]
    decide(curated.config, row, "drop", who="ana")
    with writing(curated.config.database) as connection:
        later = "UPDATE store.verdicts SET decided_at = decided_at + INTERVAL 1 YEAR WHERE sample_id = ?"
        connection.execute(later, [row])
    decide(curated.config, row, "keep", who="bo")
    assert curated.ask("SELECT verdict FROM verdicts WHERE sample_id = ?", row) == [("keep",)]


def test_a_port_that_is_taken_is_a_sentence(curated: Curated) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = curated.run("review", *curated.arguments, "--no-show", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "--port:" in done.stderr


def test_what_cannot_be_decided_is_a_sentence(curated: Curated) -> None:
    row = queue(curated)[21]
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
    flagged = set(queue(curated))
    with recorded(strict, "curate") as run:
        check(run, "score")
    offered, of_row = queue(curated), dict(curated.ask("SELECT sample_id, suspicion FROM suspicions"))
    suspicions = [of_row[row] for row in offered]
    assert 0 < len(offered) <= 50 and not read_queue(Run(curated.config), Filter())[1].are_flagged
    assert suspicions == sorted(suspicions, reverse=True)
    assert set(offered[:20]) <= flagged
    with recorded(curated.config, "curate") as run:
        check(run, "score")
    assert set(queue(curated)) == flagged


@pytest.mark.parametrize(
    ("answer", "tokens", "pieces"),
    [
        ("a b", ["a", " b"], [("a", True), (" b", True)]),
        ("  a\n\nb ", ["a", "\n\n", "b"], [("  ", False), ("a", True), ("\n\n", True), ("b", True), (" ", False)]),
        ("a\u2603b", ["a", "\ufffd", "b"], [("a", True), ("\u2603", False), ("b", True)]),
        ("cut off here", ["cut", " off"], [("cut", True), (" off", True), (" here", False)]),
        ("a b", [" a", "b"], [("a", True), (" ", False), ("b", True)]),
        ("other words", ["nothing", "of", "it"], [("other words", False)]),
        ("x" * 100 + "y", ["y"], [("x" * 100 + "y", False)]),
        ("a", [], [("a", False)]),
        ("", ["a"], []),
    ],
)
def test_tokens_are_coloured_in_the_rows_own_text(
    answer: str, tokens: list[str], pieces: list[tuple[str, bool]]
) -> None:
    parts = highlighted(answer, [{"token": token} for token in tokens])
    assert [(text, token is not None) for text, token in parts] == pieces
    assert "".join(text for text, _ in parts) == answer


def test_a_row_is_shown_with_its_whole_own_text(many: Many) -> None:
    run = Run(many.config)
    for number in (0, 1):
        (row_id,) = many.ask("SELECT sample_id FROM rows WHERE sample_id = md5('made ' || ?)", number)[0]
        row = read_row(run, row_id)
        assert row["prompt"] == f"Line one\n<b>Line {number}</b>"
        html = answer_html(row)
        assert unescape(re.sub(r"<[^>]*>", "", html)) == row["answer"] and "<script" not in html
        assert ("background" in html) and row["answer"].startswith("<script>") == bool(number)
    assert answer_html(row | {"token_shares": []}) == escape(row["answer"])
    assert read_neighbours(run, row_id)["influences"] and read_neighbours(run, row_id)["neighbours"]


@pytest.mark.parametrize(
    ("chosen", "condition"),
    [
        (Filter(check="odd_words"), "true"),
        (Filter(check="=2+3"), "i % 2 = 0"),
        (Filter(check="=2+3", source="part-2.jsonl"), "i % 4 = 2"),
        (Filter(source="sky", column="topic"), "i % 3 = 1"),
        (Filter(source="sky"), "false"),
        (Filter(source="sky", column="no/such~column"), "false"),
        (Filter(text="LINE 149"), "regexp_matches(i::VARCHAR, '^149')"),
        (Filter(text="<SCRIPT>", check="odd_words"), "i % 5 > 0"),
        (Filter(text="100%", check="odd_words"), "false"),
        (Filter(check="odd_words", source="land", column="topic", text="line 5</b>", verdict="undecided"), "i = 5"),
        (Filter(check="odd_words", verdict="drop"), "false"),
        (Filter(check="' OR true --"), "false"),
    ],
)
def test_filters_combine(many: Many, chosen: Filter, condition: str) -> None:
    expected = many.ask(f"SELECT md5('made ' || i) FROM range(1500) AS t(i) WHERE {condition} ORDER BY i")
    assert many.ids(chosen).to_pylist() == [row for (row,) in expected]
    assert Filter.from_query(dict(parse_qsl(chosen.query))) == chosen


def test_the_filter_offers_what_rows_have_with_their_number(many: Many) -> None:
    facets = read_queue(Run(many.config), Filter())[1]
    assert facets.all_rows == len(many.ids(Filter())) > 1500 and facets.are_flagged
    sources = {(row["part"], row["value"]): row["rows"] for row in facets.of("source")}
    assert sources[("", "part-0.jsonl")] == 375 and sources[("topic", "sea")] == 500
    assert not {"number", "deep"} & {part for part, _ in sources}, "too many values, and none to choose"
    for facet in ("check", "looks_like"):
        for row in facets.of(facet):
            assert row["rows"] == len(many.ids(Filter(**{facet: row["value"]}))) > 0
    with pytest.raises(ValueError, match="verdict=later: the page can show undecided, keep, drop, relabel"):
        Filter.from_query({"verdict": "later"})
    with pytest.raises(ValueError, match="text: has 2,000 characters"):
        Filter.from_query({"text": "x" * 2000})


def test_a_row_is_known_by_the_beginning_of_its_id(many: Many) -> None:
    run, row = Run(many.config), many.ids(Filter())[7].as_py()
    assert find_row(run, row[:12]) == find_row(run, row.upper()) == row
    for beginning, count in (("", "several rows"), ("x", "no row"), ("%", "no row")):
        with pytest.raises(ValueError, match=f"'easy' has {count} whose sample_id begins with"):
            find_row(run, beginning)


def verdicts(many: Many) -> set[tuple[Any, ...]]:
    return set(many.ask("SELECT sample_id, verdict, answer, who, why, trusted_as FROM verdicts"))


def test_verdicts_on_all_rows_replace_nobodys_and_are_taken_back_together(many: Many) -> None:
    config, ids = many.config, many.ids(Filter(check="=2+3", source="part-2.jsonl"))
    first, second, third, fourth = ids[:4].to_pylist()
    decide(config, first, "keep", why="good", who="bo")
    decide(config, second, "relabel", "red", who="bo", page="trust")
    decide(config, third, "drop", who="bo")
    decide(config, third, "undo", who="bo")
    before, history = verdicts(many), many.ask("SELECT * FROM verdict_history")
    assert {(row["verdict"], row["who"], row["rows"]) for row in standing(config, ids)} == {
        ("undecided", None, 373), ("keep", "bo", 1), ("relabel", "bo", 1)
    }  # fmt: skip
    assert decide_all(config, ids, "drop", replaces="undecided", why="all\nwrong", who="ana") == 373
    after = verdicts(many)
    assert before < after and (fourth, "drop", None, "ana", "all wrong", None) in after
    assert decide_all(config, ids, "drop", replaces="undecided", why="", who="ana") == 0
    assert newest_bulk(config, "bo") is None
    decide(config, fourth, "keep", who="bo")
    assert decide_all(config, ids, "keep", replaces="drop", why="", who="ana") == 372
    bulk = newest_bulk(config, "ana")
    assert bulk and (bulk["verdict"], bulk["rows"]) == ("keep", 372)
    assert undo_bulk(config, bulk["bulk"], "ana") == 372 and undo_bulk(config, bulk["bulk"], "ana") == 0
    assert verdicts(many) - after == {(fourth, "keep", None, "bo", "", None)}
    bulk = newest_bulk(config, "ana")
    assert bulk and (bulk["verdict"], bulk["rows"]) == ("drop", 372)
    assert undo_bulk(config, bulk["bulk"], "ana") == 372 and newest_bulk(config, "ana") is None
    assert verdicts(many) == before | {(fourth, "keep", None, "bo", "", None)}
    assert len(many.ask("SELECT * FROM verdict_history")) == len(history) + 373 + 1 + 3 * 372
    assert decide_all(config, ids, "keep", replaces="relabel", why="", who="ana") == 1
    assert (second, "keep", None, "ana", "", second) in verdicts(many), "a trusted row that is kept stays trusted"
    undo_bulk(config, (newest_bulk(config, "ana") or {})["bulk"], "ana")
    assert verdicts(many) == before | {(fourth, "keep", None, "bo", "", None)}


def test_what_somebody_else_has_decided_meanwhile_is_not_replaced_unseen(many: Many) -> None:
    run, row = Run(many.config), many.ids(Filter())[900].as_py()
    seen = read_row(run, row)["decided_us"]
    decide(many.config, row, "drop", who="bo", seen_us=seen)
    for verdict in ("keep", "undo"):
        with pytest.raises(DecidedMeanwhile, match="bo decided drop in the meantime; nothing was changed"):
            decide(many.config, row, verdict, who="ana", seen_us=seen)  # type: ignore[arg-type]
    decide(many.config, row, "keep", who="ana", seen_us=read_row(run, row)["decided_us"])
    assert [row["who"] for row in read_rows(run, pa.array([row]))] == ["ana"]


def test_flags_are_exported_for_spreadsheets_and_programs(
    many: Many, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, *changes = many.arguments
    for name in ("flags.csv", "flags.PARQUET"):
        review(Path(config), changes[1::2], export=tmp_path / name)
    rows = len(many.ids(Filter()))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"{tmp_path / 'flags.csv'}: {rows:,} rows; in the CSV file, an apostrophe stands")
    assert printed[1] == f"{tmp_path / 'flags.PARQUET'}: {rows:,} rows"
    sheet = pyarrow.csv.read_csv(tmp_path / "flags.csv")
    table = pq.read_table(tmp_path / "flags.PARQUET")
    columns = "sample_id source_file source_line checks reasons suspicion p_value q_value looks_like verdict who"
    assert sheet.column_names == table.column_names == columns.split()
    assert sheet["sample_id"].to_pylist() == table["sample_id"].to_pylist() == many.ids(Filter()).to_pylist()
    assert (table["checks"][0].as_py(), table["reasons"][1].as_py()) == ("=2+3, odd_words", "odd_words: @reason 1")
    assert sheet["checks"][0].as_py() == "'=2+3, odd_words" and sheet["checks"][1].as_py() == "odd_words"
    texts = [cell for column in sheet.columns if column.type == pa.string() for cell in column.to_pylist() if cell]
    assert not [cell for cell in texts if cell[0] in "=+-@\t"]
    for file, sentence in ((tmp_path / "a.xlsx", r"a\.xlsx: the name must end in \.csv or \.parquet"),
                           (tmp_path / "no" / "a.csv", "no: no such folder")):  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            review(Path(config), changes[1::2], export=file)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["flags.PARQUET", "flags.csv"]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_1500_rows_are_reviewed_by_filter_and_taken_back_with_one_click(many: Many) -> None:
    from playwright.sync_api import expect, sync_playwright

    total, shown = len(many.ids(Filter())), many.ids(Filter(check="=2+3")).to_pylist()
    decide(many.config, shown[5], "keep", who="bo")
    with served(many.arguments, many.root) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        tab.goto(address)
        place, count = tab.get_by_test_id("place"), tab.get_by_test_id("count")
        expect(count).to_have_text(f"{total:,} rows:", timeout=20_000)
        tab.get_by_test_id("filter-check").click()
        tab.get_by_role("option", name="=2+3 (750)").click()
        expect(count).to_have_text("750 rows:")
        expect(place).to_contain_text(f"of 750 flagged rows (of {total:,})")
        expect(tab).to_have_url(re.compile(r"\?check=%3D2%2B3&id=[0-9a-f]{12}$"))
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tab.keyboard.press("ArrowRight")
        expect(place).to_contain_text("2 of 750")

        undecided = len(many.ids(Filter(check="=2+3", verdict="undecided")))
        tab.get_by_role("button", name="drop all").click()
        expect(tab.get_by_test_id("confirm")).to_contain_text(f"{undecided:,} rows without a verdict: become drop")
        expect(tab.get_by_test_id("confirm")).to_contain_text("by bo: stay as they are")
        tab.keyboard.press("k")  # is no verdict while the question is open
        tab.get_by_role("button", name=f"drop {undecided} rows").click()
        expect(place).to_contain_text("750 decided")
        assert newest_bulk(many.config, "ana") | {"bulk": ""} == {"bulk": "", "verdict": "drop", "rows": undecided}  # type: ignore[operator]
        tab.reload()
        tab.get_by_test_id("undo-bulk").click()
        expect(place).to_contain_text(f"{750 - undecided} decided")
        assert len(many.ids(Filter(check="=2+3", verdict="undecided"))) == undecided

        tab.goto(f"{address}#{shown[10][:9]}")
        expect(place).to_contain_text(f"21 of {total:,}", timeout=20_000)
        expect(tab).to_have_url(f"{address}?id={shown[10][:12]}")
        expect(tab.get_by_test_id("answer")).to_have_text(read_row(Run(many.config), shown[10])["answer"])
        assert tab.locator("main script, .q-page script").count() == 0
        tab.goto(f"{address}?source=part-1.jsonl&view=list&page=2")
        expect(place).to_contain_text("51 to 100 of 375")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tab.get_by_test_id("list").locator("a").nth(3).click()
        expect(place).to_contain_text("54 of 375")
        tab.keyboard.press("d")
        expect(place).to_contain_text("55 of 375")
        tab.keyboard.press("?")
        expect(tab.get_by_test_id("keys")).to_contain_text("take the verdict back")
        tab.keyboard.press("Escape")
        tab.get_by_label("text, then Enter").fill("line 1</b>")
        tab.get_by_label("text, then Enter").press("Enter")
        expect(place).to_contain_text("1 of 1 flagged rows")
        browser.close()
        answer = httpx.get(f"{address}flags.csv?check=%3D2%2B3&source=part-2.jsonl")
        assert answer.text.count("part-2.jsonl") == 375 and "attachment" in answer.headers["Content-Disposition"]
        assert httpx.get(f"{address}flags.csv?verdict=x").status_code == 400
        assert httpx.get(f"{address}flags.exe").status_code == 422
        assert "<html" in httpx.get(f"{address}report").text


def test_of_a_text_as_long_as_a_book_the_page_shows_the_beginning() -> None:
    html = answer_html({"answer": "x" * 1_000_000, "token_shares": []})
    assert html == "x" * 200_000 + " ... (800,000 more characters; oresight explain --full shows them)"
