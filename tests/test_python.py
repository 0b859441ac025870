"""`oresight.score` and `oresight.curate` on rows in memory: every row comes back, at its place, with what was found."""

import datetime
import html.parser
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

import oresight
from oresight.flows.api import configuration
from oresight.flows.api.results import Curated
from oresight.flows.api.rows import given_rows
from oresight.tasks.formats import recognise
from oresight.tasks.formats.files import read
from oresight.tasks.formats.sources import list_files
from tests.support.published import png

DATA = Path(__file__).parent / "data"
QUICK = {"flagging": {"canaries": 0}}


def short_rows(file: str, count: int) -> pd.DataFrame:
    """The rows of a sample whose texts are shortest."""
    rows = pd.read_json(DATA / file, lines=True)
    lengths = rows["instruction"].str.len() + rows["output"].str.len() + rows["input"].str.len()
    return rows.loc[lengths.sort_values(kind="stable").index[:count], ["instruction", "output"]].reset_index(drop=True)


ROWS, TRUSTED = short_rows("dolly.jsonl", 40), short_rows("trusted.jsonl", 20)


def odd_frame() -> pd.DataFrame:
    """ROWS with a repeating index, odd columns, a flagged row, rows that cannot be read, and a duplicate."""
    frame = ROWS.astype({"output": object})
    frame.loc[4, "output"] = "Call 4111 1111 1111 1111 and pay."
    frame.loc[[5, 6], "output"] = [None, float("nan")]
    frame.loc[7, "output"] = "\ud800"
    frame["when"] = pd.Timestamp("2026-01-02", tz="UTC")
    frame.loc[8, "when"] = pd.NaT
    frame["kind"] = pd.Categorical(["a", "b", None, "a"] * 10)
    frame["nested"] = [{"n": np.arange(2), "set": {1}, "day": datetime.date(2026, 1, 2), "huge": 2**70}] * len(frame)
    frame["number"] = pd.array([None, *range(len(frame) - 1)], dtype="Int64")
    frame["share"] = np.where(np.arange(len(frame)) % 2, np.nan, np.inf)
    frame[9] = [len] * len(frame)
    frame = pd.concat([frame, frame.iloc[[3]]])
    frame.index = pd.Index([f"row {n // 2}" for n in range(len(frame))], name="key")
    return frame


@pytest.fixture(scope="module")
def call(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Calls `oresight.curate` with a small model and a database that lets later calls reuse the scores."""
    database = tmp_path_factory.mktemp("python") / "o.duckdb"

    def curate(rows: Any, trusted: Any = TRUSTED, **options: Any) -> Curated:
        return oresight.curate(rows, trusted, **{"model": str(stories), "database": database, **QUICK, **options})

    return curate


@pytest.fixture(scope="module")
def odd(call: Callable[..., Curated]) -> tuple[pd.DataFrame, Curated]:
    frame = odd_frame()
    return frame, call(frame, splitting={"rows": 25})


def test_every_given_row_has_its_line_in_the_frame(odd: tuple[pd.DataFrame, Curated]) -> None:
    given, curated = odd
    frame = curated.frame
    assert frame.index.equals(given.index) and frame.index.name == "key"
    status = dict.fromkeys(range(len(given)), "scored") | {5: "rejected", 6: "rejected", 7: "rejected", 40: "duplicate"}
    assert list(frame["status"]) == list(status.values())
    assert frame["reason"].notna().all() and "no text in Unicode" in frame["reason"].iloc[7]
    assert frame["duplicate_of"].iloc[40] == 3 and frame["value"].iloc[40] == frame["value"].iloc[3]
    scored = frame[frame["status"] == "scored"]
    assert scored[["value", "nll", "conditional_gain", "worst_token"]].notna().all(axis=None)
    assert dict(frame["decision"].value_counts()) == {"keep": 25, "drop": 16}
    assert curated.summary == {
        "rows": 41, "scored": 37, "unscored": 0, "duplicate": 1, "rejected": 3, "flagged": 1,
        "kept": 25, "dropped": 16,
    }  # fmt: skip
    assert list(curated.flagged.index) == ["row 2"] and list(curated.flagged["flags"]) == [["personal_data"]]
    assert "card" in frame["flag_reasons"].iloc[4][0] and frame["cause"].iloc[4] == "flag"
    assert sum(curated.causes.values()) == 16 and (curated.causes["rejected"], curated.causes["duplicate"]) == (3, 1)


def test_the_callers_own_rows_come_back_untouched(odd: tuple[pd.DataFrame, Curated]) -> None:
    given, curated = odd
    keep = (curated.frame["decision"] == "keep").to_numpy()
    pd.testing.assert_frame_equal(curated.kept, given[keep])
    pd.testing.assert_frame_equal(curated.dropped, given[~keep])
    pd.testing.assert_frame_equal(given, odd_frame())


FORMS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "frame": pd.DataFrame,
    "generator": iter,
    "arrow": pa.Table.from_pylist,
    "batch": pa.RecordBatch.from_pylist,
    "dataset": lambda rows: datasets.Dataset.from_list([rows[2], *rows]).select(range(1, len(rows) + 1)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_written_and_taken_as_a_list_of_dicts_is(form: str, tmp_path: Path) -> None:
    rows = [{"q": f"q{n}", "n": n, "some": None if n else "x", "turns": [{"role": "user"}]} for n in range(5)]
    given = given_rows(FORMS[form](rows), "rows")
    given.write(tmp_path / "form.jsonl")
    given_rows(rows, "rows").write(tmp_path / "list.jsonl")
    assert (tmp_path / "form.jsonl").read_bytes() == (tmp_path / "list.jsonl").read_bytes()
    taken = given.take([1, 3])
    assert type(taken) is {"generator": list, "batch": pa.Table}.get(form, type(FORMS[form](rows)))
    frame = taken if form == "frame" else pd.DataFrame(taken.to_pylist() if form in ("arrow", "batch") else list(taken))
    assert list(frame["q"]) == ["q1", "q3"]


def test_a_path_is_read_in_place(call: Callable[..., Curated], tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(ROWS.to_json(orient="records", lines=True) + "{}\n")
    curated = call(file, splitting={"rows": 30})
    assert list(curated.frame["status"]) == ["scored"] * 40 + ["rejected"]
    assert set(curated.frame["source_file"]) == {str(file)} and list(curated.frame["source_line"]) == [*range(1, 42)]
    pd.testing.assert_frame_equal(curated.kept, ROWS.loc[curated.kept.index], check_dtype=False)
    assert len(curated.kept) == 30 and list(curated.dropped.index)[-1] == 40


def test_a_call_without_a_database_leaves_nothing(
    stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    scored = oresight.score(ROWS.head(8).to_dict("records"), model=str(stories))
    assert list(tmp_path.iterdir()) == [] and scored.database is None and dict(os.environ) == before
    assert scored.frame["value"].isna().all() and scored.frame["nll"].notna().all()
    assert scored.verdict[0] == "No row is valued or judged, because there are no trusted rows."
    assert "decision" not in scored.frame


def test_a_folder_gets_the_split_and_the_database(
    stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    curated = oresight.curate(ROWS.head(8), model=str(stories), folder="out", splitting={"rows": 5})
    assert curated.folder == Path("out/curated/v1") and curated.database == "out/oresight.duckdb"
    published = pd.read_parquet(curated.folder / "train.parquet")
    assert set(published["instruction"]) == set(curated.kept["instruction"]) and len(curated.kept) == 5
    assert oresight.read(curated.database).splits()["rows_kept"].tolist() == [5]


def test_named_columns_are_those_of_both_if_both_have_them(tmp_path: Path) -> None:
    names = {"instruction": "q1", "output": "a1"}
    columns = {"prompt": "q1", "answer": "a1"}
    rows = ROWS.rename(columns=names)
    for trusted, expected in ((TRUSTED, {}), (TRUSTED.rename(columns=names), columns)):
        given = {"dataset": given_rows(rows, "rows"), "reference": given_rows(trusted, "trusted")}
        config = configuration({"dataset": rows, "reference": trusted}, given, {"columns": columns}, str(tmp_path))
        assert config.dataset.columns.given == columns
        assert config.reference and config.reference.columns.given == expected


PICTURES = {
    "bytes": png(1),
    "struct": {"bytes": png(1), "path": None},
    "list": [{"bytes": png(1), "path": "a.png"}],
    "numpy": np.array([{"bytes": png(1)}], dtype=object),
    "bytearray": bytearray(png(1)),
}


@pytest.mark.parametrize("form", PICTURES)
def test_pictures_in_memory_are_read_as_their_bytes(form: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": [PICTURES[form]] * 2, "question": ["q", "r"], "answer": [1, True]}, dtype=object)
    assert pictures_of(frame, tmp_path) == [[png(1)], [png(1)]]


def test_an_image_of_pillow_and_one_of_datasets_are_pictures(tmp_path: Path) -> None:
    rows = [{"image": Image.new(mode, (8, 6)), "question": "q", "answer": "a"} for mode in ("RGB", "CMYK", "F")]
    assert [len(pictures) for pictures in pictures_of(rows, tmp_path)] == [1, 1, 1]
    rows_of_bytes = [{"image": {"bytes": png(2), "path": None}, "question": "q", "answer": "a"}]
    dataset = datasets.Dataset.from_list(rows_of_bytes).cast_column("image", datasets.Image())
    assert pictures_of(dataset, tmp_path) == [[png(2)]]


def pictures_of(rows: Any, folder: Path) -> list[list[Any]]:
    """The pictures of each row, as the reader finds them in the file."""
    assert given_rows(rows, "rows").write(folder / "rows.jsonl") == {}
    ((file,), _) = list_files(str(folder / "rows.jsonl"))
    found = [line.record or {} for line in read(file, lambda _: None)]
    return [recognise(found, {}).read(record).pictures for record in found]


MISTAKES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no rows": ([], {}, "rows: has no rows; give at least one"),
    "no rows in a frame": (ROWS.head(0), {}, "rows: has no rows; give at least one"),
    "none": (None, {}, "rows: is a NoneType; give a pandas frame"),
    "texts": (["a", "b"], {}, r"rows\[0\]: is a str, not a dict of columns; give a pandas frame"),
    "one text among dicts": ([{"prompt": "a", "completion": "b"}, 3], {}, r"rows\[1\]: is a int, not a dict"),
    "columns": ({"prompt": ["a"]}, {}, "rows: is a dict of splits or columns prompt; give one split, or a list"),
    "two names": (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "rows: has two columns with the name 'a'"),
    "no trusted rows": (ROWS, {"trusted": []}, "trusted: has no rows; give at least one"),
    "unknown layout": (
        pd.DataFrame({"frage": ["Was ist das?", "Wer?"], "antwort": ["Ein Haus.", "Ich."]}),
        {},
        r'^rows: the columns frage, antwort fit no .* columns=\{"prompt": "frage", "answer": "antwort"\}',
    ),
    "unknown layout of trusted rows": (
        ROWS,
        {"trusted": [{"frage": "Was ist das?", "antwort": "Ein Haus."}]},
        r'^trusted: .* reference=\{"columns": \{"prompt": "frage", "answer": "antwort"\}\}',
    ),
    "no such column": (ROWS, {"columns": {"prompt": "q", "answer": "output"}}, "^rows: columns names 'q', which is no"),
    "mostly rejected": (ROWS.assign(output=None), {}, r"40 of 40 lines are .* first in rows\[0\]\)"),
    "section": (ROWS, {"splittin": {"rows": 1}}, r"^splittin: is not a key \(did you mean splitting\?\)"),
    "key": (ROWS, {"splitting": {"row": 1}}, r"^splitting\.row: is not a key \(did you mean rows\?\)"),
    "value": (ROWS, {"splitting": {"keep": 5}}, "^splitting.keep: is 5, but it is a share"),
    "no section": (ROWS, {"dataset": 3}, "^dataset: is 3, but must be keys with values"),
    "path": (ROWS, {"dataset": {"path": "a.jsonl"}}, r"^dataset\.path: the argument rows says which rows"),
    "nothing to describe": (ROWS, {"trusted": None, "reference": {"name": "a"}}, "^reference: describes rows that are"),
    "no folder": (ROWS, {"publishing": {"formats": ["jsonl"]}}, "^publishing: nothing is published without a folder"),
    "needs trusted": (ROWS, {"trusted": None, "splitting": {"by": "value"}}, "there are none; give some as trusted$"),
    "rows inside": ([{"data": [{"question": "q", "answer": "a"}] * 3}], {}, r"rows\[0\]: holds all rows in one dict"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_in_words_of_python(stories: Path, mistake: str) -> None:
    rows, options, sentence = MISTAKES[mistake]
    with pytest.raises(ValueError, match=sentence) as error:
        oresight.curate(rows, **{"trusted": TRUSTED, "model": str(stories), **QUICK, **options})
    assert "\n" not in str(error.value) and ".jsonl" not in str(error.value)


def test_score_makes_no_split() -> None:
    with pytest.raises(ValueError, match="splitting: score makes no split"):
        oresight.score(ROWS, TRUSTED, splitting={"rows": 3})


class Elements(html.parser.HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements = list[tuple[str, dict[str, str | None]]]()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_notebook_shows_texts_of_rows_as_text(odd: tuple[pd.DataFrame, Curated]) -> None:
    attack = "<script src=https://x.example></script><img onerror=alert(1)>\"'{{ 7*7 }}"
    row = {"label": attack, "prompt": attack, "answer": attack, "p_value": 0.01, "looks_like": attack}
    row |= {"flags": [attack], "flag_reasons": [attack], "is_flagged": True, "suspicion": 1.0}
    fields = vars(odd[1]) | {"worst": [row], "verdict": [attack], "refused": attack, "layout": attack}
    page = Elements(Curated(**fields)._repr_html_())
    assert {tag for tag, _ in page.elements} <= {"div", "p", "table", "caption", "tr", "th", "td"}
    assert {name for _, attributes in page.elements for name in attributes} <= {"style", "title"}
    assert page.text.count(attack) == 8
    styles = " ".join(attributes.get("style") or "" for _, attributes in page.elements)
    assert "url" not in styles and "background: transparent" in styles and "color: inherit" in styles


def test_importing_oresight_is_quick() -> None:
    heavy = "{'torch', 'pandas', 'prefect', 'duckdb', 'transformers'}"
    code = f"import oresight, sys; assert not {heavy} & set(sys.modules); oresight.score; oresight.curate"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_notebook_runs(stories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = Path(__file__).parents[1] / "docs"
    before = sorted(docs.iterdir())
    monkeypatch.chdir(docs)
    monkeypatch.setattr("oresight.tasks.plant.MIN_PER_KIND", 20)  # canaries, which would take most of the time
    cells = json.loads((docs / "example.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    quicker = {'"smollm2-135m-instruct"': repr(str(stories)), ".head(60)": ".head(20)", "< 200": "< 60"}
    names: dict[str, Any] = {}
    for cell in code:
        for text, other in quicker.items():
            cell = cell.replace(text, other)
        exec(cell, names)
    assert names["model"] == str(stories) and len(names["rows"]) == 20
    assert isinstance(names["curated"], Curated) and sorted(docs.iterdir()) == before
