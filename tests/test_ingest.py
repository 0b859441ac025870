"""The database holds what the files hold: each row once, each unusable line with its reason."""

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oresight.tasks.config import Dataset
from oresight.tasks.database import reading, transaction, turn, writing
from oresight.tasks.ingest import Ingested
from tests.support.runs import ingest_into

Ingest = Callable[..., Ingested]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "store" / "test [1].duckdb")
    with turn(path):
        yield path


@pytest.fixture
def take(database: str) -> Ingest:
    def taken(path: Path | str, name: str = "rows", role: str = "dataset", **columns: str) -> Ingested:
        dataset = Dataset(name=name, path=str(path), columns=columns)  # type: ignore[arg-type]
        return ingest_into(database, dataset, role)  # type: ignore[arg-type]

    return taken


def ask(database: str, question: str) -> list[tuple[Any, ...]]:
    with reading(database) as connection:
        return connection.execute(question).fetchall()


def pair(number: int, **more: Any) -> dict[str, Any]:
    return {"prompt": f"{number} + {number}?", "completion": str(2 * number)} | more


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_a_row_is_kept_with_all_that_came_with_it(tmp_path: Path, database: str, take: Ingest) -> None:
    file = jsonl(tmp_path / "a.jsonl", [pair(1, source="book", page=3)])
    assert take(file) == Ingested("rows", "prompt/completion", 1, 0, 0, False)
    messages = '[{"content":"1 + 1?","role":"user"},{"content":"2","role":"assistant"}]'
    canonical = f'{{"kind":"instruction","messages":{messages}}}'
    sample_id = hashlib.sha256(canonical.encode()).hexdigest()[:32]
    row = ("rows", sample_id, "instruction", "1 + 1?", "2", messages, None, '{"source":"book","page":3}')
    kept = ask(database, "SELECT * EXCLUDE (retired_at, images) FROM store.rows")
    assert kept == [(*row, json.dumps(pair(1, source="book", page=3)), str(file), 1)]
    digest = hashlib.sha256(f"{sample_id}\n".encode()).hexdigest()
    assert ask(database, "SELECT role, source, kind, content_hash FROM datasets") == [
        ("dataset", str(file), "instruction", digest)
    ]
    (files,) = ask(database, "SELECT files FROM store.datasets")[0]
    data = file.read_bytes()
    assert json.loads(files) == [{"path": str(file), "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}]


def test_the_prompt_of_several_turns_names_their_roles(tmp_path: Path, database: str, take: Ingest) -> None:
    talk = [("system", "s"), ("user", "u"), ("assistant", "a"), ("user", "v"), ("assistant", "b"), ("user", "bye")]
    row = {"messages": [{"role": role, "content": content} for role, content in talk]}
    take(jsonl(tmp_path / "a.jsonl", [row]))
    ((prompt, answer, messages),) = ask(database, "SELECT prompt, answer, messages FROM rows")
    assert (prompt, answer) == ("system: s\n\nuser: u\n\nassistant: a\n\nuser: v", "b")
    assert json.loads(messages) == row["messages"][:-1]


def test_the_same_content_has_the_same_id_in_every_kind_of_file(tmp_path: Path, database: str, take: Ingest) -> None:
    rows = [pair(n, note=f"é{n}") for n in range(20)]
    jsonl(tmp_path / "a.jsonl", rows)
    (tmp_path / "b.json").write_text(json.dumps(rows[::-1], indent=1))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    (tmp_path / "d.csv").write_text(
        "note,prompt,completion\n" + "".join(f'x,"{r["prompt"]}",{r["completion"]}\n' for r in rows)
    )
    (tmp_path / "e.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    jsonl(tmp_path / "f.jsonl", [{"instruction": r["prompt"], "input": "", "output": r["completion"]} for r in rows])
    for file in sorted(tmp_path.glob("[a-f].*")):
        assert take(file, name=file.name).rows == 20
    assert ask(database, "SELECT count(DISTINCT content_hash), count(*) FROM datasets") == [(1, 6)]


def test_tools_are_part_of_the_content(tmp_path: Path, database: str, take: Ingest) -> None:
    talk = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
    rows = [talk, talk | {"tools": '[{"name": "f"}]'}, talk | {"tools": [{"name": "f"}]}, talk | {"tools": ""}]
    assert take(jsonl(tmp_path / "a.jsonl", rows)) == Ingested("rows", "sharegpt", 2, 0, 2, False)
    assert ask(database, "SELECT tools FROM rows ORDER BY source_line") == [(None,), ('[{"name":"f"}]',)]


def test_the_first_place_is_the_row_and_further_places_are_duplicates(
    tmp_path: Path, database: str, take: Ingest
) -> None:
    jsonl(tmp_path / "b.jsonl", [pair(1), pair(2)])
    jsonl(tmp_path / "a.jsonl", [pair(2, note="first"), pair(2), pair(3)])
    assert take(tmp_path / "*.jsonl") == Ingested("rows", "prompt/completion", 3, 0, 2, False)
    query = "SELECT prompt, right(source_file, 7), source_line FROM rows ORDER BY ALL"
    assert ask(database, query) == [("1 + 1?", "b.jsonl", 1), ("2 + 2?", "a.jsonl", 1), ("3 + 3?", "a.jsonl", 3)]
    query = "SELECT right(source_file, 7), source_line FROM store.duplicates ORDER BY ALL"
    assert ask(database, query) == [("a.jsonl", 2), ("b.jsonl", 2)]


def test_unusable_lines_are_rejects_with_their_line(tmp_path: Path, database: str, take: Ingest) -> None:
    rows = [pair(n) for n in range(9)]
    bad = ["{", "", "[1]", pair(1, completion=None), '{"prompt": "\\u0000", "completion": "x"}', pair(1, completion="")]
    literal = pair(10, completion="a backslash and u0000: \\u0000")
    found = take(jsonl(tmp_path / "a.jsonl", [*rows, *bad, literal]))
    assert (found.rows, found.rejected) == (10, 5)
    assert ask(database, "SELECT source_line, reason, raw FROM rejects ORDER BY 1") == [
        (10, "is not JSON: unexpected end of data (column 2)", "{"),
        (12, "holds a list, not an object with fields", "[1]"),
        (13, "field 'completion' holds null, not text", json.dumps(bad[3])),
        (14, "holds a NUL character (\\u0000)", bad[4]),
        (15, "field 'completion' is empty", json.dumps(bad[5])),
    ]


def test_what_is_kept_of_a_reject_is_short_and_can_be_shown(tmp_path: Path, database: str, take: Ingest) -> None:
    good = "".join(json.dumps(pair(n)) + "\n" for n in range(5)).encode()
    (tmp_path / "a.jsonl").write_bytes(good + b"\x00\xff" + b"x" * 5000)
    assert take(tmp_path / "a.jsonl").rejected == 1
    ((reason, raw),) = ask(database, "SELECT reason, raw FROM rejects")
    assert reason == "is not UTF-8 (byte 2 of the line)"
    assert raw == "\ufffd\ufffd" + "x" * 998


@pytest.mark.parametrize("deep", ["[" * 500 + "]" * 500, '{"a":' * 300 + "1" + "}" * 300])
def test_a_nest_too_deep_to_keep_is_a_reject(tmp_path: Path, database: str, take: Ingest, deep: str) -> None:
    line = f'{{"prompt": "p", "completion": "c", "more": {deep}}}'
    assert take(jsonl(tmp_path / "a.jsonl", [pair(1), pair(2), line])).rejected == 1
    talk = json.dumps([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])
    lines = [f'{{"messages": {talk}, "tools": {tools}}}' for tools in ("[]", deep)]
    assert take(jsonl(tmp_path / "b.jsonl", lines), name="b").rejected == 1
    assert ask(database, "SELECT count(*) FROM rejects WHERE reason LIKE 'cannot be kept as JSON%'") == [(2,)]


def test_a_line_of_20_megabytes_is_a_row(tmp_path: Path, database: str, take: Ingest) -> None:
    long = pair(1, completion="word " * 4_000_000)
    assert take(jsonl(tmp_path / "a.jsonl", [pair(2), long])).rows == 2
    assert ask(database, "SELECT max(length(answer)) FROM rows") == [(20_000_000,)]


def test_an_unchanged_source_is_not_read_again(tmp_path: Path, database: str, take: Ingest) -> None:
    file = jsonl(tmp_path / "a.jsonl", [pair(1), pair(1), "x", pair(2)])
    first = take(file)
    before = ask(database, "FROM store.datasets")
    again = take(file)
    assert not first.reused and again.reused
    assert (again.rows, again.rejected, again.duplicates, again.layout) == (2, 1, 1, "prompt/completion")
    assert ask(database, "FROM store.datasets") == before
    assert not take(file, role="reference").reused
    assert not take(file, prompt="completion", answer="prompt").reused
    jsonl(file, [pair(1), pair(3)])
    assert not take(file).reused


def test_rows_that_leave_are_retired_and_come_back(tmp_path: Path, database: str, take: Ingest) -> None:
    file = tmp_path / "a.jsonl"
    shown = "SELECT prompt, source_line, metadata FROM rows ORDER BY ALL"
    take(jsonl(file, [pair(1), pair(2), "bad", pair(2)]))
    first_hash = ask(database, "SELECT content_hash FROM datasets")
    found = take(jsonl(file, [pair(3), pair(2, note="new")]))
    assert (found.rows, found.rejected, found.duplicates) == (2, 0, 0)
    assert ask(database, shown) == [("2 + 2?", 2, '{"note":"new"}'), ("3 + 3?", 1, "{}")]
    assert ask(database, "SELECT prompt FROM store.rows WHERE retired_at IS NOT NULL") == [("1 + 1?",)]
    assert ask(database, "SELECT count(*) FROM rejects UNION ALL SELECT count(*) FROM store.duplicates") == [(0,), (0,)]
    take(jsonl(file, [pair(2), pair(1)]))
    assert ask(database, shown) == [("1 + 1?", 2, "{}"), ("2 + 2?", 1, "{}")]
    assert ask(database, "SELECT content_hash FROM datasets") == first_hash
    assert ask(database, "SELECT count(*), count(DISTINCT sample_id) FROM store.rows") == [(3, 3)]


def test_one_dataset_does_not_touch_another(tmp_path: Path, database: str, take: Ingest) -> None:
    take(jsonl(tmp_path / "a.jsonl", [pair(1), pair(1), pair(2), "x"]), name="one")
    rows, rejects = (
        "SELECT * FROM row_sources WHERE dataset = 'one'",
        "SELECT dataset, reason, raw, source_line FROM rejects",
    )
    kept = f"{rows} UNION ALL {rejects}"
    before = ask(database, kept)
    take(jsonl(tmp_path / "b.jsonl", [pair(1)]), name="two", role="reference")
    take(jsonl(tmp_path / "b.jsonl", [pair(5)]), name="two", role="reference")
    assert sorted(ask(database, kept)) == sorted(before)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "holds no rows"),
        (["", " "], "holds no rows"),
        (["x", "y"], "2 of 2 lines are not rows that can get a value, .* the wrong file; .* line 1\\): is not JSON"),
        ([pair(1), {"a": 1}, {"a": 2}], r"2 of 3 .*\(2 times, first in .*a.jsonl, line 2\): field 'prompt' is missing"),
        (
            [{"a": 1, "b": "x"}],
            "the columns a, b fit no supported layout .* for instance dataset.columns: {prompt: b, answer: a}",
        ),
    ],
)
def test_the_wrong_file_is_one_sentence_and_changes_nothing(
    tmp_path: Path, database: str, take: Ingest, lines: list[Any], reason: str
) -> None:
    file = tmp_path / "a.jsonl"
    take(jsonl(file, [pair(1)]))
    before = ask(database, "FROM store.rows")
    with pytest.raises(ValueError, match=f"^dataset.path: .*a.jsonl: {reason}") as raised:
        take(jsonl(file, lines))
    assert "\n" not in str(raised.value)
    assert ask(database, "FROM store.rows") == before
    assert not list(Path(database).parent.glob("*.staging"))


def test_half_of_the_lines_may_be_rejects(tmp_path: Path, take: Ingest) -> None:
    assert take(jsonl(tmp_path / "a.jsonl", [pair(1), "x", pair(2), "y"])).rejected == 2


def test_an_error_names_the_field_of_the_reference(tmp_path: Path, take: Ingest) -> None:
    with pytest.raises(
        ValueError, match=r"^reference.path: .*for instance reference.columns: \{prompt: q, answer: a\}"
    ):
        take(jsonl(tmp_path / "a.jsonl", [{"q": "x", "a": "y"}]), role="reference")
    with pytest.raises(ValueError, match=r"^reference\.path: /.*none\.jsonl: no such file"):
        take("none.jsonl", role="reference")


def test_a_table_says_which_columns_were_rejected(tmp_path: Path, database: str, take: Ingest) -> None:
    pq.write_table(pa.table({"question": ["a", None, "c"], "answer": ["x", "y", "z"]}), tmp_path / "a.parquet")
    assert take(tmp_path / "a.parquet").rows == 2
    assert ask(database, "SELECT source_line, reason FROM rejects") == [(2, "field 'question' holds null, not text")]


def test_rows_in_any_order_have_the_same_content_hash(tmp_path: Path, database: str, take: Ingest) -> None:
    rows = [pair(n) for n in range(200)]
    take(jsonl(tmp_path / "a.jsonl", rows), name="a")
    random.Random(1).shuffle(rows)
    take(jsonl(tmp_path / "b.jsonl", rows), name="b")
    assert ask(database, "SELECT count(DISTINCT content_hash) FROM datasets") == [(1,)]


def test_a_commit_writes_no_log(tmp_path: Path) -> None:
    """A log that a kill cuts off gives rows of the transaction that it interrupts (duckdb/duckdb#25931)."""
    database = str(tmp_path / "a.duckdb")
    with turn(database), writing(database) as connection:
        for rows in (1, 30_000):
            with transaction(connection):
                connection.execute("DELETE FROM store.duplicates")
                connection.execute(f"INSERT INTO store.duplicates SELECT 'd', 'id', 'f', i FROM range({rows}) AS t(i)")
            assert not Path(f"{database}.wal").exists()


def test_a_killed_ingest_leaves_what_was_there(tmp_path: Path) -> None:
    database, file = str(tmp_path / "a.duckdb"), tmp_path / "a.jsonl"
    dataset = Dataset(name="rows", path=str(file))
    jsonl(file, [pair(1), pair(1)])
    with turn(database):
        ingest_into(database, dataset)
        before = ask(database, "SELECT * FROM row_sources")
    jsonl(file, [pair(n) for n in range(30_000)])
    code = """if True:
        import sys
        from oresight.tasks.config import Dataset
        from oresight.tasks.database import turn
        from tests.support.runs import ingest_into
        with turn(sys.argv[1]):
            print("go", flush=True)
            ingest_into(sys.argv[1], Dataset(name="rows", path=sys.argv[2]))
    """
    for delay in (0.2, 0.8, 1.4):
        with subprocess.Popen([sys.executable, "-c", code, database, str(file)], stdout=subprocess.PIPE) as process:
            assert process.stdout and process.stdout.readline() == b"go\n"
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
        with turn(database):
            count = len(ask(database, "FROM row_sources"))
        assert count in (len(before), 30_000)
    with turn(database):
        assert ingest_into(database, dataset).rows == 30_000
    assert not Path(f"{database}.staging").exists()
