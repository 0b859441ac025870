"""A published folder of each layout is read by all that are to read it: datasets, trainers, Croissant, OpenLineage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
from datasets import Dataset, Features, load_dataset
from jsonschema import Draft202012Validator, FormatChecker
from PIL import Image

from tests.support.published import publish_file

Record = dict[str, Any]


def ask(i: int) -> Record:
    return {"role": "user", "content": f"What is {i} + {i}?"}


def tell(i: int) -> Record:
    return {"role": "assistant", "content": f"It is {2 * i}, naïvely."}


LAYOUTS: dict[str, Callable[[int], Record]] = {
    "messages": lambda i: {"messages": [{"role": "system", "content": "Be brief."}, ask(i), tell(i)], "source": "a"},
    "sharegpt": lambda i: {
        "id": i, "conversations": [{"from": "human", "value": ask(i)["content"]}, {"from": "gpt", "value": str(2 * i)}]
    },
    "alpaca": lambda i: {"instruction": "Add.", "input": f"{i} {i}" if i % 2 else "", "output": f"{2 * i} of {i}"},
    "prompt/completion": lambda i: {"prompt": ask(i)["content"], "completion": tell(i)["content"], "score": i / 7},
    "prompt/completion in turns": lambda i: {"prompt": [ask(i)], "completion": [tell(i)]},
    "question/answer": lambda i: {"question": ask(i)["content"], "answer": f"{i} + {i} = <<{i}>>\n#### {2 * i}"},
    "llava": lambda i: {
        "id": f"n{i}", "image": f"{i % 3}.png",
        "conversations": [{"from": "human", "value": f"<image>\nWhat is {i}?"}, {"from": "gpt", "value": str(i)}],
    },
    "question/answer with image": lambda i: {"image": f"{i % 3}.png", "question": f"What is {i}?", "answer": str(i)},
}  # fmt: skip


def as_a_trainer_reads(row: Record) -> list[Record]:
    """The turns of a row, from the columns that TRL's SFTTrainer expects: messages, or prompt and completion, as texts
    or turns; conversations, which become messages; Alpaca's and those of questions, by a formatting function."""
    if "conversations" in row:
        roles = {"human": "user", "gpt": "assistant"}
        return [{"role": roles[turn["from"]], "content": turn["value"]} for turn in row["conversations"]]
    if "messages" in row:
        return list(row["messages"])
    if isinstance(row.get("prompt"), list):
        return [*row["prompt"], *row["completion"]]
    for said, answered in (("instruction", "output"), ("prompt", "completion"), ("question", "answer")):
        if said in row:
            text = "\n".join(filter(None, [row[said], row.get("input")]))
            return [{"role": "user", "content": text}, {"role": "assistant", "content": row[answered]}]
    raise AssertionError(f"no trainer reads {sorted(row)}")


def plain(value: Any) -> Any:
    """A record of mlcroissant as the row that it is."""
    if isinstance(value, dict):
        return {name.rsplit("/", 1)[-1]: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value.decode() if isinstance(value, bytes) else value


# What spec/OpenLineage.json, version 2-0-2, asks of a RunEvent; a facet of any kind needs its producer and its schema.
TEXT = {"type": "string", "minLength": 1}
URI = TEXT | {"format": "uri", "pattern": "^https?://"}
FACETS = {
    "type": "object",
    "additionalProperties": {
        "type": "object", "required": ["_producer", "_schemaURL"], "properties": {"_producer": URI, "_schemaURL": URI}
    },
}  # fmt: skip


def needs(**properties: Any) -> Record:
    return {"type": "object", "required": list(properties), "properties": properties | {"facets": FACETS}}


DATASET = needs(namespace=TEXT, name=TEXT)
DATASET["properties"] |= {"inputFacets": FACETS, "outputFacets": FACETS}
RUN_EVENT = needs(
    run=needs(runId=TEXT | {"format": "uuid"}),
    job=needs(namespace=TEXT, name=TEXT),
    eventTime=TEXT | {"format": "date-time"},
    producer=URI,
    schemaURL=URI,
)
RUN_EVENT["properties"] |= {
    "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
    "inputs": {"type": "array", "items": DATASET},
    "outputs": {"type": "array", "items": DATASET},
}
# The facets that we write and their schemas' own demands.
OF_FACET = {
    "version": needs(datasetVersion=TEXT),
    "documentation": needs(description=TEXT),
    "outputStatistics": {
        "type": "object",
        "properties": {"rowCount": {"type": "integer"}, "size": {"type": "integer"}},
    },
    "processing_engine": needs(version=TEXT),
    "jobType": needs(processingType=TEXT, integration=TEXT),
}


def published(folder: Path, raw: list[Record]) -> Path:
    """The folder of a split of these rows that drops the last one."""
    for name in {row["image"] for row in raw if "image" in row}:
        Image.new("RGB", (8, 6), (20, 200, 40 * int(name[0]))).save(folder / name)
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in raw))
    return publish_file(rows, folder, rows=len(raw) - 1, copy_images=True)


def loaded(path: str, cache: Path, **more: Any) -> Dataset:
    return load_dataset(path, split="train", cache_dir=str(cache), **more)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_whoever_reads_folders_reads_a_published_one(layout: str, tmp_path: Path) -> None:
    raw = [LAYOUTS[layout](i) for i in range(1, 13)]
    folder = published(tmp_path, raw)

    before = loaded("json", tmp_path / "a", data_files=str(tmp_path / "rows.jsonl"))
    after = loaded(str(folder), tmp_path / "b")
    assert Features(after.features) == before.features
    in_order: list[Any] = sorted(after.to_list(), key=json.dumps)
    assert in_order == sorted(before.to_list()[:-1], key=json.dumps)

    for row in after:
        turns = as_a_trainer_reads(row)
        assert [turn["role"] for turn in turns][-2:] == ["user", "assistant"]
        assert all(isinstance(turn["content"], str) and turn["content"] for turn in turns)
        if "image" in row:
            with Image.open(folder / "images" / row["image"]) as picture:
                assert picture.size == (8, 6)

    described = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert not described.metadata.ctx.issues.errors
    assert sorted(map(plain, described.records("rows")), key=json.dumps) == in_order

    event = json.loads((folder / "openlineage.json").read_text())
    Draft202012Validator(RUN_EVENT, format_checker=FormatChecker()).validate(event)
    holders = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    facets = [pair for one in holders for pair in (one.get("facets", {}) | one.get("outputFacets", {})).items()]
    assert {name for name, _ in facets} == OF_FACET.keys()
    for name, facet in facets:
        Draft202012Validator(OF_FACET[name]).validate(facet)


@pytest.mark.parametrize("damage", [{"eventTime": "yesterday"}, {"job": {"name": "x"}}, {"run": {"runId": "7"}}])
def test_the_judge_of_events_refuses_what_is_none(damage: Record) -> None:
    good = {"eventTime": "2026-01-01T00:00:00Z", "run": {"runId": "0192f0c1-2c4f-7d3a-9b61-4c1d2e3f4a5b"},
            "job": {"namespace": "n", "name": "x"}, "producer": "https://a.b", "schemaURL": "https://a.b"}  # fmt: skip
    judge = Draft202012Validator(RUN_EVENT, format_checker=FormatChecker())
    assert judge.is_valid(good) and not judge.is_valid(good | damage)
