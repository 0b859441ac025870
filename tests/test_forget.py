"""A row that is forgotten leaves no byte in the database, and no later run brings it back."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from test_score import ask, changed, config  # noqa: F401  config is a fixture

from tasks.config import Curate
from tasks.database import query, reading, transaction, writing
from tasks.forget import forget
from tasks.ingest import ingest
from tasks.plant import plant
from tasks.run import recorded
from tasks.score import score

WORDS = "zyxomorphic quillfeather"


def line(prompt: str, answer: str, **more: Any) -> str:
    return json.dumps({"instruction": prompt, "output": answer, **more}) + "\n"


def scored(config: Curate, *, also_score: bool = True) -> None:  # noqa: F811
    with recorded(config, "test") as run_id:
        ingest(config.database, config.dataset, "dataset", run_id)
        ingest(config.database, config.reference, "reference", run_id)
        if also_score:
            plant(config, run_id)
            score(config, run_id)


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


@pytest.mark.parametrize("role", ["dataset", "reference"])
def test_no_byte_of_a_forgotten_row_is_left_and_the_next_run_rejects_it(config: Curate, role: str) -> None:  # noqa: F811
    with_words(getattr(config, role).path, note=WORDS)
    scored(config)
    name = getattr(config, role).name
    question = f"SELECT sample_id FROM rows WHERE prompt LIKE '%{WORDS}%'"
    ((sample_id,),) = ask(config, question)
    with writing(config.database) as connection, transaction(connection):
        values = (sample_id, name, f"drop {WORDS}")
        connection.execute("INSERT INTO store.verdicts VALUES (?, ?, 'drop', NULL, NULL, ?, 'Ada', now())", values)
        values = (sample_id, name, f"says {WORDS}")
        connection.execute(
            "INSERT INTO store.flags BY NAME SELECT ? AS sample_id, ? AS dataset, 'c' AS check_name,"
            " 'info' AS severity, ? AS reason, 'r' AS run_id", values,
        )  # fmt: skip
    assert held(config) == WORDS.split(), "the test could not fail"
    rows, tokens = ask(config, "SELECT count(*), (SELECT count(*) FROM scores) FROM rows")[0]
    done = forget(config.database, sample_id, "asked for", "Ada")
    assert held(config) == []
    assert done.datasets == [name] and done.versions == done.copies == []
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
            connection.execute("INSERT INTO store.split_rows VALUES ('s', ?, ?, ?, ?, 1, 0.5, NULL)", values)
    Path(f"{config.database}.before-0009").write_bytes(b"")
    done = forget(config.database, sample_id, "asked for", "Ada")
    assert done.versions == ["out/v1"] and done.copies == [f"{config.database}.before-0009"]
    history = ask(config, f"SELECT version, decision, reason FROM row_history('{sample_id}')")
    assert history == [(n, d, "was to be forgotten: asked for") for n, d in ((1, "keep"), (2, "drop"), (3, "keep"))]
    assert held(config) == []


def test_a_picture_goes_with_the_last_row_that_names_it(tmp_path: Path, config: Curate) -> None:  # noqa: F811
    import pandas as pd

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
        assert connection.execute(query("forget_known"), {"sample_id": "abc"}).fetchone() == (None, None, False)
    assert ask(config, "FROM forgotten") == []
