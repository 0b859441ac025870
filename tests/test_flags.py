"""From trusted rows to flags with evidence, by the command: what is planted stays apart, and what is stated is kept."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from oresight.tasks.check import check
from oresight.tasks.config import Flagging
from oresight.tasks.database import copy, reading, writing
from oresight.tasks.flag import flag
from oresight.tasks.runs.record import Run, recorded
from tests.support.curated import Curated

TRUTH = Path(__file__).parent / "data" / "easy_vqa" / "truth.csv"


def test_flags_hold_mostly_wrong_rows_and_most_of_them(curated: Curated) -> None:
    with TRUTH.open() as file:
        wrong = {row["id"] for row in csv.DictReader(file) if row["wrong"] == "1"}
    flagged = {
        name
        for (name,) in curated.ask(
            "SELECT metadata->>'id' FROM flags JOIN rows USING (sample_id, dataset)"
            " WHERE check_name = 'looks_mislabeled'"
        )
    }
    assert len(flagged & wrong) / len(flagged) > 0.9
    assert len(flagged & wrong) / len(wrong) > 0.8


def test_a_flag_has_p_q_the_reason_and_the_signals_that_weigh_most(curated: Curated) -> None:
    found = curated.ask("SELECT p_value, q_value, reason, signals FROM flags WHERE check_name = 'looks_mislabeled'")
    for p, q, reason, signals in found:
        assert 0 < p <= 0.05 and q <= 0.1
        assert re.match(
            r"It looks like \w+: right with a probability (under 1|of \d+)%, \d+ of 200 trusted rows are as suspicious",
            reason,
        )
        assert 1 <= len(signals) <= 2
    verdicts = curated.ask("SELECT suite->'expectations' FROM store.suites WHERE stage = 'score'")
    assert "looks_mislabeled" in verdicts[0][0]


def test_canaries_are_scored_and_are_nowhere_else(curated: Curated) -> None:
    (planted,) = curated.ask("SELECT count(*), count(DISTINCT canary), min(suspicion IS NOT NULL) FROM canaries")
    assert planted[0] > 150
    assert planted[1] >= 4
    ids = "(SELECT sample_id FROM canaries)"
    for view in ("rows", "scores", "flags", "split_rows", "vectors", "suspicions"):
        assert curated.ask(f"SELECT count(*) FROM {view} WHERE sample_id IN {ids}") == [(0,)], view
    assert curated.ask(f"SELECT count(*) FROM store.scores WHERE sample_id IN {ids}")[0][0] > 150
    kept = pq.read_table(curated.folder / "out" / "curated" / "v1" / "train.parquet").num_rows
    assert kept == curated.ask("SELECT rows_kept FROM splits")[0][0]
    assert curated.ask("SELECT rows_scored FROM runs") == [(600,)]


def test_what_is_detectable_is_told_in_the_view_the_report_and_the_card(curated: Curated) -> None:
    kinds = dict(curated.ask("SELECT canary, auc FROM detectability"))
    assert kinds["another_label"] > 0.95
    home = curated.folder / "out" / "curated"
    card, report = (home / "v1" / "README.md").read_text(), (home / "report.html").read_text()
    for kind in kinds:
        assert kind in card
        assert kind in report
    assert report.count("<svg") == 4
    assert report.count("<script") == 1
    assert not re.search(r"""(src|href)=["']?https?:""", report)
    assert "Stated against measured share of false flags" in report


def test_a_second_run_plants_scores_and_publishes_nothing(curated: Curated) -> None:
    before = curated.ask("SELECT sample_id, canary, suspicion FROM canaries ORDER BY ALL")
    printed = curated.oresight("curate", *curated.arguments)
    assert re.search(r"scored +0\n", printed)
    assert "no new version" in printed and "Nothing has changed since the last run: curated/v1 stands." in printed
    assert curated.ask("SELECT sample_id, canary, suspicion FROM canaries ORDER BY ALL") == before


def test_explain_gives_the_evidence(curated: Curated) -> None:
    ((row,),) = curated.ask(
        "SELECT sample_id FROM flags WHERE check_name = 'looks_mislabeled' ORDER BY q_value LIMIT 1"
    )
    text = curated.oresight("explain", row, "--database", curated.config.database)
    facts = [line[:12].strip() for line in text.splitlines() if not line.startswith(" ")]
    assert facts[1] == "decision" and facts[-1] == "versions"
    assert {"where", "prompt", "answer", "picture", "flag", "value", "suspicion", "nearest"} <= set(facts)
    assert {"raised by", "lowered by"} & set(facts)
    document = json.loads(curated.oresight("explain", row[:12], "--json", "--database", curated.config.database))
    assert document["sample_id"] == row and document["splits"][0]["decision"] == "drop"
    assert {"looks_mislabeled"} <= {flag["check_name"] for flag in document["flags"]}
    assert isinstance(document["scores"][0]["value"], float) and document["scores"][0]["scored_at"][10] == "T"
    assert len(curated.ask("SELECT * FROM nearest_accepted(?, 3)", row)) == 3


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ("dropped=0.05", r"dropped is 0\.\d+ and must be at most 0.05"),
        ("detectability=1.0", r"detectability is 0\.\d+ and must be at least 1"),
        ("detectability=0.9", None),
        ("false_flags=0.1", None),
    ],
)
def test_a_version_that_misses_a_bound_is_not_published(curated: Curated, bound: str, told: str | None) -> None:
    name = bound.replace("=", "-")
    sets = ["--set", f"publishing.require.{bound}", "--set", f"splitting.name={name}"]
    curated.oresight("split", *curated.arguments, *sets)
    done = curated.run("publish", *curated.arguments, *sets)
    folder = curated.folder / "out" / name / "v1"
    assert done.returncode == (1 if told else 0), done.stderr
    assert folder.exists() == (told is None)
    if told:
        assert re.search(told, done.stderr)
        again = curated.oresight("publish", *curated.arguments, "--set", f"splitting.name={name}")
        assert str(folder) in again


def test_a_bound_on_what_was_not_measured_is_missed(curated: Curated) -> None:
    sets = [
        "--set",
        "publishing.require.detectability=0.8",
        "--set",
        "flagging.canaries=0",
        "--set",
        "splitting.name=none",
    ]
    database = str(curated.folder / "without.duckdb")
    done = curated.run("curate", *curated.arguments, *sets, "--set", f"database={database}")
    assert done.returncode == 1
    assert "detectability was not measured, because there are no canaries" in done.stderr
    assert re.search(r"no row is judged", done.stderr)


def test_kinds_of_defects_are_measured_also_where_every_row_is_trusted(curated: Curated, tmp_path: Path) -> None:
    config = curated.config.model_copy(update={"database": str(tmp_path / "o.duckdb")})
    copy(curated.config.database, config.database)
    with recorded(config, "flag") as run:
        with writing(config.database) as connection:
            connection.execute("UPDATE store.rows SET retired_at = now() WHERE dataset = 'easy'")
        flag(run)
    with reading(config.database) as connection:
        judged = dict(connection.execute("SELECT role, count(*) FROM store.suspicions GROUP BY role").fetchall())
        kinds = connection.execute("SELECT canary, auc FROM detectability ORDER BY canary").fetchall()
    assert judged.keys() == {"reference", "canary"}
    assert [kind for kind, _ in kinds] == [
        kind for (kind,) in curated.ask("SELECT canary FROM detectability ORDER BY 1")
    ]
    assert dict(kinds)["another_label"] > 0.9


def own_checks(folder: Path, **files: str) -> Path:
    (folder / "raw").mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name.replace('__', '/')}.sql").write_text(text)
    return folder


SHORT = """-- warning: a prompt of few words asks nothing
-- parameter: min_words = 2
SELECT sample_id, dataset, format('The prompt has fewer than {} words.', getvariable('min_words')) AS reason
FROM rows WHERE dataset = getvariable('dataset') AND len(string_split(prompt, ' ')) < getvariable('min_words')
"""


def test_a_users_check_is_one_of_the_checks(curated: Curated, tmp_path: Path) -> None:
    folder = own_checks(tmp_path / "mine", raw__short=SHORT, negative=SHORT.replace("min_words", "low"))
    sets = ["--set", f"flagging.checks_folder={folder}", "--set", "flagging.parameters={min_words: 6, low: 1}"]
    printed = curated.oresight("flag", *curated.arguments, *sets)
    assert re.search(r"short: [1-9]\d* of 400 rows \(warning\)", printed)
    assert "negative: 0 of 400 rows (warning)" in printed
    assert curated.ask("SELECT DISTINCT reason FROM flags WHERE check_name = 'short'") == [
        ("The prompt has fewer than 6 words.",)
    ]
    report = Path(curated.oresight("report", *curated.arguments).strip())
    assert "<td>short<td>warning" in report.read_text()
    curated.oresight("flag", *curated.arguments)


@pytest.mark.parametrize(
    ("files", "given", "told"),
    [
        ({"short": "SELECT 1"}, {}, "must begin with"),
        ({"truncated": SHORT}, {}, "two checks 'truncated'"),
        ({"short": SHORT.replace("FROM rows", "FROM roes")}, {}, "short.sql: .*roes"),
        ({"short": SHORT + "; DROP TABLE store.rows"}, {}, "short.sql: is not one SELECT"),
        ({"short": "-- info: x\nDELETE FROM store.rows"}, {}, "short.sql: is not one SELECT"),
        (
            {"short": "-- info: x\nSELECT content AS reason FROM read_text('/etc/passwd')"},
            {},
            "short.sql: .*[Pp]ermission",
        ),
        (
            {"short": SHORT.replace("min_words", "dataset")},
            {},
            "parameter 'dataset': a built-in variable has this name",
        ),
        ({"short": SHORT}, {"words": 3}, "declares 'words'; there are: min_words"),
    ],
)
def test_a_users_check_that_is_none_is_a_sentence_and_changes_nothing(
    curated: Curated, tmp_path: Path, files: dict[str, str], given: dict[str, Any], told: str
) -> None:
    before = curated.ask("SELECT check_name, count(*) FROM flags GROUP BY ALL ORDER BY ALL")
    flagging = Flagging(checks_folder=str(own_checks(tmp_path / "mine", **files)), parameters=given)
    with pytest.raises(ValueError, match=told), recorded(curated.config, "flag") as run:
        check(Run(curated.config.model_copy(update={"flagging": flagging}), run.run_id, run.model), "score")
    assert curated.ask("SELECT check_name, count(*) FROM flags GROUP BY ALL ORDER BY ALL") == before


def test_a_folder_that_is_not_there_is_named(curated: Curated) -> None:
    done = curated.run("flag", *curated.arguments, "--set", "flagging.checks_folder=nowhere")
    assert done.returncode == 2
    assert "/nowhere is no folder" in done.stderr
