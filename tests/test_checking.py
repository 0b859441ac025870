"""What the step does with its checks: results are recorded, tolerated, replaced or refused, and p and q are right."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from oresight.tasks.check import CHECKS, check
from oresight.tasks.config import Flagging
from oresight.tasks.database import reading
from oresight.tasks.runs.record import Refused, Run
from tests.support.runs import config_of
from tests.support.store import RUN, Store

RAW, SCORE = (sorted(file.stem for file in (CHECKS / stage).glob("*.sql")) for stage in ("raw", "score"))


@pytest.mark.parametrize(("missing", "success"), [(1, True), (2, False)])
def test_a_tolerated_share_may_fail_and_its_rows_are_flagged_all_the_same(
    store: Store, missing: int, success: bool
) -> None:
    store.rows("raw", *({"sample_id": f"{i:02}"} for i in range(20)))
    store.scores(*({"sample_id": f"{i:02}"} for i in range(missing, 20)))
    store.outcome("score")
    assert store.execute("SELECT success, rows_failed, rows_tested FROM checks WHERE check_name = 'unscored'") == [
        (success, missing, 20)
    ]
    assert store.flagged("unscored") == [f"{i:02}" for i in range(missing)]


def test_a_critical_failure_refuses_in_one_sentence_after_recording(store: Store, tmp_path: Path) -> None:
    store.rows("raw", {"answer": ""}, {})
    with pytest.raises(
        Refused, match=r"^raw failed empty_answer \(1 of 2 rows\); row 0{12}, for instance: The answer is empty: 0"
    ):
        store.check("raw")
    assert store.flagged("empty_answer")
    assert store.execute("SELECT success FROM checks WHERE check_name = 'empty_answer'") == [(False,)]
    assert "empty_answer" in (tmp_path / "out" / "curated" / "checks.html").read_text(encoding="utf-8")


def test_a_failed_warning_does_not_refuse(store: Store) -> None:
    store.rows("raw", {"prompt": "echo", "answer": "Echo"})
    found = store.check("raw")["answer_equals_prompt"]
    assert (found.severity, found.success, found.rows_failed, found.rows_tested) == ("warning", False, 1, 1)


def test_an_empty_dataset_passes_every_check(store: Store) -> None:
    for stage in ("raw", "score"):
        assert all(one.success and one.rows_failed == one.rows_tested == 0 for one in store.check(stage).values())


def test_flags_are_replaced_and_those_of_other_datasets_and_stages_stay(store: Store) -> None:
    store.rows("raw", {"sample_id": "a", "answer": "..."}, {"sample_id": "b", "answer": "!"})
    store.execute("INSERT INTO store.flags VALUES ('x', 'other', 'wordless_answer', 'info', '', NULL, NULL, '', [])")
    store.execute("INSERT INTO store.flags VALUES ('a', 'raw', 'unscored', 'info', '', NULL, NULL, '', [])")
    store.check("raw")
    store.check("raw")
    assert store.flagged("wordless_answer") == ["a", "b", "x"]
    store.execute("UPDATE store.rows SET answer = 'B' WHERE sample_id = 'b'")
    store.check("raw")
    assert store.flagged("wordless_answer") == ["a", "x"]
    assert store.flagged("unscored") == ["a"]
    assert store.execute("SELECT count(*), count(DISTINCT check_name) FROM checks") == [(len(RAW), len(RAW))]


def test_a_retired_row_is_neither_tested_nor_flagged(store: Store) -> None:
    store.rows("raw", {"answer": "..."}, {})
    store.execute("UPDATE store.rows SET retired_at = now() WHERE answer = '...'")
    assert store.check("raw")["wordless_answer"].rows_tested == 1
    assert store.flagged("wordless_answer") == []


def own_check(folder: Path, text: str) -> Path:
    (folder / "raw").mkdir()
    (folder / "raw" / "own.sql").write_text(text, encoding="utf-8")
    return folder


ROWS = "SELECT sample_id, dataset, 'A reason.' AS reason FROM rows WHERE dataset = getvariable('dataset')"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nope FROM rows",
        "SELECT this is not SQL",
        "SELECT sample_id FROM rows",  # no reason to flag
        f"{ROWS} AND error('broken') IS NULL",
    ],
)
def test_a_check_that_crashes_is_an_error_and_not_a_finding(store: Store, tmp_path: Path, sql: str) -> None:
    store.rows("raw", {}, {})
    with pytest.raises(RuntimeError, match="check own ") as caught:
        store.check("raw", folder=own_check(tmp_path, f"-- info: it breaks\n{sql}"))
    assert not isinstance(caught.value, Refused)
    assert store.execute("SELECT count(*) FROM flags") == store.execute("SELECT count(*) FROM checks") == [(0,)]


def test_a_check_is_plain_sql_with_braces_colons_and_percents(store: Store, tmp_path: Path) -> None:
    store.rows("raw", {"answer": "{:x} %s :y"}, {})
    sql = f"{ROWS} AND answer = '{{:x}} %s :y' AND regexp_matches(answer, 's{{1}}') AND length(answer)::BIGINT > 0;\n"
    folder = own_check(tmp_path, f"-- warning: it matters\n-- tolerate: 0.5\n-- a comment: {{}} :z\n{sql}")
    found = store.check("raw", folder=folder)["own"]
    assert (found.rows_failed, found.success) == (1, True)


@pytest.mark.parametrize("end", ["", ";", " -- the end", "; -- the end", " /* the end */;\n\n-- more\n"])
def test_a_check_may_end_with_comments(store: Store, tmp_path: Path, end: str) -> None:
    store.rows("raw", {}, {})
    assert store.check("raw", folder=own_check(tmp_path, f"-- info: all\n{ROWS}{end}"))["own"].rows_failed == 2


def test_the_rows_of_a_check_that_draws_at_random_are_the_counted_ones_and_each_once(
    store: Store, tmp_path: Path
) -> None:
    store.rows("raw", *({"sample_id": f"{i:03}"} for i in range(200)))
    sql = f"-- info: luck\nFROM ({ROWS} AND random() < 0.5) CROSS JOIN range(2)"
    assert store.check("raw", folder=own_check(tmp_path, sql))["own"].rows_failed == len(store.flagged("own")) < 200


def in_folder(store: Store, folder: Path, sql: str) -> None:
    """Run a check of the user's own."""
    own_check(folder, f"-- info: mine\n{sql}")
    flagging = Flagging(checks_folder=str(folder))
    config = config_of(store.database, "raw", "trusted").model_copy(update={"flagging": flagging})
    check(Run(config, RUN), "raw")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            "'nobody' AS sample_id, dataset",
            "it returns 1 rows that are not in the database, for instance sample_id nob",
        ),
        ("sample_id, 'elsewhere' AS dataset", "it returns 2 rows that are not in the database"),
        ("NULL AS sample_id, dataset", "sample_id NULL of dataset raw"),
    ],
)
def test_a_check_that_returns_rows_that_do_not_exist_is_named(
    store: Store, tmp_path: Path, columns: str, words: str
) -> None:
    store.rows("raw", {}, {})
    with pytest.raises(ValueError, match=rf"own\.sql: .*{words}"):
        in_folder(store, tmp_path, f"SELECT {columns}, 'bad' AS reason FROM rows WHERE dataset = 'raw'")
    assert store.execute("SELECT count(*) FROM flags") == [(0,)]


def test_a_check_that_does_not_end_is_stopped(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oresight.tasks.check.CHECK_S", 0.3)
    store.rows("raw", {}, {})
    with pytest.raises(ValueError, match=r"own\.sql: it did not end within 0 minutes"):
        in_folder(
            store,
            tmp_path,
            f"{ROWS} AND (SELECT sum(a.range * b.range) FROM range(9999999) AS a, range(9999999) AS b) = 1",
        )


@pytest.mark.parametrize("head", ["", "-- fatal: no such severity\n", "-- critical\n"])
def test_a_check_without_severity_and_why_is_refused(store: Store, tmp_path: Path, head: str) -> None:
    with pytest.raises(ValueError, match=r"own\.sql: must begin with"):
        store.check("raw", folder=own_check(tmp_path, head + ROWS))


def test_a_dataset_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(ValueError, match=r"holds no 'gone'; run `oresight ingest"):
        check(Run(config_of(store.database, "raw", "gone"), RUN), "raw")


def test_the_database_is_closed_again_also_after_a_crash(store: Store, tmp_path: Path) -> None:
    store.check("raw")
    with reading(store.database) as connection:  # another configuration: refused while anything is still open
        assert connection.execute("SELECT count(*) FROM checks").fetchone() == (len(RAW),)
    with pytest.raises(RuntimeError):
        store.check("raw", folder=own_check(tmp_path, "-- info: it breaks\nSELECT nope"))
    with reading(store.database):
        pass


def test_the_suite_and_its_result_are_kept(store: Store) -> None:
    store.rows("raw", {"answer": "..."})
    store.check("raw")
    store.check("raw")
    ((stage, suite, result),) = store.execute("SELECT stage, suite, result FROM store.suites")
    wordless = sorted(RAW).index("wordless_answer")
    expectation = json.loads(suite)["expectations"][wordless]
    assert (stage, expectation["severity"], expectation["meta"]["check"]) == ("raw", "info", "wordless_answer")
    assert "regexp_matches" in expectation["meta"]["sql"]
    assert json.loads(suite)["meta"]["variables"]["reference_hash"] == "hash of trusted"
    assert json.loads(result)[wordless]["result"] == {"observed_value": 1}


def test_the_page_lists_both_stages_and_escapes_what_rows_say(store: Store, tmp_path: Path) -> None:
    page = tmp_path / "out" / "curated" / "checks.html"
    answer = "<script>alert(1)</script>" + "x" * 500
    store.rows("raw", {"prompt": answer, "answer": answer, "sample_id": "a"})
    store.scores({"sample_id": "a"})
    store.check("raw")
    store.check("score")
    html = page.read_text(encoding="utf-8")
    assert all(name in html for name in [*RAW, *SCORE])
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "://" not in html
    assert "x" * 200 not in html
    assert list(tmp_path.glob("*unfinished*")) == []


def low_values(store: Store, values: Any, trusted: Any, rate: float) -> dict[str, tuple[float, float]]:
    """p and q of the flagged rows, by sample_id."""
    rows = [{"sample_id": f"r{i}", "value": float(v)} for i, v in enumerate(values)]
    references = [{"sample_id": f"t{i}", "value": float(v)} for i, v in enumerate(trusted)]
    store.rows("raw", *({"sample_id": row["sample_id"]} for row in rows))
    store.rows("trusted", *({"sample_id": row["sample_id"]} for row in references))
    store.scores(*rows, *references)
    store.check(flagging=Flagging(false_discovery_rate=rate))
    found = store.execute("SELECT sample_id, p_value, q_value FROM flags WHERE check_name = 'low_value'")
    return {sample_id: (p, q) for sample_id, p, q in found}


@pytest.mark.parametrize("seed", range(3))
def test_p_and_q_are_what_numpy_and_scipy_say(store: Store, seed: int) -> None:
    draw = np.random.default_rng(seed)
    values, trusted = draw.normal(-0.3, 1.2, 300).round(1), draw.normal(0, 1, 80).round(1)  # rounded: ties
    p = (1 + (trusted[None] <= values[:, None]).sum(1)) / (1 + len(trusted))
    q = false_discovery_control(p, method="bh")
    found = low_values(store, values, trusted, rate=0.9999)
    flagged = {f"r{i}" for i in np.flatnonzero(q <= 0.9999)}
    assert found.keys() == flagged
    assert len(flagged) > 100
    assert np.allclose(
        [found[f"r{i}"] for i in range(300) if f"r{i}" in found], [(p[i], q[i]) for i in range(300) if f"r{i}" in found]
    )


def test_rows_like_the_trusted_ones_are_not_flagged_and_planted_ones_are(store: Store) -> None:
    draw = np.random.default_rng(0)
    values = np.concatenate([draw.normal(0, 1, 180), draw.normal(-6, 1, 20)])
    found = low_values(store, values, draw.normal(0, 1, 200), rate=0.1)
    assert found.keys() >= {f"r{i}" for i in range(180, 200)}
    assert len(found) <= 24


def test_as_many_low_rows_as_the_trusted_ones_allow_are_flagged(store: Store) -> None:
    assert len(low_values(store, [-50.0] * 5 + [1.0] * 95, np.linspace(0, 2, 199), rate=0.1)) == 5


def test_one_low_row_less_is_too_few(store: Store) -> None:
    assert low_values(store, [-50.0] * 4 + [1.0] * 96, np.linspace(0, 2, 199), rate=0.1) == {}


def test_999_trusted_rows_show_a_single_bad_row(store: Store) -> None:
    assert low_values(store, [-50.0] + [1.0] * 99, np.linspace(0, 2, 999), rate=0.1).keys() == {"r0"}
