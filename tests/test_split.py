"""Every row gets one decision with its reason; the judge of ranks and budgets is a second computation in pandas."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest

from oresight.tasks.config import Curate, Splitting
from oresight.tasks.database import reading, transaction, writing
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.scope import ModelIdentity
from oresight.tasks.split import Split, split

KEY = "key"


def sample_id(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()[:32]


def row(n: int, value: float | None = 0.0, tokens: int = 10, group: Any = "a", **record: Any) -> dict[str, Any]:
    """A row of the dataset; with no value it has no score."""
    record = record or {"question": f"q{n}", "answer": f"a{n}", "group": group}
    text = json.dumps(record, ensure_ascii=False)
    return {"sample_id": sample_id(n), "value": value, "tokens": tokens, "group": group, "record": text}


def fill(database: str, rows: list[dict[str, Any]], flags: Sequence[tuple[str, str, str]] = ()) -> None:
    """Make the database hold a scored dataset, as ingest, score and check leave it. Flags: id, check, severity."""
    frame = pd.DataFrame(
        [
            r | {"metadata": json.dumps({} if r["group"] == "ABSENT" else {"group": r["group"]}), "line": i + 1}
            for i, r in enumerate(rows)
        ]
    )
    digest = hashlib.sha256("".join(sorted(frame.sample_id)).encode()).hexdigest()
    flagged = pd.DataFrame(flags, columns=["sample_id", "check_name", "severity"])
    with writing(database) as connection, transaction(connection):
        for table in ("rows", "datasets", "scores", "models", "flags", "unscorable"):
            connection.execute(f"DELETE FROM store.{table}")
        connection.register("frame", frame)
        connection.register("flagged", flagged)
        connection.execute(
            "INSERT INTO store.rows BY NAME SELECT 'raw' AS dataset, sample_id, 'instruction' AS kind, 'q' AS prompt,"
            " 'a' AS answer, '[]' AS messages, metadata, record, 'f.jsonl' AS source_file, line AS source_line"
            " FROM frame"
        )
        files = json.dumps([{"path": "f.jsonl", "sha256": "ab", "bytes": 3}])
        for name, role, content in (("raw", "dataset", digest), ("trusted", "reference", "trusted-hash")):
            connection.execute(
                "INSERT INTO store.datasets"
                " VALUES (?, ?, 'f.jsonl', 'table', 'instruction', ?, 0, 0, ?, ?, 'x', now(), 'r')",
                [name, role, len(rows), content, files],
            )
        connection.execute(
            "INSERT INTO store.models VALUES (?, 'tiny@0', 'w', NULL, 't', 'm', 9, 1, '{}', now(), now())", [KEY]
        )
        connection.execute(
            "INSERT INTO store.scores BY NAME SELECT sample_id, 'key' AS model_key, 'trusted' AS reference,"
            " 'trusted-hash' AS reference_hash, value, value / tokens AS value_per_token, tokens AS answer_tokens,"
            " 1 AS prompt_tokens, false AS truncated, []::VARCHAR[] AS tokens, []::FLOAT[] AS token_values,"
            " []::FLOAT[] AS token_logprobs, now() AS scored_at, 'r' AS run_id FROM frame WHERE value IS NOT NULL"
        )
        connection.execute(
            "INSERT INTO store.flags BY NAME SELECT sample_id, 'raw' AS dataset, check_name, severity,"
            " 'why ' || check_name AS reason, 'r' AS run_id FROM flagged"
        )


def settings(folder: Path, **splitting: Any) -> Curate:
    return Curate.model_validate(
        {
            "database": str(folder / "t.duckdb"),
            "dataset": {"name": "raw", "path": "x"},
            "reference": {"name": "trusted", "path": "y"},
            "splitting": {"name": "chosen", "by": "value"} | splitting,
            "publishing": {"folder": str(folder / "out")},
        }
    )


@contextmanager
def open_run(config: Curate) -> Iterator[Run]:
    """A run whose model is the one that `fill` has scores of."""
    with recorded(config, "test") as run:
        yield Run(config, run.run_id, ModelIdentity(KEY, "a@key"))


def divide(run: Run) -> Split:
    return split(run)


def decisions(config: Curate, version: int) -> pd.DataFrame:
    with reading(config.database) as connection:
        question = "FROM split_rows WHERE split = 'chosen' AND version = ? ORDER BY sample_id"
        return connection.execute(question, [version]).df().set_index("sample_id")


def decided(folder: Path, table: list[dict[str, Any]], flags: Any = (), **splitting: Any) -> tuple[Split, pd.DataFrame]:
    config = settings(folder, **splitting)
    with open_run(config) as run:
        fill(config.database, table, flags)
        done = divide(run)
    return done, decisions(config, done.version)


def expected(rows: list[dict[str, Any]], flagged: set[str], splitting: Splitting) -> set[str]:
    """The sample_ids that stay, by a computation of its own."""
    frame = pd.DataFrame(rows)
    frame["draw"] = [hashlib.md5((i + str(splitting.seed)).encode()).hexdigest() for i in frame.sample_id]
    per_token = frame.value.astype(float) / frame.tokens
    frame["merit"] = {"value": frame.value.astype(float), "value_per_token": per_token, "random": 0.0}[splitting.by]
    group = frame.group.astype(str) if splitting.per else pd.Series("all", index=frame.index)
    kept: set[str] = set()
    shares = {name: len(part) / len(frame) for name, part in frame.groupby(group)}
    quotas: dict[Any, float] = {}
    if splitting.keep is not None:
        quotas = {name: math.floor(splitting.keep * round(s * len(frame)) + 1e-9) for name, s in shares.items()}
    elif splitting.rows is not None:
        budget = min(splitting.rows, len(frame))
        exact = {name: budget * round(s * len(frame)) for name, s in shares.items()}  # in 1/len(frame)
        quotas = {name: x // len(frame) for name, x in exact.items()}
        most = sorted(exact, key=lambda name: (-(exact[name] % len(frame)), name))
        for name in most[: budget - int(sum(quotas.values()))]:
            quotas[name] += 1
    for name, part in frame.groupby(group):
        able = part[part.value.notna() & ~part.sample_id.isin(flagged)]
        able = able.sort_values(["merit", "draw", "sample_id"], ascending=[False, True, True])
        if splitting.tokens is not None:
            able = able[able.tokens.cumsum() <= splitting.tokens * shares[name] + 1e-9]
        kept |= set(able.sample_id[: int(quotas.get(name, len(able)))])
    return kept


BUDGETS: list[dict[str, Any]] = [{"keep": 0.29}, {"keep": 0.7}, {"rows": 37}, {"rows": 500}, {"tokens": 400}, {}]


@pytest.mark.parametrize("by", ["value", "value_per_token", "random"])
@pytest.mark.parametrize("count", [11, 130])
def test_the_rows_that_stay_are_those_of_a_second_computation(tmp_path: Path, by: str, count: int) -> None:
    random = Random(f"{by}{count}")
    values = [None, -1.0, 0.0, 0.5, 2.0]  # ties on purpose
    rows = [row(n, random.choice(values), random.randint(1, 40), random.choice("aabc")) for n in range(count)]
    flagged = {r["sample_id"] for r in rows if random.random() < 0.15}
    config = settings(tmp_path)
    with open_run(config) as run:
        fill(config.database, rows, [(i, "low_value", "warning") for i in sorted(flagged)])
        for budget, per in product(BUDGETS, (None, "group")):
            splitting = Splitting.model_validate({"name": "chosen", "by": by, "per": per, **budget})
            done = split(Run(config.model_copy(update={"splitting": splitting}), run.run_id, run.model))
            frame, wanted = decisions(config, done.version), expected(rows, flagged, splitting)
            assert set(frame.index[frame.decision == "keep"]) == wanted
            assert list(frame.index) == sorted(r["sample_id"] for r in rows)  # one decision each
            assert (frame.reason.str.len() > 5).all()
            assert (done.rows_kept, done.rows_dropped) == (len(wanted), len(rows) - len(wanted))
            assert done.tokens_kept == sum(r["tokens"] for r in rows if r["sample_id"] in wanted)
            ranks = frame["rank"].dropna()
            assert sorted(ranks) == list(range(1, len(ranks) + 1))


def test_a_warning_drops_a_row_and_an_information_does_not(tmp_path: Path) -> None:
    rows = [row(n, 1.0 - n) for n in range(4)]
    ids = [r["sample_id"] for r in rows]
    flags = [(ids[0], "b", "warning"), (ids[0], "a", "warning"), (ids[0], "z", "critical"), (ids[1], "note", "info")]
    done, frame = decided(tmp_path, rows, [*flags, (ids[2], "b", "warning")])
    assert frame.reason[ids[0]] == "flagged by z: why z (and 2 more)"
    assert frame.reason[ids[1]] == "kept: rank 1 of 2 by value"
    assert frame.reason[ids[2]] == "flagged by b: why b"
    assert pd.isna(frame["rank"][ids[0]]) and frame.value[ids[0]] == 1.0
    assert (done.rows_kept, done.rows_dropped, done.tokens_kept) == (2, 2, 20)


def test_drop_nothing_keeps_flagged_rows(tmp_path: Path) -> None:
    rows = [row(n) for n in range(3)]
    done, _ = decided(tmp_path, rows, [(r["sample_id"], "a", "critical") for r in rows], drop="nothing")
    assert done.rows_kept == 3


def test_a_row_over_budget_is_told_its_rank(tmp_path: Path) -> None:
    rows = [row(n, -float(n)) for n in range(10)]
    _, frame = decided(tmp_path, rows, keep=0.7)
    assert frame.reason[sample_id(6)] == "kept: rank 7 of 10 by value"
    assert frame.reason[sample_id(7)] == "over budget: rank 8 of 10 by value, 7 kept"
    assert frame.decision[sample_id(7)] == "drop"


def test_a_row_without_a_usable_score_is_dropped_and_told_why(tmp_path: Path) -> None:
    rows = [row(1), row(2, None), row(3, None), row(4, math.inf)]
    config = settings(tmp_path)
    with open_run(config) as run:
        fill(config.database, rows)
        with writing(config.database) as connection:
            connection.execute(
                "INSERT INTO store.unscorable VALUES (?, ?, 'the answer is empty', 'r')", [sample_id(3), KEY]
            )
            connection.execute("UPDATE store.scores SET value = 'nan' WHERE sample_id = ?", [sample_id(4)])
        frame = decisions(config, divide(run).version)
    assert frame.reason[sample_id(2)] == "not scored: no score yet"
    assert frame.reason[sample_id(3)] == "not scored: the answer is empty"
    assert frame.reason[sample_id(4)] == "not scored: its value is not a number"
    assert frame["rank"][sample_id(1)] == 1


def test_a_score_against_another_reference_does_not_count(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with open_run(config) as run:
        fill(config.database, [row(1), row(2)])
        with writing(config.database) as connection:
            connection.execute("UPDATE store.scores SET reference_hash = 'older' WHERE sample_id = ?", [sample_id(1)])
        frame = decisions(config, divide(run).version)
    assert list(frame.decision[[sample_id(1), sample_id(2)]]) == ["drop", "keep"]


def test_rows_without_the_column_are_a_group_of_their_own(tmp_path: Path) -> None:
    groups = ["a"] * 10 + [None] * 4 + ["ABSENT"] * 6 + ["(none)"] * 10
    rows = [row(n, float(n), group=group) for n, group in enumerate(groups)]
    _, frame = decided(tmp_path, rows, per="group", keep=0.5)
    kept = set(frame.index[frame.decision == "keep"])
    assert [sum(sample_id(n) in kept for n in r) for r in (range(10), range(10, 20), range(20, 30))] == [5, 5, 5]
    assert "rank 1 of 10" in frame.reason[sample_id(9)] and "group" in frame.reason[sample_id(9)]


def test_a_column_that_no_row_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"splitting.per: no row of 'raw' has a column 'topic'; there are: group$"):
        decided(tmp_path, [row(1)], per="topic")


@pytest.mark.parametrize("name", ["a.b", 'say "x"', "it's", "$[*]", "über", "back\\slash"])
def test_any_column_name_can_divide(tmp_path: Path, name: str) -> None:
    config = settings(tmp_path, per=name, keep=0.5)
    with open_run(config) as run:
        fill(config.database, [row(n, float(n)) for n in range(4)])
        with writing(config.database) as connection:
            for n in range(4):
                metadata = json.dumps({name: "x" if n < 2 else "y", "a": {"b": n}})
                connection.execute("UPDATE store.rows SET metadata = ? WHERE sample_id = ?", [metadata, sample_id(n)])
        frame = decisions(config, divide(run).version)
    assert set(frame.index[frame.decision == "keep"]) == {sample_id(1), sample_id(3)}


def test_a_second_run_makes_no_new_version_and_a_changed_budget_does(tmp_path: Path) -> None:
    rows = [row(n, float(n)) for n in range(10)]
    first, _ = decided(tmp_path, rows, keep=0.8)
    second, _ = decided(tmp_path, rows, keep=0.8)
    third, _ = decided(tmp_path, rows, keep=0.5)
    assert [(s.version, s.new, s.rows_kept) for s in (first, second, third)] == [
        (1, True, 8),
        (1, False, 8),
        (2, True, 5),
    ]


def test_rows_that_came_in_with_other_columns_make_a_new_version(tmp_path: Path) -> None:
    decided(tmp_path, [row(1, question="q", answer="a", topic="old")])
    done, _ = decided(tmp_path, [row(1, question="q", answer="a", topic="new")])
    assert (done.version, done.new) == (2, True)


def test_a_split_that_keeps_nothing_is_refused_and_leaves_no_version(tmp_path: Path) -> None:
    config = settings(tmp_path, tokens=3)
    with open_run(config) as run:
        fill(config.database, [row(n, tokens=10) for n in range(5)])
        with pytest.raises(ValueError, match="splitting: none of the 5 rows"):
            divide(run)
    with reading(config.database) as connection:
        assert connection.execute("SELECT count(*) FROM store.splits").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM store.split_rows").fetchall() == [(0,)]


def test_a_dataset_that_was_never_read_is_named(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with open_run(config) as run, pytest.raises(ValueError, match="holds no 'raw'; run `oresight ingest"):
        divide(run)
