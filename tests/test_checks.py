"""Checks return the bad rows, all of them and no other; their flags and results are recorded whatever they say."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import false_discovery_control

from oresight.tasks.check import CHECKS, Checked, check
from oresight.tasks.config import Flagging
from oresight.tasks.database import execute, reading, turn, writing
from oresight.tasks.detection.signals import DETECTED_BY, MEASURED, SIGNALS
from oresight.tasks.runs.record import Refused, Run
from tests.support.runs import config_of, made_up_model

RUN = "a" * 32


@dataclass
class Store:
    """A database that holds dataset `raw` and reference `trusted`, and what it takes to fill it."""

    database: str
    sent: int = field(default=0)

    def execute(self, sql: str, **tables: pa.Table) -> list[tuple[Any, ...]]:
        with writing(self.database) as connection:
            for name, table in tables.items():
                connection.register(name, table)
            return connection.execute(sql).fetchall()

    def rows(self, dataset: str, *rows: dict[str, Any]) -> None:
        """Rows from what matters of them; the rest is made up."""
        made, columns = [], {column: None for row in rows for column in row}
        for row in rows:
            self.sent += 1
            made.append(columns | {"prompt": f"question {self.sent}", "answer": "An answer."} | row)
            made[-1]["sample_id"] = row.get("sample_id", f"{self.sent:032x}")
            turns = [
                {"role": "user", "content": made[-1]["prompt"]},
                {"role": "assistant", "content": made[-1]["answer"]},
            ]
            made[-1]["messages"] = row.get("messages", json.dumps(turns))
            made[-1]["kind"] = "vqa" if row.get("images") else "instruction"
        pictures = [one for row in rows for one in row.get("images") or [] if "spread" in one]
        with writing(self.database) as connection:
            connection.register("made", pa.Table.from_pylist(made))
            connection.execute(
                "INSERT INTO store.rows BY NAME SELECT *, $dataset AS dataset, '{}' AS metadata,"
                " '{}' AS record, 'rows.jsonl' AS source_file, 1 AS source_line FROM made",
                {"dataset": dataset},
            )
            if pictures:
                connection.register("pictures", pa.Table.from_pylist(pictures))
                connection.execute(
                    "INSERT INTO store.pictures BY NAME SELECT path, sha256, spread, $dataset AS dataset FROM pictures",
                    {"dataset": dataset},
                )

    def scores(self, *scores: dict[str, Any]) -> None:
        some = {"value": 0.5, "self_value": 1.0, "nll": 1.0, "reference_hash": "hash of trusted", "truncated": False}
        some |= {column: None for score in scores for column in score if column not in some}
        some |= {"token_values": [0.0], "token_logprobs": [0.0]}
        self.execute(
            "INSERT INTO store.scores BY NAME SELECT *, 'key' AS model_key, 'trusted' AS reference, 1 AS answer_tokens,"
            " 1 AS prompt_tokens, [] AS tokens, now() AS scored_at,"
            " '' AS run_id FROM made",
            made=pa.Table.from_pylist([some | score for score in scores]),
        )

    def suspicions(self, q_values: dict[str, float]) -> None:
        some = {
            "suspicion": 1.0,
            "p_value": 0.01,
            "looks_like": "swapped_answer",
            "signals": ["nll"],
            "role": "dataset",
        }
        self.execute(
            "INSERT INTO store.suspicions BY NAME SELECT *, 'raw' AS dataset, 'key' AS model_key,"
            " 'trusted' AS reference, 'hash of trusted' AS reference_hash, '' AS run_id FROM made",
            made=pa.Table.from_pylist([some | {"sample_id": name, "q_value": q} for name, q in q_values.items()]),
        )

    def check(self, stage: Any = "score", flagging: Flagging | None = None, **options: Any) -> dict[str, Checked]:
        config = config_of(self.database, "raw", **({"flagging": flagging} if flagging else {}))
        return {one.name: one for one in check(Run(config, RUN, made_up_model()), stage, **options)}

    def flagged(self, name: str) -> list[str]:
        return [row for (row,) in self.execute(f"SELECT sample_id FROM flags WHERE check_name = '{name}' ORDER BY ALL")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    database = str(tmp_path / "oresight.duckdb")
    with turn(database), writing(database) as connection:
        for name in ("raw", "trusted"):
            connection.execute(
                "INSERT INTO store.datasets SELECT $name, 'dataset', '', '', 'instruction', 0, 0, 0,"
                " 'hash of ' || $name, '[]', '', now(), ''",
                {"name": name},
            )
        connection.execute(
            "INSERT INTO store.models SELECT 'key', 'a@key', '', NULL, '', '', 64, 1, '{}', now(), now()"
        )
    return Store(database)


PICTURE = {"path": "a.png", "sha256": "one", "width": 1, "height": 1}
NOTHING_TRUSTED: list[dict[str, Any]] = []
RAW: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]] = {
    # check: good rows, bad rows, trusted rows
    "empty_answer": (
        [{"answer": "7"}, {"answer": " no\n"}, {"answer": "\u200b"}],
        [{"answer": ""}, {"answer": " \n\t\u00a0\u3000\x1f\x85\v"}],
        NOTHING_TRUSTED,
    ),
    "wordless_answer": (
        [{"answer": "7"}, {"answer": "- Paris"}, {"answer": "東京"}, {"answer": "é"}, {"answer": "½"}],
        [{"answer": "..."}, {"answer": "\u200b"}, {"answer": "-"}, {"answer": "{:}%"}],
        NOTHING_TRUSTED,
    ),
    "answer_equals_prompt": (
        [
            {"prompt": "Say hi", "answer": "hi"},
            {"prompt": "a", "answer": "Not a"},
            {
                "prompt": "q\ntool says x",
                "answer": "x",
                "messages": json.dumps([{"role": "tool", "content": "x"}, {"role": "assistant", "content": "x"}]),
            },
        ],
        [
            {"prompt": "Who ARE you?", "answer": " who are you?\n"},
            {
                "prompt": "be kind\nhello",
                "answer": "Hello",
                "messages": json.dumps(
                    [
                        {"role": "system", "content": "be kind"},
                        {"role": "user", "content": "hello"},
                        {"role": "assistant", "content": "Hello"},
                    ]
                ),
            },
        ],
        NOTHING_TRUSTED,
    ),
    "contamination": ([{"sample_id": "1"}], [{"sample_id": "2"}], [{"sample_id": "2"}, {"sample_id": "3"}]),
    "same_prompt_different_answers": (
        [
            {"prompt": "one"},
            {"prompt": "twice", "answer": "same"},
            {"prompt": "twice", "answer": "same"},
            {"prompt": "what is it?", "answer": "a cat", "images": [PICTURE]},
            {"prompt": "what is it?", "answer": "a dog", "images": [PICTURE | {"sha256": "two"}]},
        ],
        [
            {"prompt": "p", "answer": "yes"},
            {"prompt": "p", "answer": "no"},
        ],
        [{"prompt": "one", "answer": "another"}],
    ),
    "same_picture_different_answers": (
        [
            {"prompt": "what is it?", "answer": "a cat", "images": [PICTURE]},
            {"prompt": "what is it?", "answer": "A cat ", "images": [PICTURE]},
            {"prompt": "what is it?", "answer": "a dog", "images": [PICTURE | {"sha256": "two"}]},
        ],
        [
            {"prompt": "How many?", "answer": "1", "images": [PICTURE]},
            {"prompt": "how many?", "answer": "2", "images": [PICTURE | {"path": "b.png"}]},
        ],
        [{"prompt": "how many?", "answer": "3", "images": [PICTURE | {"sha256": "two"}]}],
    ),
    "answer_of_another_type": (
        [
            *({"prompt": f"how many {i}?", "answer": str(i % 4), "images": [PICTURE]} for i in range(120)),
            *({"prompt": f"what color is {i}?", "answer": "red", "images": [PICTURE]} for i in range(40)),
            {"prompt": "how many 61?", "answer": "seldom seen", "images": [PICTURE]},
            {"prompt": "what color is text?", "answer": "2"},
        ],
        [
            {"prompt": "how many 99?", "answer": "red", "images": [PICTURE]},
            {"prompt": "What color is 99?", "answer": "2", "images": [PICTURE]},
        ],
        NOTHING_TRUSTED,
    ),
    "uniform_picture": (
        [{"images": [PICTURE | {"path": "b.png", "spread": 30.0}]}],
        [{"images": [PICTURE | {"spread": 1.2}]}, {"images": [PICTURE | {"path": "c.png", "spread": 0.0}]}],
        NOTHING_TRUSTED,
    ),
    "shared_picture": (
        [{"images": [PICTURE | {"sha256": "two"}]}, {"images": None}],
        [{"images": [PICTURE]}],
        [{"images": [PICTURE | {"path": "b.png"}]}],
    ),
}
SCORE: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    # check: scores of good rows, scores of bad rows; an empty one is a row that was not scored
    "not_finite": ([{"value": -3.0}, {"value": None}], [{"value": float("nan")}, {"image_gain": float("inf")}]),
    "truncated": ([{"truncated": False}], [{"truncated": True}]),
    "unscored": ([{"nll": 2.0}], [{}, {"reference_hash": "hash of an older trusted"}]),
    "low_value": ([{"value": 0.5}, {"value": -5.0}], [{"value": -20.0}, {"value": -30.0}]),
    "looks_mislabeled": ([{}, {"q_value": 0.11}], [{"q_value": 0.1}, {"q_value": 0.001}]),
}


def outcome(store: Store, stage: str) -> dict[str, tuple[str, int]]:
    """Severity and bad rows of each check, as recorded: a refusal does not keep them from us."""
    with suppress(Refused):
        store.check(stage)
    return {
        name: (severity, n)
        for name, severity, n in store.execute("SELECT check_name, severity, rows_failed FROM checks")
    }


@pytest.mark.parametrize("name", [file.stem for file in sorted((CHECKS / "raw").glob("*.sql"))])
def test_a_raw_check_returns_the_bad_rows_and_no_other(store: Store, name: str) -> None:
    good, bad, trusted = RAW[name]  # a new check needs rows here
    wanted = [{"sample_id": f"good{i}"} | row for i, row in enumerate(good)] + [
        {"sample_id": f"bad{i}"} | row for i, row in enumerate(bad)
    ]
    store.rows("raw", *wanted)
    if trusted:
        store.rows("trusted", *trusted)
    found = outcome(store, "raw")
    expected = sorted(row["sample_id"] for row in wanted[len(good) :])
    assert store.flagged(name) == expected
    assert found[name][1] == len(expected)


@pytest.mark.parametrize("name", [file.stem for file in sorted((CHECKS / "score").glob("*.sql"))])
def test_a_score_check_returns_the_bad_rows_and_no_other(store: Store, name: str) -> None:
    good, bad = SCORE[name]  # a new check needs scores here
    scores = {f"good{i}": score for i, score in enumerate(good)} | {f"bad{i}": score for i, score in enumerate(bad)}
    trusted = [{"sample_id": f"trusted{i}", "value": -9.0 + i, "nll": 0.1 * i} for i in range(40)]
    store.rows("raw", *({"sample_id": sample_id} for sample_id in scores))
    store.rows("trusted", *({"sample_id": score["sample_id"]} for score in trusted))
    if name == "looks_mislabeled":
        store.suspicions({sample_id: score.pop("q_value") for sample_id, score in scores.items() if score})
    store.scores(*trusted, *({"sample_id": sample_id} | score for sample_id, score in scores.items() if score))
    found = outcome(store, "score")
    expected = [f"bad{i}" for i in range(len(bad))]
    assert store.flagged(name) == expected
    assert found[name][1] == len(expected)


def test_every_reason_is_a_sentence(store: Store) -> None:
    for good, bad, trusted in RAW.values():
        store.rows("raw", *good, *bad)
        if trusted:
            store.rows("trusted", *trusted)
    outcome(store, "raw")
    outcome(store, "score")
    reasons = [reason for (reason,) in store.execute("SELECT DISTINCT reason FROM flags")]
    assert len(reasons) > 10
    assert all(reason[0].isupper() and " " in reason and reason.endswith(".") for reason in reasons)


def test_an_unscorable_rows_reason_is_that_of_the_model(store: Store) -> None:
    store.rows("raw", {"sample_id": "long"}, {"sample_id": "new"})
    store.execute("INSERT INTO store.unscorable VALUES ('long', 'key', 'it has no answer tokens', '')")
    with pytest.raises(Refused):
        store.check()
    reasons = dict(store.execute("SELECT sample_id, reason FROM flags WHERE check_name = 'unscored'"))
    assert "it has no answer tokens" in reasons["long"]
    assert "oresight score" in reasons["new"]


@pytest.mark.parametrize(("missing", "success"), [(1, True), (2, False)])
def test_a_tolerated_share_may_fail_and_its_rows_are_flagged_all_the_same(
    store: Store, missing: int, success: bool
) -> None:
    store.rows("raw", *({"sample_id": f"{i:02}"} for i in range(20)))
    store.scores(*({"sample_id": f"{i:02}"} for i in range(missing, 20)))
    outcome(store, "score")
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
        "SELECT sample_id FROM rows",  # counts, but cannot be flagged
        f"{ROWS} AND error('broken') IS NULL",
        f"{ROWS} AND NOT contains(current_query(), 'INS' || 'ERT')",  # counts rows, and returns none to be flagged
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
    assert "regexp_matches" in expectation["kwargs"]["unexpected_rows_query"]
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
    assert all(name in html for name in RAW | SCORE)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "http" not in html
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


def test_a_number_that_is_not_finite_is_seen_in_every_column_of_the_scores(store: Store) -> None:
    columns = store.execute(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'store' AND table_name = 'scores'"
        " AND data_type IN ('DOUBLE', 'FLOAT', 'FLOAT[]') ORDER BY ALL"
    )
    names = [name for (name,) in columns]
    assert {"image_gain", "token_values"} | {name for name, s in SIGNALS.items() if s.origin == "score"} <= set(names)
    store.rows("raw", *({"sample_id": name} for name in [*names, "good"]))
    bad = {name: [1.0, float("nan")] if name.startswith("token_") else float("nan") for name in names}
    store.scores({"sample_id": "good"}, *({"sample_id": name, name: value} for name, value in bad.items()))
    with suppress(Refused):
        store.check()
    assert store.flagged("not_finite") == names


def test_the_signals_are_listed_once_and_are_columns(store: Store) -> None:
    columns = dict(store.execute("SELECT name, type FROM pragma_table_info('store.scores')"))
    stored = {name for name, signal in SIGNALS.items() if signal.origin == "score"}
    assert stored == {name for name, kind in columns.items() if kind == "DOUBLE"}
    names = {"dataset": "raw", "reference": "trusted", "reference_hash": "", "model_key": "key", "pointer": "/truth"}
    with reading(store.database) as connection:
        for query, signals in (("evaluate_rows", MEASURED), ("flag_signals", DETECTED_BY)):
            answer = execute(connection, query, names).description
            assert set(signals) <= {column[0] for column in answer}, query
