"""A row that is forgotten leaves no byte in the database, and no later run brings it back."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from oresight.tasks.check import check
from oresight.tasks.config import Curate
from oresight.tasks.database import query, reading, transaction, writing
from oresight.tasks.forget import forget
from oresight.tasks.ingest import ingest
from oresight.tasks.plant import plant
from oresight.tasks.publish import publish
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.score import score
from tests.support.processes import oresight
from tests.support.scored import ask
from tests.test_score import TRUSTED, changed, config  # noqa: F401  config is a fixture
from tests.test_split import divide, fill, open_run, row, settings
from tests.test_split import sample_id as sample_id_of

ROOT = Path(__file__).parents[1]
WORDS = "zyxomorphic quillfeather"
KILLED = """
import os, signal, sys
from pathlib import Path
import oresight.tasks.database, oresight.tasks.forget

def end(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

forget = oresight.tasks.forget
where = {"delete": forget, "rewrite": forget, "replace": Path, "empty_folder": forget}[sys.argv[3]]
setattr(where, {"delete": "_delete"}.get(sys.argv[3], sys.argv[3]), end)
forget.forget(sys.argv[1], sys.argv[2], "asked for", "Ada")
"""


def line(prompt: str, answer: str, **more: Any) -> str:
    return json.dumps({"instruction": prompt, "output": answer, **more}) + "\n"


def scored(config: Curate, *, also_score: bool = True) -> None:  # noqa: F811
    with recorded(config, "test") as run:
        ingest(run, "dataset")
        ingest(run, "reference")
        if also_score:
            plant(run)
            score(run)


def with_words(path: str, **more: Any) -> None:
    file = Path(path)
    file.write_text(
        line(f"What is a {WORDS}?", f"A {WORDS} is a bird.", **more) + "".join(file.read_text().splitlines(True)[:19])
    )


def held(config: Curate) -> list[str]:  # noqa: F811
    """Words of the row that a file of the database still holds; a file beside it too."""
    files = [f for f in Path(config.database).parent.glob(f"{Path(config.database).name}*") if f.is_file()]
    content = b"".join(file.read_bytes() for file in files)
    return [word for word in WORDS.split() if word.encode() in content]


def holding(config: Curate) -> set[str]:  # noqa: F811
    """Columns of any table in which a word of the row can be read: the file alone may hide it by compression."""
    found = set()
    with reading(config.database) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'store'"
            " AND database_name = current_database()"
        ).fetchall()
        for table, column in columns:
            for (value,) in connection.execute(f'SELECT "{column}"::VARCHAR FROM store."{table}"').fetchall():
                if value and any(word in value.lower() for word in WORDS.split()):
                    found.add(f"{table}.{column}")
    return found


def of_words(config: Curate) -> str:  # noqa: F811
    ((sample_id,),) = ask(config, f"SELECT DISTINCT sample_id FROM store.rows WHERE messages ILIKE '%{WORDS}%'")
    return str(sample_id)


@pytest.mark.parametrize("role", ["dataset", "reference"])
def test_no_byte_of_a_forgotten_row_is_left_and_the_next_run_rejects_it(config: Curate, role: str) -> None:  # noqa: F811
    with_words(getattr(config, role).path, note=WORDS)
    scored(config)
    name = getattr(config, role).name
    question = f"SELECT sample_id FROM rows WHERE prompt LIKE '%{WORDS}%'"
    ((sample_id,),) = ask(config, question)
    with writing(config.database) as connection, transaction(connection):
        values = (sample_id, name, f"drop {WORDS}")
        connection.execute(
            "INSERT INTO store.verdicts BY NAME SELECT ? AS sample_id, ? AS dataset, 'drop' AS verdict, ? AS why,"
            " 'Ada' AS who, now() AS decided_at", values,
        )  # fmt: skip
        values = (sample_id, name, f"says {WORDS}")
        connection.execute(
            "INSERT INTO store.flags BY NAME SELECT ? AS sample_id, ? AS dataset, 'c' AS check_name,"
            " 'info' AS severity, ? AS reason, 'r' AS run_id", values,
        )  # fmt: skip
    assert held(config) == WORDS.split(), "the test could not fail"
    rows, tokens = ask(config, "SELECT count(*), (SELECT count(*) FROM scores) FROM rows")[0]
    done = forget(config.database, sample_id, "asked for", "Ada")
    assert held(config) == [] and holding(config) == set()
    assert done.datasets == [name] and (done.versions, done.rejects, done.copies) == ({}, [], [])
    assert ask(config, "SELECT sample_id, reason, who FROM forgotten") == [(sample_id, "asked for", "Ada")]
    assert ask(config, "SELECT count(*), (SELECT count(*) FROM scores) FROM rows") == [(rows - 1, tokens - 1)]
    scored(config)
    assert ask(config, question) == [] and held(config) == []
    assert ask(config, f"SELECT reason, raw FROM rejects WHERE dataset = '{name}'") == [
        ("was to be forgotten: asked for", "")
    ]
    assert ask(config, f"SELECT rejected FROM datasets WHERE dataset = '{name}'") == [(1,)]
    assert ask(config, "SELECT count(*) FROM rows") == ask(config, "SELECT count(*) FROM scores") == [(rows - 1,)]
    assert forget(config.database, sample_id, "again", "Ada").datasets == []
    assert ask(config, "SELECT reason FROM forgotten") == [("asked for",)]


def test_published_versions_that_hold_the_row_are_listed(config: Curate) -> None:  # noqa: F811
    with_words(config.dataset.path)
    scored(config, also_score=False)
    ((sample_id,),) = ask(config, f"SELECT sample_id FROM rows WHERE prompt LIKE '%{WORDS}%'")
    with writing(config.database) as connection, transaction(connection):
        for version, decision, folder in ((1, "keep", "out/v1"), (2, "drop", "out/v2"), (3, "keep", None)):
            connection.execute(
                "INSERT INTO store.splits BY NAME SELECT 's' AS split, ? AS version, 'd' AS dataset,"
                " '' AS dataset_hash, 't' AS reference, '' AS reference_hash, '' AS model_key, '' AS decision_hash,"
                " 1 AS rows_kept, 0 AS rows_dropped, 1 AS tokens_kept, ? AS folder, now() AS created_at, 'r' AS run_id",
                [version, folder],
            )  # fmt: skip
            values = [version, sample_id, decision, f"says {WORDS}"]
            connection.execute(
                "INSERT INTO store.split_rows BY POSITION"
                " SELECT 's', ?, ?, ?, ?, 1, 0.5, NULL, 'rank', NULL, NULL, NULL",
                values,
            )
    Path(f"{config.database}.before-0009").write_bytes(b"")
    done = forget(config.database, sample_id, "asked for", "Ada")
    assert done.versions == {"out/v1": "the train files", "out/v2": "dropped.parquet"}
    assert done.copies == [f"{config.database}.before-0009"]
    history = ask(config, f"SELECT version, decision, reason FROM row_history('{sample_id}')")
    assert history == [(n, d, "was to be forgotten: asked for") for n, d in ((1, "keep"), (2, "drop"), (3, "keep"))]
    assert held(config) == []


def test_a_version_that_was_decided_with_the_row_is_not_published(tmp_path: Path) -> None:
    chosen = settings(tmp_path, keep=0.8)
    with open_run(chosen) as run:
        fill(chosen.database, [row(n, float(n)) for n in range(10)])
        divide(run)
    forget(chosen.database, sample_id_of(9), "asked for", "Ada")
    with (
        recorded(chosen, "test"),
        pytest.raises(ValueError, match="chosen/v1 was decided with 1 rows that are forgotten"),
    ):
        publish(Run(chosen), 1)
    with open_run(chosen) as run:
        assert divide(run).version == 2
        assert publish(Run(chosen), 2).new


def test_a_picture_goes_with_the_last_row_that_names_it(tmp_path: Path, config: Curate) -> None:  # noqa: F811
    pictures = []
    for n in range(2):
        Image.effect_noise((24, 24), 60 + n).save(tmp_path / f"{n}.png")
        pictures.append({"bytes": (tmp_path / f"{n}.png").read_bytes(), "path": None})
    table = [{"image": pictures[n], "question": f"What is {i}?", "answer": "noise"} for i, n in enumerate((0, 1, 1))]
    pd.DataFrame(table).to_parquet(tmp_path / "rows.parquet")
    config = changed(config, dataset={"path": str(tmp_path / "rows.parquet")})
    scored(config, also_score=False)
    ids = [name for (name,) in ask(config, "SELECT sample_id FROM rows WHERE dataset = 'dolly' ORDER BY source_line")]

    def there() -> tuple[int, int]:
        kept = [file for file in Path(f"{config.database}.images").rglob("*") if file.is_file()]
        return len(kept), ask(config, "SELECT count(*) FROM images")[0][0]

    assert there() == (2, 2)
    forget(config.database, ids[1], "one of two", "Ada")
    assert there() == (2, 2)
    forget(config.database, ids[0], "the only one", "Ada")
    assert there() == (1, 1)
    scored(config, also_score=False)
    assert ask(config, "SELECT count(*) FROM rows WHERE dataset = 'dolly'") == [(1,)]
    assert there() == (1, 1)


def test_a_row_that_never_was_is_refused_and_nothing_is_written(config: Curate) -> None:  # noqa: F811
    scored(config, also_score=False)
    with pytest.raises(ValueError, match="holds no row 'abc'; give a sample_id"):
        forget(config.database, "abc", "why", "Ada")
    with reading(config.database) as connection:
        assert connection.execute(query("forget_known"), {"sample_id": "abc"}).fetchone() == (None, None, None, None)
    assert ask(config, "FROM forgotten") == []


def test_a_row_that_has_the_content_of_a_canary_stays(tmp_path: Path, config: Curate) -> None:  # noqa: F811
    scored(config)
    ((messages,),) = ask(config, "SELECT messages FROM store.canaries WHERE canary = 'swapped_answer' LIMIT 1")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": json.loads(messages)}) + "\n")
    config = changed(config, dataset={"path": str(tmp_path / "rows.jsonl")})
    scored(config)
    both = "SELECT count(*) FROM rows JOIN scores USING (sample_id, dataset) WHERE dataset = 'dolly'"
    assert ask(config, f"{both} AND sample_id IN (FROM canaries SELECT sample_id)") == [(1,)]
    ((trusted,),) = ask(config, "SELECT sample_id FROM rows WHERE dataset = 'trusted' ORDER BY ALL LIMIT 1")
    forget(config.database, trusted, "asked for", "Ada")
    assert ask(config, both) == [(1,)] and ask(config, "FROM store.canaries") == []


def test_tokens_of_earlier_canaries_are_gone(config: Curate) -> None:  # noqa: F811
    file = Path(config.reference.path)
    first = line(f"What is a {WORDS}?", f"A {WORDS} is a bird, and it lives in a very far away land.")
    file.write_text(first + "".join(TRUSTED[:25]))
    scored(config)
    file.write_text("".join(TRUSTED[:25]))
    scored(config)
    tokens = "SELECT count(*) FROM store.scores WHERE array_to_string(tokens, '') LIKE '%quillfeather%'"
    others = "SELECT count(*) FROM scores"
    (count,), kept = ask(config, tokens)[0], ask(config, others)
    assert count > 1, "its own, and those of canaries that are no more"
    forget(config.database, of_words(config), "asked for", "Ada")
    assert ask(config, tokens) == [(0,)] and ask(config, others) == kept


def test_pictures_go_from_every_dataset_that_had_the_row(tmp_path: Path, config: Curate) -> None:  # noqa: F811
    for n in range(2):
        Image.effect_noise((24, 24), 60 + n).save(tmp_path / f"{n}.png")
    said = [{"question": f"What is {n}?", "answer": "noise"} for n in range(2)]
    inside = [{"image": {"bytes": (tmp_path / f"{n}.png").read_bytes(), "path": None}} for n in range(2)]
    pd.DataFrame([one | two for one, two in zip(inside, said, strict=True)]).to_parquet(tmp_path / "a.parquet")
    lines = [json.dumps({"image": f"{n}.png"} | one) for n, one in enumerate(said)]
    (tmp_path / "b.jsonl").write_text("\n".join(lines))
    for place in (("a.parquet", "b.jsonl"), ("b.jsonl", "a.parquet")):
        dataset, reference = ({"path": str(tmp_path / name)} for name in place)
        one = changed(config, dataset=dataset, reference=reference)
        one = one.model_copy(update={"database": str(tmp_path / f"{place[0]}.duckdb")})
        scored(one, also_score=False)
        ((first,), _) = ask(one, "SELECT DISTINCT sample_id FROM rows ORDER BY ALL")
        forget(one.database, first, "asked for", "Ada")
        assert ask(one, "SELECT dataset, count(*) FROM images GROUP BY ALL ORDER BY ALL") == [
            ("dolly", 1),
            ("trusted", 1),
        ]
        assert len([file for file in Path(f"{one.database}.images").rglob("*") if file.is_file()]) == 1


def test_what_other_rows_and_lines_say_of_it_is_gone(tmp_path: Path, config: Curate) -> None:  # noqa: F811
    Image.effect_noise((24, 24), 60).save(tmp_path / "0.png")
    rows = [{"image": "0.png", "question": "What is it?", "answer": answer} for answer in (WORDS.title(), "noise")]
    rows += [{"image": "0.png", "question": f"What is {n}?", "answer": "noise"} for n in range(5)]
    rows += [{"image": "none.png", "question": "What is it?", "answer": WORDS.title()}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = changed(config, dataset={"path": str(tmp_path / "rows.jsonl")})
    scored(config, also_score=False)
    with recorded(config, "test") as run:
        check(run, "raw")
    assert {"flags.reason", "rejects.raw"} < holding(config), "the test could not fail"
    left = Path(f"{config.database}.staging")
    left.mkdir()
    (left / "rows.parquet").write_text(WORDS)
    done = forget(config.database, of_words(config), "asked for", "Ada")
    assert holding(config) == set() and not left.exists()
    assert done.rejects == [f"{tmp_path / 'rows.jsonl'}, line 8"]
    reasons = ask(config, "SELECT DISTINCT reason FROM flags WHERE check_name = 'same_picture_different_answers'")
    assert reasons == [("quoted a row that was to be forgotten",)]


@pytest.mark.parametrize("moment", ["delete", "rewrite", "replace", "empty_folder"])
def test_killed_at_any_moment_it_is_the_old_file_or_the_new_one(config: Curate, moment: str) -> None:  # noqa: F811
    with_words(config.dataset.path)
    scored(config, also_score=False)
    sample_id, rows = of_words(config), ask(config, "SELECT count(*) FROM rows")[0][0]
    command = [sys.executable, "-c", KILLED, config.database, sample_id, moment]
    assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert ask(config, "SELECT count(*) FROM rows") == [(rows - (moment != "delete"),)]
    assert bool(held(config)) == (moment in ("delete", "rewrite", "replace"))
    forget(config.database, sample_id, "asked for", "Ada")
    assert held(config) == [] and not [*Path(config.database).parent.glob("*.unfinished*")]
    scored(config, also_score=False)
    assert ask(config, "SELECT count(*) FROM rows") == [(rows - 1,)]


def test_the_new_file_stands_where_the_old_one_stood_and_is_as_open_to_others(tmp_path: Path, config: Curate) -> None:  # noqa: F811
    with_words(config.dataset.path)
    scored(config, also_score=False)
    (tmp_path / "disk").mkdir()
    file = Path(shutil.move(config.database, tmp_path / "disk" / "o.duckdb"))
    file.chmod(0o600)
    Path(config.database).symlink_to(file)
    forget(config.database, of_words(config), "asked for", "Ada")
    assert Path(config.database).is_symlink() and WORDS.encode() not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_command_says_what_is_left_to_do(config: Curate) -> None:  # noqa: F811
    with_words(config.dataset.path)
    scored(config, also_score=False)

    for sample_id, reason, sentence in (
        ("abc", "why", "holds no row 'abc'"),
        (of_words(config), " ", "--reason: is empty"),
    ):
        done = oresight("forget", sample_id, "--reason", reason, "--database", config.database)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1) and sentence in done.stderr
    Path(f"{config.database}.before-0009").write_bytes(b"")
    done = oresight("forget", of_words(config), "--reason", "asked for", "--database", config.database)
    assert done.returncode == 0, done.stderr
    assert re.search(r"the next run ingests dolly again without it\n.*o.duckdb.before-0009, a copy", done.stdout)
    assert held(config) == []
