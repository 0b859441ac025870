"""Random files, configurations and SQL: make fuzz. Each ends with a result or with one sentence, and nothing is lost.

Files are made from small valid ones by changes to their bytes. FUZZ is the number of examples of each kind. It is no
part of the tests, because another run tries other inputs. A failure prints the example, which then becomes a test.
"""

import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oresight.tasks.config import Curate, Dataset
from oresight.tasks.configfile import read_config
from oresight.tasks.connection import DatabaseError, statements_that_read
from oresight.tasks.database import reading, turn
from oresight.tasks.runs.faults import ResourceExhausted
from tests.support.runs import ingest_into

EXAMPLES = int(os.environ.get("FUZZ", "500"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
ROWS = [{"prompt": f"{i} + {i}?", "completion": str(2 * i), "source": "book"} for i in range(4)]
CHATS = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, {"messages": "[]"}]
WORDS = [
    b'{"',
    b"}",
    b"[",
    b"]]",
    b",",
    b"\n",
    b"\r",
    b"\0",
    b'"',
    b"\\u0000",
    b"\\",
    b"null",
    b"NaN",
    b"1e999",
    b"\xff",
]
WORDS += [b"\xef\xbb\xbf", b"\xff\xfe", b"messages", b"images", b"../../etc/passwd", b"\xed\xa0\x80", b"9" * 400]


def archive(kind: str) -> bytes:
    content, lines = io.BytesIO(), seeds()["a.jsonl"]
    if kind == "zip":
        with zipfile.ZipFile(content, "w") as file:
            file.writestr("a.jsonl", lines)
    else:
        with tarfile.open(fileobj=content, mode="w") as file:
            member = tarfile.TarInfo("a.jsonl")
            member.size = len(lines)
            file.addfile(member, io.BytesIO(lines))
    return content.getvalue()


def seeds() -> dict[str, bytes]:
    """Small files that are right, by name."""
    lines, frame, parquet = "".join(json.dumps(row) + "\n" for row in ROWS).encode(), pd.DataFrame(ROWS), io.BytesIO()
    frame.to_parquet(parquet)
    chats = "".join(json.dumps(row) + "\n" for row in CHATS).encode()
    return {
        "a.jsonl": lines, "chats.jsonl": chats, "a.json": json.dumps(ROWS).encode(), "a.csv": frame.to_csv().encode(),
        "a.tsv": frame.to_csv(sep="\t").encode(), "a.parquet": parquet.getvalue(), "a.jsonl.gz": gzip.compress(lines),
    }  # fmt: skip


FILES = seeds() | {f"a.{kind}": archive(kind) for kind in ("zip", "tar")}


@st.composite
def changed(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file's name, and its bytes with up to six changes."""
    name = draw(st.sampled_from(sorted(FILES)))
    content = FILES[name]
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 0, 1, 4, 50])))
        new = draw(st.sampled_from(WORDS) | st.binary(max_size=8) | st.just(content[start : start + 80]))
        content = content[:start] + new + content[end:]
    return name, content


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with four rows of the dataset `stays`, which nothing may touch."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "a.jsonl").write_bytes(FILES["a.jsonl"])
    with turn(path := str(folder / "o.duckdb")):
        ingest_into(path, Dataset(name="stays", path=str(folder / "a.jsonl")))
        yield path


def is_sentence(error: Exception) -> bool:
    return len(str(error)) > 10 and "\n" not in str(error)


@fuzzed
@given(changed())
def test_files(database: str, tmp_path: Path, file: tuple[str, bytes]) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    path = tmp_path / file[0]
    path.write_bytes(file[1])
    try:
        done = ingest_into(database, Dataset(name="fuzz", path=str(path)))
    except (ValueError, ResourceExhausted) as error:
        assert is_sentence(error), error
    else:
        assert done.rows > 0
    with reading(database) as connection:
        ((rows,),) = connection.execute("SELECT count(*) FROM rows WHERE dataset = 'stays'").fetchall()
    assert rows == len(ROWS)


def keys_of(schema: dict[str, Any]) -> list[str]:
    """All names in a JSON schema."""
    names = [*schema.get("properties", {})]
    return names + [name for part in schema.get("$defs", {}).values() for name in part.get("properties", {})]


KEYS = st.sampled_from(sorted(set(keys_of(Curate.model_json_schema())))) | st.text(max_size=6)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["flagged", "../x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
BASE = {"dataset": {"name": "d", "path": "a.jsonl"}, "reference": {"name": "t", "path": "a.jsonl"}}


@fuzzed
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.lists(st.text(max_size=20), max_size=2), st.booleans())
@example({}, ["a=b=c"], True)
def test_configurations(tmp_path: Path, tree: dict[str, Any], changes: list[str], is_usable: bool) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump((BASE if is_usable else {}) | tree, allow_unicode=True), encoding="utf-8")
    try:
        read_config(path, changes)
    except ValueError as error:
        assert is_sentence(error), error


SQL = ["SELECT", "FROM", "rows", "store.rows", "*", "count(*)", "(", ")", ";", ",", "'a'", "1", "AS", "WITH", "x"]
SQL += [
    "CALL",
    "PRAGMA",
    "SET",
    "ATTACH",
    "COPY",
    "TO",
    "EXPLAIN",
    "read_text('/etc/passwd')",
    "glob('/*')",
    "DROP",
    "TABLE",
]
SQL += [
    "INSERT INTO",
    "UPDATE",
    "DELETE",
    "CREATE",
    "TEMP",
    "VIEW",
    "MACRO",
    "enable_logging()",
    "query('SELECT 1')",
    "--",
]


@fuzzed
@given(st.lists(st.sampled_from(SQL) | st.text(max_size=5), max_size=10).map(" ".join))
def test_sql(database: str, text: str) -> None:
    before = Path(database).read_bytes()
    try:
        with reading(database, guarded=True) as connection:
            for statement in statements_that_read(connection, text):
                connection.execute(statement).fetchmany(10)
    except (DatabaseError, ValueError) as error:
        assert "root:" not in str(error)
    assert Path(database).read_bytes() == before
