"""Rows with pictures go the whole way: from the files that users hold to a split that a trainer reads, and a report."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from oresight.tasks.check import check
from oresight.tasks.config import Curate
from oresight.tasks.database import reading
from oresight.tasks.ingest import ingest
from oresight.tasks.pages.evidence import said
from oresight.tasks.publish import publish
from oresight.tasks.report import report
from oresight.tasks.runs.record import Run, recorded
from oresight.tasks.score import score
from oresight.tasks.split import split
from tests.support.tiny_vlm import build

DATA = Path(__file__).parent / "data" / "easy_vqa"


@dataclass
class Done:
    config: Curate
    folder: Path
    report: Path
    unscorable: int

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        with reading(self.config.database) as connection:
            return connection.execute(question).fetchall()


Curated = Callable[..., Done]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "llava"
    model, processor = build("llava", torch.float32)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def run(tmp_path: Path, tiny: str) -> Curated:
    def whole(rows: Path, trusted: Path, model: str = tiny, root: Path | None = None, **publishing: Any) -> Done:
        place = {"root": str(root)} if root else {}
        config = Curate.model_validate({
            "database": str(tmp_path / "o.duckdb"), "model": {"name": model},
            "dataset": {"name": "rows", "path": str(rows), **place},
            "reference": {"name": "trusted", "path": str(trusted), **place},
            "publishing": {"folder": str(tmp_path / "out"), **publishing},
        })  # fmt: skip
        with recorded(config, "curate") as run:
            ingest(run, "dataset")
            ingest(run, "reference")
            check(run, "raw")
            scored = score(run)
            check(run, "score")
            decided = split(run)
            published = publish(run, decided.version)
            return Done(config, published.folder, report(run).page, scored.unscorable)

    return whole


def photo(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8))


def llava(path: Path, numbers: range) -> Path:
    """Rows in LLaVA's layout, two questions a picture, in one JSON list."""
    rows = []
    for i in numbers:
        name = f"photos/{i // 2}.png"
        (path.parent / "photos").mkdir(exist_ok=True)
        photo(i // 2).save(path.parent / name)
        turns = [{"from": "human", "value": f"<image>\nwhat is {i}?"}, {"from": "gpt", "value": f"<b>{i}</b>"}]
        rows.append({"id": i, "image": name, "conversations": turns})
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize("copied", [True, False])
def test_a_llava_trainer_reads_what_is_published_as_it_read_the_raw_file(
    tmp_path: Path, run: Curated, copied: bool
) -> None:
    raw = llava(tmp_path / "rows.json", range(20))
    done = run(raw, llava(tmp_path / "trusted.json", range(20, 30)), copy_images=copied)
    kept, known = json.loads((done.folder / "train.json").read_text()), json.loads(raw.read_text())
    assert len(kept) == 20 and all(row in known for row in kept)
    image_folder = done.folder / "images" if copied else tmp_path
    for row in kept:
        with Image.open(image_folder / row["image"]) as picture:
            assert np.array_equal(np.asarray(picture), np.asarray(photo(row["id"] // 2)))
    assert (done.folder / "images").exists() == copied
    manifest = json.loads((done.folder / "manifest.json").read_text())
    assert {file["path"] for file in manifest["files"]} >= {"train.json", "train.parquet"}
    assert ("images/photos/0.png" in {file["path"] for file in manifest["files"]}) == copied
    assert ("copied to `images/`" if copied else str(tmp_path)) in (done.folder / "README.md").read_text()
    report_text = done.report.read_text()
    assert report_text.count("data:image/jpeg;base64,") >= 20
    assert "&lt;b&gt;" in report_text and "<b>" not in report_text


def test_pictures_inside_rows_come_back_as_pictures(tmp_path: Path, run: Curated) -> None:
    def packed(seed: int) -> bytes:
        stream = io.BytesIO()
        photo(seed).save(stream, "PNG")
        return stream.getvalue()

    for name, numbers in (("rows", range(8)), ("trusted", range(8, 14))):
        rows = [
            {"image": {"bytes": packed(i), "path": f"{i}.png"}, "question": f"what is {i}?", "answer": str(i)}
            for i in numbers
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    done = run(tmp_path / "rows.parquet", tmp_path / "trusted.parquet")
    from datasets import load_dataset

    loaded = load_dataset(str(done.folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.column_names == ["image", "question", "answer"]
    for row in loaded:
        assert np.array_equal(np.asarray(row["image"]), np.asarray(photo(int(row["answer"]))))
    described = json.loads((done.folder / "croissant.json").read_text())
    (column,) = [f for f in described["recordSet"][0]["field"] if f["name"] == "rows/image"]
    assert column["dataType"] == "sc:ImageObject"
    read = mlcroissant.Dataset(jsonld=str(done.folder / "croissant.json")).records("rows")
    first = next(iter(read))
    assert np.array_equal(np.asarray(first["rows/image"]), np.asarray(photo(int(first["rows/answer"]))))
    for line in (done.folder / "train.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert row["image"]["bytes"] is None
        with Image.open(done.folder / row["image"]["path"]) as picture:
            assert np.array_equal(np.asarray(picture), np.asarray(photo(int(row["answer"]))))


def test_a_text_model_is_refused_for_rows_with_pictures(tmp_path: Path, run: Curated, stories: Path) -> None:
    files = llava(tmp_path / "rows.json", range(4)), llava(tmp_path / "trusted.json", range(4, 8))
    with pytest.raises(ValueError, match=r"reads text only, and 'rows' has pictures; name a vision-language model"):
        run(*files, model=str(stories))


def test_text_rows_among_pictures_are_scored_by_a_model_that_sees(tmp_path: Path, run: Curated) -> None:
    rows = json.loads(llava(tmp_path / "rows.json", range(6)).read_text())
    for row in rows[:3]:
        del row["image"]
        row["conversations"][0]["value"] = "only text?"
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    done = run(tmp_path / "rows.json", llava(tmp_path / "trusted.json", range(6, 12)))
    found = done.ask("SELECT kind, image_gain IS NULL FROM scores JOIN rows USING (sample_id, dataset) ORDER BY ALL")
    assert found == [("instruction", True)] * 3 + [("vqa", False)] * 9


def real(shared: Path, name: str, folder: Path) -> tuple[Path, Path, Path]:
    """A real photo set as rows and trusted rows, and the folder of its pictures."""
    home = shared / name
    if name == "catsdogs":
        with (home / "manifest.csv").open() as file:
            rows = [
                {"image": row["file"], "question": "What is the animal in the image?", "answer": row["label"]}
                for row in csv.DictReader(file)
            ]
    else:
        rows = [json.loads(line) for line in (home / "rows.jsonl").read_text().splitlines()]
    parts = {"rows": rows[40:240], "trusted": rows[:40], "all": rows}
    for part, some in parts.items():
        (folder / f"{part}.jsonl").write_text("\n".join(json.dumps(row) for row in some))
    return folder / "rows.jsonl", folder / "trusted.jsonl", home


@pytest.mark.parametrize("name", ["catsdogs", "daquar", "nlvr", "coco_exist"])
def test_real_photos_are_ingested_scored_and_published(name: str, shared: Path, tmp_path: Path, run: Curated) -> None:
    rows, trusted, home = real(shared, name, tmp_path)
    done = run(rows, trusted, root=home)
    assert done.unscorable == 0 and done.ask("SELECT count(*) FROM rejects") == [(0,)]
    assert done.ask("SELECT count(*) FROM scores WHERE value IS NULL OR image_gain IS NULL") == [(0,)]
    assert len((done.folder / "train.jsonl").read_text().splitlines()) > 100
    everything = len((tmp_path / "all.jsonl").read_text().splitlines())
    with recorded(done.config, "ingest") as run:
        dataset = done.config.dataset.model_copy(update={"name": "everything", "path": str(tmp_path / "all.jsonl")})
        found = ingest(Run(done.config.model_copy(update={"dataset": dataset}), run.run_id), "dataset")
    assert (found.rows + found.duplicates, found.rejected) == (everything, 0)


def test_the_embedded_model_sees_and_finds_planted_answers(run: Curated) -> None:
    done = run(DATA / "rows.json", DATA / "trusted.json", model="easy-vqa-llava")
    with (DATA / "truth.csv").open() as file:
        wrong = {row["id"]: int(row["wrong"]) for row in csv.DictReader(file)}
    rows = done.ask(
        "SELECT metadata->>'id', answer, nll, image_gain, likeliest FROM scores JOIN rows USING (sample_id, dataset)"
        " JOIN (SELECT sample_id, likeliest FROM token_scores WHERE position = 1) USING (sample_id)"
        " WHERE dataset = 'rows'"
    )
    truth = [wrong[row[0]] for row in rows]
    agreed = [row[4].strip() == row[1] for row in rows]
    right = [agree != bool(bad) for agree, bad in zip(agreed, truth, strict=True)]
    assert np.mean(right) >= 0.9  # on pictures that it has not seen
    assert roc_auc_score(truth, [row[2] for row in rows]) >= 0.95
    assert roc_auc_score(truth, [-row[3] for row in rows]) >= 0.9


def test_what_the_model_would_have_said_is_known_up_to_where_it_parts_from_what_was_given() -> None:
    assert said([" yes", "</s>"], [" yes", "</s>"]) == "yes"
    assert said([" red", "</s>"], [" gray", " no"]) == "gray"
    assert said([" dark", " red", "</s>"], [" dark", "</s>", "x"]) == "dark"
    assert said([" a", " b", " c", " d", "</s>"], [" a", " x", " c", " d", "</s>"]) == "a x ..."
    assert said([" a", "</s>"], ["</s>", "x"]) == ""
    assert said([" a"], None) is None
