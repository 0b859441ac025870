"""A person makes trusted rows from rows of the dataset. A run without any trusted row claims nothing about errors."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oresight.flows.commands.review import trust
from oresight.flows.pipeline import Pipeline
from oresight.tasks.config import Curate
from oresight.tasks.configfile import read_config
from oresight.tasks.forget import forget
from oresight.tasks.ingest import ingest, unread_digest
from oresight.tasks.matching.variety import diverse, text_points
from oresight.tasks.plan import plan
from oresight.tasks.review import decide, trust_queue
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.trusted import trusted_rows
from tests.support.processes import ROOT
from tests.support.scored import ask
from tests.test_review import CHROMIUM
from tests.test_score import DATA, DOLLY

WRONG = {row.split(",")[0] for row in (DATA / "truth.csv").read_text().splitlines() if row.endswith(",1")}


def untrusted(folder: Path, lines: list[str], **sections: Any) -> Curate:
    """A configuration that names no trusted rows."""
    (folder / "rows.jsonl").write_text("".join(lines))
    dataset = {"name": "raw", "path": str(folder / "rows.jsonl")} | sections.pop("dataset", {})
    tree = {"database": str(folder / "o.duckdb"), "dataset": dataset, "publishing": {"folder": str(folder / "out")}}
    return Curate.model_validate(tree | sections)


def read(config: Curate) -> list[dict[str, Any]]:
    """Ingest both. Returns the trusted rows."""
    with recorded(config, "ingest") as run:
        ingest(run, "dataset")
        ingest(run, "reference")
    columns = "sample_id, prompt, answer, messages, metadata, images"
    rows = ask(config, f"SELECT {columns} FROM rows WHERE dataset = '{config.reference_name}' ORDER BY source_line")
    return [dict(zip(columns.split(", "), row, strict=True)) for row in rows]


def ids(config: Curate) -> list[str]:
    return [row for (row,) in ask(config, "SELECT sample_id FROM rows WHERE dataset = 'raw' ORDER BY source_line")]


@pytest.fixture
def config(tmp_path: Path) -> Curate:
    """Forty rows of the demo, ingested."""
    made = untrusted(tmp_path, DOLLY[:40])
    assert read(made) == []
    return made


def test_a_diverse_sample_has_a_row_of_each_kind_however_rare() -> None:
    draw = np.random.default_rng(0)
    kind_N = np.array([0] * 190 + [1, 2, 3, 4, 5] * 2)
    draw.shuffle(kind_N)
    points = np.eye(6)[kind_N] + 0.01 * draw.normal(size=(200, 6))
    taken = np.zeros(200, dtype=bool)
    sample = diverse(points, 12, taken)
    assert len(set(sample)) == 12 and set(kind_N[sample]) == set(range(6))
    taken[sample[:7]] = True
    assert diverse(points, 12, taken) == sample[7:], "what is left of the same sample"
    assert not set(more := diverse(points, 30, taken)) & set(sample[:7]) and len(more) == 23
    assert diverse(points, 7, taken) == diverse(points, 3, taken) == []
    assert diverse(points, 500, ~taken & False) == list(range(200))
    assert diverse(np.zeros((4, 3)), 3, np.zeros(4, dtype=bool)) == [0, 1, 2], "rows that are all the same"


def test_texts_of_any_script_and_length_are_points() -> None:
    for texts in (
        ["a"],
        ["a", "b\nc"],
        ["你好吗\n我很好", "1\n2", "🙂\n🙃"],
        [f"What is {i} + {i}?\n{2 * i}" for i in range(300)],
    ):
        points = text_points(texts)
        assert len(points) == len(texts) and np.isfinite(points).all()
    assert points.shape[1] <= 64


def test_the_sample_goes_on_where_it_stopped(config: Curate) -> None:
    first = [row["sample_id"] for row in trust_queue(config, 10)]
    assert len(set(first)) == 10 and first == [row["sample_id"] for row in trust_queue(config, 10)]
    for number, row in enumerate(first[:4]):
        decide(config, row, "drop" if number == 1 else "keep", who="ana", page="trust")
    again = trust_queue(config, 10)
    assert [row["sample_id"] for row in again] == first
    assert [row["verdict"] for row in again[:5]] == ["keep", "drop", "keep", "keep", None]
    more = [row["sample_id"] for row in trust_queue(config, 20)]
    assert more[:4] == first[:4] and len(set(more)) == 20
    decide(config, first[0], "undo", page="trust")
    assert first[0] in [row["sample_id"] for row in trust_queue(config, 40)[3:]]
    reviewed = next(row for row in ids(config) if row not in more)
    decide(config, reviewed, "keep")
    assert len(trust_queue(config, 100)) == 39, "a verdict of the review page is no answer to the sample"


def test_rows_that_are_trusted_already_are_not_offered(config: Curate, tmp_path: Path) -> None:
    (tmp_path / "trusted.jsonl").write_text("".join(DOLLY[:5]))
    named = read_again(config, reference={"name": "mine", "path": str(tmp_path / "trusted.jsonl")})
    read(named)
    offered = {row["sample_id"] for row in trust_queue(named, 100)}
    assert offered == set(ids(config)[5:])


def read_again(config: Curate, **sections: Any) -> Curate:
    return Curate.model_validate(config.model_dump() | sections)


def test_kept_and_corrected_rows_are_the_reference_with_who_and_when(config: Curate) -> None:
    keep, drop, correct, undone, *_ = ids(config)
    before = unread_digest(config, "reference")
    decide(config, keep, "keep", who="ana", page="trust")
    decide(config, drop, "drop", who="ana", page="trust")
    decide(config, correct, "relabel", "Right.\n“Quite”", who="bo", page="trust")
    decide(config, undone, "keep", who="ana", page="trust")
    decide(config, undone, "undo", who="ana", page="trust")
    kept, corrected = read(config)
    assert before is None
    originals = {
        row[0]: row[1:] for row in ask(config, "SELECT sample_id, prompt, answer FROM rows WHERE dataset = 'raw'")
    }
    assert (kept["sample_id"], kept["prompt"], kept["answer"]) == (keep, *originals[keep])
    assert corrected["sample_id"] not in originals and corrected["answer"] == "Right.\n“Quite”"
    assert corrected["prompt"] == originals[correct][0]
    of_kept, of_corrected = json.loads(kept["metadata"]), json.loads(corrected["metadata"])
    assert (of_kept["trusted_by"], of_kept["source_row"]) == ("ana", keep) and "original_answer" not in of_kept
    assert (of_corrected["trusted_by"], of_corrected["source_row"]) == ("bo", correct)
    assert of_corrected["original_answer"] == originals[correct][1] and of_corrected["trusted_at"] > "2026-01-01T"
    assert "category" in of_kept, "the row's own columns travel along"
    (verdict,) = ask(config, f"SELECT trusted_as, page, answer FROM verdicts WHERE sample_id = '{correct}'")
    assert verdict == (corrected["sample_id"], "trust", corrected["answer"])
    assert ask(config, "SELECT child FROM lineage WHERE parent LIKE '%raw.jsonl@%' AND child LIKE 'raw-trusted@%'")
    with recorded(config, "ingest") as run:
        assert ingest(run, "reference").reused
    decide(config, keep, "undo", page="trust")
    decide(config, correct, "undo", page="trust")
    assert read(config) == [] and not Path(trusted_rows(config).path).exists()


def test_a_verdict_of_the_review_page_makes_no_row_trusted_and_a_drop_ends_trust(config: Curate) -> None:
    kept, relabelled, trusted, corrected, distrusted, *_ = ids(config)
    decide(config, kept, "keep")
    decide(config, relabelled, "relabel", "Another answer.")
    for row in (trusted, corrected, distrusted):
        decide(config, row, "keep", page="trust")
    decide(config, trusted, "keep", why="a good row", who="bo")
    decide(config, corrected, "relabel", "A better answer.")
    decide(config, distrusted, "drop")
    rows = read(config)
    assert [(row["sample_id"] == trusted, row["answer"] == "A better answer.") for row in rows] == [
        (True, False),
        (False, True),
    ]


TURNS = [
    {"role": "system", "content": "Be brief."}, {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "1"}, {"role": "user", "content": "Two?"}, {"role": "assistant", "content": "old"},
    {"role": "user", "content": "Bye"},
]  # fmt: skip
RECORDS: list[dict[str, Any]] = [
    {"instruction": "Ask", "input": "more", "output": "old", "category": "a"},
    {"question": "Ask", "answer": "old", "label": True, "system": "z"},
    {"prompt": [{"role": "user", "content": "Ask"}], "completion": [{"role": "assistant", "content": "old"}]},
    {"messages": TURNS, "tools": [{"name": "add", "parameters": {"b": None, "a": 1}}]},
    {
        "conversations": [{"from": "human", "value": "Ask <b>"}, {"from": "gpt", "value": "old"}],
        "source": {"a": [1.5]},
    },
    {"messages": json.dumps([{"role": "user", "content": " Ask\u2028 "}, {"role": "assistant", "content": " old "}])},
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: next(iter(record)))
def test_a_row_of_any_layout_stays_the_same_row(record: dict[str, Any], tmp_path: Path) -> None:
    config = untrusted(tmp_path, [json.dumps(record | {"n": n}) + "\n" for n in range(1)])
    read(config)
    ((row, messages, tools),) = ask(config, "SELECT sample_id, messages, tools FROM rows")
    decide(config, row, "keep", page="trust")
    (kept,) = read(config)
    assert (kept["sample_id"], kept["messages"]) == (row, messages)
    decide(config, row, "relabel", "new", page="trust")
    (corrected,) = read(config)
    turns = json.loads(messages)
    assert json.loads(corrected["messages"]) == [*turns[:-1], turns[-1] | {"content": "new"}]
    (stored,) = ask(config, f"SELECT tools FROM rows WHERE sample_id = '{corrected['sample_id']}'")
    assert stored == (tools,) and ask(config, "SELECT trusted_as FROM verdicts") == [(corrected["sample_id"],)]


def test_named_columns_do_not_confuse_the_trusted_rows(tmp_path: Path) -> None:
    record = {
        "q": "Ask",
        "a": "old",
        "chosen": "x",
        "rejected": "y",
        "system": "z",
        "messages": 1,
        "file_name": "b.txt",
    }
    config = untrusted(tmp_path, [json.dumps(record) + "\n"], dataset={"columns": {"prompt": "q", "answer": "a"}})
    read(config)
    (row,) = ids(config)
    decide(config, row, "keep", page="trust")
    (kept,) = read(config)
    assert kept["sample_id"] == row and json.loads(kept["metadata"])["chosen"] == "x"


def vqa(folder: Path, **sections: Any) -> Curate:
    """Forty rows with pictures of the VQA demo."""
    rows = json.loads((DATA / "easy_vqa" / "rows.json").read_text())[:40]
    lines = [json.dumps(row) + "\n" for row in rows]
    dataset = {"root": str(DATA / "easy_vqa")}
    return untrusted(folder, lines, dataset=dataset, model={"name": "easy-vqa-llava", "device": "cpu"}, **sections)


def test_rows_with_pictures_are_trusted_with_them(tmp_path: Path) -> None:
    config = vqa(tmp_path)
    read(config)
    offered = trust_queue(config, 10)
    assert all(row["pictures"][0]["data"] for row in offered)
    for row in offered[:5]:
        decide(config, row["sample_id"], "keep", page="trust")
    decide(config, offered[5]["sample_id"], "relabel", "mauve", page="trust")
    *kept, corrected = read(config)
    assert [row["sample_id"] for row in kept] == [row["sample_id"] for row in offered[:5]]
    ((original,),) = ask(config, f"SELECT images[1].sha256 FROM rows WHERE sample_id = '{offered[5]['sample_id']}'")
    assert corrected["images"][0]["sha256"] == original and corrected["answer"] == "mauve"
    with recorded(config, "check") as run:
        Pipeline(run).inspect()
    flagged = {
        row
        for (row,) in ask(config, "SELECT sample_id FROM flags WHERE check_name IN ('contamination', 'shared_picture')")
    }
    assert not flagged & {row["sample_id"] for row in offered[:6]}


def test_an_answer_that_cannot_be_is_a_sentence_and_stores_nothing(config: Curate) -> None:
    row = ids(config)[0]
    for answer, sentence in ((" ", "needs the right answer"), (None, "needs the right answer")):
        with pytest.raises(ValueError, match=sentence):
            decide(config, row, "relabel", answer, page="trust")
    with pytest.raises(ValueError, match="has no row nobody"):
        decide(config, "nobody", "keep", page="trust")
    assert ask(config, "FROM verdicts") == []


def run_steps(config: Curate) -> None:
    """All steps, without Prefect."""
    with recorded(config, "curate") as run:
        pipeline = Pipeline(run)
        pipeline.read()
        pipeline.inspect()
        pipeline.plant()
        pipeline.score()
        pipeline.judge()
        pipeline.split()
        pipeline.report()
        pipeline.publish()


@pytest.fixture
def dolly(tmp_path: Path, stories: Path) -> Curate:
    """160 rows of the demo and a tiny model."""
    scoring = {"batch_tokens": 1024, "max_tokens": 256, "rank_tolerance": 0}
    model = {"name": str(stories), "device": "cpu"}
    return untrusted(tmp_path, DOLLY[:160], model=model, scoring=scoring, splitting={"keep": 0.8})


def test_a_run_without_trusted_rows_checks_draws_and_claims_nothing(
    dolly: Curate, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "oresight"):
        run_steps(dolly)
    (said,) = [record.message for record in caplog.records if "oresight trust" in record.message]
    assert "no error rate is claimed" in said and "\n" not in said
    assert not [record for record in caplog.records if "AUC" in record.message or "false" in record.message]
    empty = ("suspicions", "canaries", "detectability", "calibration", "coverage")
    assert [ask(dolly, f"SELECT count(*) FROM {view}") for view in empty] == [[(0,)]] * 5
    assert ask(
        dolly, "SELECT count(*), count(nll), count(conditional_gain), count(value), count(value_cosine) FROM scores"
    ) == [(160, 160, 160, 0, 0)]
    assert ask(dolly, "SELECT count(*) FROM vectors") == [(160,)]
    checks = {name for (name,) in ask(dolly, "SELECT check_name FROM checks")}
    assert "wrong_arithmetic" in checks and not checks & {
        "looks_mislabeled",
        "low_value",
        "unlike_trusted",
        "contamination",
    }
    (least,) = ask(
        dolly,
        "SELECT bool_and(decision = 'drop'), count(*) FROM split_rows JOIN scores USING (sample_id)"
        " WHERE conditional_gain < (SELECT quantile_cont(conditional_gain, 0.1) FROM scores)",
    )
    assert least == (True, 16) and ask(dolly, "SELECT rows_kept FROM splits") == [(128,)]
    assert "trusted" not in ask(dolly, "SELECT string_agg(reason) FROM split_rows")[0][0]
    assert ask(dolly, "SELECT * FROM lineage WHERE child LIKE '%raw-trusted%' OR parent LIKE '%raw-trusted%'") == []
    folder = tmp_path / "out" / "curated" / "v1"
    manifest, card = json.loads((folder / "manifest.json").read_text()), (folder / "README.md").read_text()
    assert manifest["reference"] is None and "no trusted rows, so no error rate is claimed" in manifest["selection"]
    assert "No error rate is claimed" in card and "false-discovery" not in card and "looks_mislabeled" not in card
    report = (tmp_path / "out" / "curated" / "report.html").read_text()
    assert "no trusted rows" in report and "are expected to be" not in report
    run_steps(dolly)
    assert ask(dolly, "SELECT version, rows_kept FROM splits") == [(1, 128)], "nothing changed"
    with recorded(read_again(dolly, splitting={"keep": 0.5, "distinct": 0.999, "by": "random"}), "split") as run:
        Pipeline(run).split()
    assert ask(dolly, "SELECT rows_kept FROM splits WHERE version = 2") == [(80,)]


def test_without_prompt_gains_the_rows_are_drawn(dolly: Curate) -> None:
    config = read_again(dolly, scoring={"conditional_gain": False, "max_tokens": 256})
    run_steps(config)
    assert ask(config, "SELECT rows_kept, rows_dropped FROM splits") == [(128, 32)]


def test_what_needs_trusted_rows_is_refused_before_anything_is_scored(dolly: Curate) -> None:
    for splitting in ({"by": "value"}, {"by": "value_cosine", "keep": 0.5}, {"drop": {"suspicious": 0.1}}):
        with pytest.raises(ValueError, match=r"splitting\.(by: value|drop: suspicious).*`oresight trust CONFIG.yaml`"):
            read(read_again(dolly, splitting=splitting))
    read(dolly)
    for command in ("evaluate", "settle", "score --index"):
        with pytest.raises(ValueError, match=f"{command}: there are no trusted rows; `oresight trust"):
            Run(dolly).require_trusted(command)
    missing = read_again(dolly, reference={"name": "mine", "path": "nowhere.jsonl"})
    with pytest.raises(
        ValueError, match=r"reference.path: /.*nowhere.jsonl: no such file;.*remove the section reference"
    ):
        read(missing)


def test_a_plan_needs_no_trusted_rows(dolly: Curate) -> None:
    with recorded(dolly, "plan") as run:
        Pipeline(run).read()
        planned = plan(run)
    assert planned.to_score == 160 and planned.canaries == 0 and planned.seconds > 0


def test_trusted_rows_of_the_dataset_are_marked_and_never_judged(dolly: Curate, tmp_path: Path) -> None:
    run_steps(dolly)
    offered = trust_queue(dolly, 40)
    truth = dict(ask(dolly, "SELECT sample_id, metadata->>'id' FROM rows WHERE dataset = 'raw'"))
    wrong = [row["sample_id"] for row in offered if truth[row["sample_id"]] in WRONG]
    right = [row["sample_id"] for row in offered if truth[row["sample_id"]] not in WRONG]
    assert wrong and len(right) > 20
    for row in right:
        decide(dolly, row, "keep", who="ana", page="trust")
    decide(dolly, wrong[0], "relabel", "The right answer.", who="ana", page="trust")
    for row in wrong[1:]:
        decide(dolly, row, "drop", who="ana", page="trust")
    run_steps(dolly)
    assert ask(dolly, "SELECT rows FROM datasets WHERE dataset = 'raw-trusted'") == [(len(right) + 1,)]
    assert ask(dolly, "SELECT count(*) FROM suspicions")[0][0] == 160 - len(right)
    decisions = ask(dolly, "SELECT sample_id, decision, cause, reason FROM split_rows WHERE version = 2")
    newest = {row[0]: row[1:] for row in decisions}
    assert {newest[row] for row in right} == {("keep", "verdict", "kept by hand: trusted by ana")}
    assert newest[wrong[0]] == ("keep", "verdict", "kept by hand: corrected and trusted by ana")
    assert {newest[row] for row in wrong[1:]} <= {("drop", "verdict", "dropped by hand: ana")}
    judged = {
        row
        for (row,) in ask(dolly, "SELECT sample_id FROM suspicions UNION SELECT sample_id FROM flags WHERE q_value > 0")
    }
    assert not judged & set(right)
    assert ask(dolly, "SELECT count(*) FROM flags WHERE check_name = 'contamination'") == [(0,)]
    published = (tmp_path / "out" / "curated" / "v2" / "train.jsonl").read_text()
    assert published.count("The right answer.") == 1
    manifest = json.loads((tmp_path / "out" / "curated" / "v2" / "manifest.json").read_text())
    assert manifest["reference"]["name"] == "raw-trusted"
    assert [parent["rows"] for parent in manifest["parents"]] == [160, len(right) + 1]
    assert_left_out(dolly, right[0])


def assert_left_out(config: Curate, row: str) -> None:
    """The value of a trusted row is that against the other trusted rows, also where it is a row of the dataset."""
    file = Path(trusted_rows(config).path)
    others = [line for line in file.read_text().splitlines(True) if json.loads(line)["source_row"] != row]
    (without := file.with_name("others.jsonl")).write_text("".join(others))
    with recorded(read_again(config, reference={"name": "others", "path": str(without)}), "score") as run:
        ingest(run, "reference")
        Pipeline(run).score()
    values = ask(config, f"SELECT value FROM scores WHERE sample_id = '{row}' AND dataset = 'raw'")
    assert len(values) == 2 and values[0][0] == pytest.approx(values[1][0], rel=1e-4)


def test_a_forgotten_row_takes_its_corrected_copy_along(config: Curate) -> None:
    for back in (False, True):
        row = ids(config)[0]
        (answer,) = ask(config, f"SELECT answer FROM rows WHERE sample_id = '{row}'")[0]
        decide(config, row, "relabel", "zyxomorphic quillfeather", page="trust")
        (copy,) = read(config)
        done = forget(config.database, copy["sample_id"] if back else row, "asked for", "Ada")
        assert done.datasets == ["raw", "raw-trusted"]
        left = b"".join(
            file.read_bytes() for file in Path(config.database).parent.rglob("o.duckdb*/**/*") if file.is_file()
        )
        left += Path(config.database).read_bytes()
        assert b"zyxomorphic" not in left and answer.encode()[:40] not in left
        assert read(config) == [] and row not in ids(config)
        assert ask(config, f"SELECT count(*) FROM forgotten WHERE sample_id IN ('{row}', '{copy['sample_id']}')") == [
            (2,)
        ]


def test_the_file_of_trusted_rows_serves_another_configuration(tmp_path: Path) -> None:
    config = vqa(tmp_path)
    read(config)
    for row in ids(config)[:6]:
        decide(config, row, "keep", page="trust")
    mine = read(config)
    other = read_again(config, database=str(tmp_path / "other.duckdb"), reference=trusted_rows(config).model_dump())
    assert [row["sample_id"] for row in read(other)] == [row["sample_id"] for row in mine]


def test_the_longest_name_of_a_dataset_has_trusted_rows_too(tmp_path: Path) -> None:
    config = untrusted(tmp_path, DOLLY[:2], dataset={"name": "a" * 100})
    read(config)
    ((row,), _) = ask(config, "SELECT sample_id FROM rows")
    decide(config, row, "keep", page="trust")
    assert len(read(config)) == 1 and len(config.reference_name) == 100


@pytest.fixture
def file(config: Curate, tmp_path: Path) -> Path:
    """The configuration as a file."""
    (tmp_path / "c.yaml").write_text(
        f"database: {config.database}\ndataset: {{name: raw, path: {config.dataset.path}}}\nreference:\n"
    )
    assert read_config(tmp_path / "c.yaml", []).reference is None
    return tmp_path / "c.yaml"


def test_a_port_that_is_taken_is_a_sentence_before_anybody_decides(file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"--port: {port} cannot be used"):
            trust(file, port=port, show=False)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_decisions_survive_the_death_of_the_page(config: Curate, file: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "oresight.flows.cli", "trust", str(file), "--rows", "6", "--who", "ana"]
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"
    }  # see test_review
    for session, keys in enumerate(("kd", "ckk")):
        server = subprocess.Popen(
            [*command, "--no-show", "--port", str(port)], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE
        )
        address, deadline = f"http://127.0.0.1:{port}/", time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(address, timeout=10).close()
                break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.25)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            tab = browser.new_page()
            tab.goto(address)
            for number, key in enumerate(keys, 1 + 2 * session):
                expect(tab.get_by_test_id("place")).to_contain_text(
                    f"{number} of 6 rows, {number - 1} decided", timeout=20_000
                )
                tab.keyboard.press(key)
                if key == "c":
                    answer = tab.get_by_label("the right answer, then Enter")
                    expect(answer).to_be_focused()
                    answer.fill("deep magenta")
                    answer.press("Enter")
            after = {0: "1 rows are trusted, 0 of them", 1: "4 rows are trusted, 1 of them corrected"}[session]
            expect(tab.get_by_test_id("trusted")).to_contain_text(after, timeout=20_000)
            browser.close()
        server.send_signal(signal.SIGKILL if session == 0 else signal.SIGINT)
        out, _ = server.communicate(timeout=60)
    assert server.returncode == 0 and f"4 rows are trusted ({trusted_rows(config).path})" in out
    assert f"`oresight curate {file}` uses them" in out
    assert [row["answer"] for row in read(config)].count("deep magenta") == 1 and len(read(config)) == 4
