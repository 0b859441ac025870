"""The files that users hold, whole: the right layout and count, or a sentence that says why not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from oresight.tasks.config import Dataset
from oresight.tasks.database import reading, turn
from oresight.tasks.ingest import Ingested
from tests.support.runs import ingest_into

DATA = Path(__file__).parents[2] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared real data is not beside this checkout")
Take = Callable[..., Ingested]


@pytest.fixture
def database(tmp_path: Path) -> str:
    with turn(path := str(tmp_path / "real.duckdb")):
        return path


@pytest.fixture
def take(database: str) -> Take:
    return lambda path, **columns: ingest_into(database, Dataset(name="rows", path=str(path), columns=columns))


@pytest.mark.parametrize(
    ("path", "layout", "counts"),
    [
        ("formats/alpaca_en_demo.json", "alpaca", (200, 0, 0)),
        ("formats/identity.json", "alpaca", (91, 0, 0)),
        ("formats/glaive_toolcall_en_demo.json", "sharegpt", (183, 0, 17)),
        ("gsm8k/train.jsonl", "alpaca", (7473, 0, 0)),
        ("dolly/rows.jsonl", "alpaca", (2994, 0, 2)),
        ("bbh/rows.jsonl", "alpaca", (6509, 0, 2)),
        ("self_instruct/*.jsonl", "alpaca", (427, 0, 0)),
        ("datainf_grammars/train", "prompt/answer", (900, 0, 0)),
        ("datainf_grammars/test", "prompt/answer", (100, 0, 0)),
    ],
)
def test_real_files_are_read_whole(take: Take, path: str, layout: str, counts: tuple[int, int, int]) -> None:
    assert take(DATA / path) == Ingested("rows", layout, *counts, False)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("formats/dpo_en_demo.json", "200 of 200 lines .*: a preference pair, not a supervised row"),
        ("formats/kto_en_demo.json", "200 of 200 lines .*liked-or-not label"),
        ("dreambooth/rows.jsonl", "the columns id, image, subject fit no supported layout"),
        (
            "mrpc/test.jsonl",
            "columns id, sentence1, sentence2, label fit no supported layout .*dataset.columns: {prompt: sentence1",
        ),
        ("llmbar/rows.jsonl", "columns id, subset, instruction, good_output, bad_output fit no supported layout"),
        ("truthfulqa/rows.jsonl", "dataset.columns: {prompt: question, answer: best_answer}"),
        ("catsdogs", "fit no supported layout"),
        ("datainf_grammars", "datainf_grammars: holds the splits test, train; set dataset.split: train"),
    ],
)
def test_real_files_of_other_kinds_are_refused_with_a_sentence(take: Take, path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^dataset.path: .*{reason}") as raised:
        take(DATA / path)
    assert "\n" not in str(raised.value)


def test_named_columns_read_what_no_layout_fits(database: str, take: Take) -> None:
    columns = {"prompt": "question", "answer": "best_answer"}
    assert take(DATA / "truthfulqa" / "rows.jsonl", **columns) == Ingested(
        "rows", "question/best_answer", 790, 0, 0, False
    )
    with pytest.raises(ValueError, match=r"790 of 790 .*'incorrect_answers'"):
        take(DATA / "truthfulqa" / "rows.jsonl", prompt="incorrect_answers", answer="question")
    with reading(database) as connection:
        assert connection.execute("SELECT count(*) FROM rows").fetchone() == (790,)
    assert take(DATA / "mrpc" / "test.jsonl", prompt="sentence1", answer="label").rows == 1725
