"""Rows in all the shapes that people hold are read right, or are rejects with a reason; docs/layouts.md says how."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from oresight.tasks.columns import Columns
from oresight.tasks.config import Dataset
from oresight.tasks.database import reading, turn
from oresight.tasks.formats import Layout, recognise
from oresight.tasks.formats.sample import Record, Sample
from tests.support.runs import ingest_into

ROOT = Path(__file__).parents[1]
CASES = ROOT.parent / "shared" / "data" / "cases"
PAGE = (ROOT / "docs" / "layouts.md").read_text()
EXAMPLE = re.compile(r"(?:```yaml\ncolumns: (.*)\n```\n)?```json\n(.*)\n```\n```text\n((?s:.*?))\n```")
USER, ASSISTANT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def asks(*parts: Record) -> Record:
    """A conversation whose question has these parts."""
    return {"messages": [{"role": "user", "content": list(parts)}, ASSISTANT]}


def layout(record: Record, **columns: Any) -> Layout:
    return recognise([record], Columns(**columns).given)


def sample(record: Record, **columns: Any) -> Sample:
    return layout(record, **columns).read(record)


def shown(row: Sample) -> str:
    """A row as the page shows it: a paragraph a turn, with the names of the pictures at their places."""
    pictures = iter(row.pictures)
    lines = [f"tools: {json.dumps(row.tools, separators=(',', ':'))}"] if row.tools else []
    for one in row.messages:
        parts = one["content"] if isinstance(one["content"], list) else [{"type": "text", "text": one["content"]}]
        texts = [part["text"] if part["type"] == "text" else f"[picture {next(pictures)!s}]" for part in parts]
        lines.append(f"{one['role']}: {' '.join(texts)}")
    return "\n".join(lines)


@pytest.mark.parametrize(("columns", "record", "read"), EXAMPLE.findall(PAGE))
def test_the_page_of_layouts_says_what_is_read(columns: str, record: str, read: str) -> None:
    row = json.loads(record)
    row = {"messages": row} if isinstance(row, list) else row
    try:
        assert shown(sample(row, **yaml.safe_load(columns or "{}"))) == read
    except ValueError as error:
        assert f"reject: {error}" == read


def test_the_page_of_layouts_shows_every_part() -> None:
    assert len(EXAMPLE.findall(PAGE)) == PAGE.count("```json")
    for part in Columns.model_fields.keys() - {"roles"}:
        assert f"`{part}`" in PAGE.split("## Prompt and answer")[0], part


Q, HI = [USER, ASSISTANT], "user: Hi\nassistant: Hello"
CAR = "user: [picture {}] What colour is the car?\nassistant: red"
THINK = "user: 2+2?\nassistant: <think>\n{}\n</think>\n\n4"
CALL = '[{"function":{"arguments":{"c":"Rome"},"name":"w"},"type":"function"}]'
BEE = "user: What is a bee?\nassistant: An insect."
# By case: the rows as `shown` prints them, or the reason why there is none. Pictures 1 and 3 are the same.
READ: dict[str, list[str] | str] = {
    "05-question-context.jsonl": [
        f"user: Is the order complete?\nOrder {n}: {n} of {7 - n} parts shipped.\nassistant: yes" for n in range(1, 6)
    ],
    "07-system-prompt.jsonl": ["system: Answer as a pirate.\nuser: Who are you?\nassistant: Arr, a pirate."],
    "08-history.jsonl": [
        "user: Name the first planet.\nassistant: Mercury\nuser: And the second?\nassistant: Venus"
    ],
    "09-choices.jsonl": [
        "user: Which animal is small?\nA. mouse\nB. cow\nassistant: A",
        "user: Which one is big?\nA. mouse\nB. cow\nassistant: B",
    ],
    "10-prompt-completion-tools.jsonl": [
        'tools: [{"function":{"name":"w"},"type":"function"}]\nuser: Weather in Rome?\nassistant: ' + CALL
    ],
    "12-video-column.jsonl": "field 'video' holds a video",
    "13-audio-column.jsonl": "field 'audio' holds a sound",
    "14-image-url.jsonl": [CAR.format("1.jpg"), CAR.format("2.jpg")],
    "16-img-path.jsonl": [CAR.format("1.jpg"), CAR.format("2.jpg")],
    "18-Image.jsonl": [CAR.format("1.jpg"), CAR.format("2.jpg")],
    "20-mmmu.jsonl": ["user: [picture 1.jpg] What is [picture 2.jpg] ?\nassistant: A"],
    "22-qwen-vl-img-tag.jsonl": ["user: Picture 1: [picture 1.jpg] What is it?\nassistant: A car."],
    "23-image-mark-no-column.jsonl": "a text says <image> where no column of pictures is recognised",
    "24-image-number.jsonl": "field 'image' holds a number (1234), not a picture",
    "25-weight-0.jsonl": ["user: Capital of France?\nassistant: Paris"],
    "27-reasoning.jsonl": [THINK.format("Two and two make four."), THINK.format("Count: 3, 4.")],
    "35-base64-bare.jsonl": ["user: [picture (inside)] What?\nassistant: A car."],
    "37-windows-path.jsonl": ["user: [picture 1.jpg] What?\nassistant: A car."],
    "39-part-value.jsonl": [HI],
    "40-tool_call-role.jsonl": [
        'tools: [{"name":"w"}]\nuser: Weather in Rome?\nassistant: {"name":"w","arguments":{}}\ntool: 18'
        "\nassistant: 18 degrees"
    ],
    "41-human-assistant-keys.jsonl": [BEE],
    "43-list-per-line.jsonl": [BEE],
    "45-tools-blank.jsonl": [HI],
    "48-content-null-beside-value.jsonl": [HI],
    "52-answers-list.jsonl": ["user: [picture 1.jpg] Date?\nassistant: 1/8/93"],
}  # fmt: skip


def ingested(file: Path, tmp_path: Path, **more: Any) -> list[str]:
    """The rows of a file as `shown` prints them, with the names of the files of their pictures."""
    database = str(tmp_path / "o.duckdb")
    with turn(database):
        ingest_into(database, Dataset(name="rows", path=str(file), **more))
    with reading(database) as connection:
        question = "SELECT messages, tools, images FROM rows ORDER BY source_line"
        rows = connection.execute(question).fetchall()
    return [
        shown(Sample(json.loads(messages), json.loads(tools or "null"), [
            Path(image["path"]).name if image["name"] else "(inside)" for image in images or []
        ]))
        for messages, tools, images in rows
    ]  # fmt: skip


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside this checkout")
@pytest.mark.parametrize("case", READ)
def test_files_as_people_hold_them_are_read_right(case: str, tmp_path: Path) -> None:
    expected = READ[case]
    if isinstance(expected, list):
        assert ingested(CASES / case, tmp_path) == expected
    else:
        with pytest.raises(ValueError, match=re.escape(expected)):
            ingested(CASES / case, tmp_path)


@pytest.mark.parametrize(
    ("record", "read"),
    [
        # texts that a question is about
        ({"question": "q", "contexts": ["one", "two"], "answer": "a"}, "user: q\none\ntwo\nassistant: a"),
        ({"prompt": "q", "document": "d", "completion": "a"}, "user: q\nd\nassistant: a"),
        ({"prompt": "d\n\nq", "document": "d", "completion": "a"}, "user: d\n\nq\nassistant: a"),
        ({"prompt": [USER], "passage": "p", "completion": [ASSISTANT]}, "user: q\np\nassistant: a"),
        ({"instruction": "i", "input": "x", "response": "a"}, "user: i\nx\nassistant: a"),
        ({"instruction": "i", "question": "q", "output": "a"}, "user: i\nq\nassistant: a"),
        ({"question": "q", "context": {"b": 1, "a": None}, "answer": "a"}, 'user: q\n{"b":1}\nassistant: a'),
        ({"question": "q", "context": None, "article": " ", "answer": "a"}, "user: q\nassistant: a"),
        # options
        ({"question": "q", "options": {"A": "x", "B": "y"}, "answer": "B"}, "user: q\nA. x\nB. y\nassistant: B"),
        ({"question": "q", "choices": {"label": ["1", "2"], "text": ["x", "y"]}, "answerKey": "2"},
         "user: q\n1. x\n2. y\nassistant: 2"),
        ({"question": "q", "options": [{"key": "A", "value": "x"}, {"key": "B", "value": "y"}], "answer": "A"},
         "user: q\nA. x\nB. y\nassistant: A"),
        ({"question": "q", "options": '["x", "y"]', "answer": "A"}, "user: q\nA. x\nB. y\nassistant: A"),
        ({"question": "q", "options": ["A. x", "B. y"], "answer": "A"}, "user: q\nA. x\nB. y\nassistant: A"),
        ({"question": "q", "options": [3, 4.5], "answer": "A"}, "user: q\nA. 3\nB. 4.5\nassistant: A"),
        ({"question": "q", "options": "a ) 3 , b ) 4", "answer": "a"}, "user: q\na ) 3 , b ) 4\nassistant: a"),
        ({"question": "q", "opa": "x", "opb": "y", "answer": "x"}, "user: q\nA. x\nB. y\nassistant: x"),
        ({"question": "q", "option1": "x", "option2": "y", "answer": "2"}, "user: q\n1. x\n2. y\nassistant: 2"),
        ({"question": "q", "A": "x", "B": "y", "C": None, "answer": "A"}, "user: q\nA. x\nB. y\nassistant: A"),
        ({"question": "q\nA) x\nB) y", "A": "x", "B": "y", "answer": "A"}, "user: q\nA) x\nB) y\nassistant: A"),
        ({"question": "q", "choices": ["x", "y"], "answer": 2}, "user: q\n1. x\n2. y\nassistant: 2"),
        ({"question": "q", "options": {"temperature": 0.7}, "answer": "a"}, "user: q\nassistant: a"),
        ({"question": "q", "options": [["x"], ["y"]], "choices": "x", "answer": "a"}, "user: q\nx\nassistant: a"),
        ({"question": "q", "a": "x", "b": "y", "c": "z", "answer": "b"}, "user: q\nA. x\nB. y\nC. z\nassistant: b"),
        ({"question": "q", "1": "x", "2": "y", "answer": "b"}, "user: q\nassistant: b"),
        ({"q": 1, "question": "q", "a": "x", "b": "y", "answer": "a"}, "user: q\nassistant: a"),
        # system, history, tools, reasoning
        ({"system": ["s", {"type": "text", "text": "t"}], "messages": Q}, "system: s\nt\nuser: q\nassistant: a"),
        ({"system": "s", "messages": [{"role": "system", "content": "s"}, *Q]}, "system: s\nuser: q\nassistant: a"),
        ({"prompt": "q", "response": "a", "history": '[["h", "k"]]'}, "user: h\nassistant: k\nuser: q\nassistant: a"),
        ({"prompt": "q", "response": "a", "history": ["h", "k"]}, "user: h\nassistant: k\nuser: q\nassistant: a"),
        ({"prompt": "q", "response": "a", "history": [{"user": "h", "bot": "k"}]},
         "user: h\nassistant: k\nuser: q\nassistant: a"),
        ({"prompt": "q", "response": "a", "history": "of Rome", "tools": "hammer"}, "user: q\nassistant: a"),
        ({"query": "q", "answers": '[{"name": "f"}]', "functions": [{"name": "f"}]},
         'tools: [{"name":"f"}]\nuser: q\nassistant: [{"name": "f"}]'),
        ({"messages": Q, "tools": "\n", "functions": None}, "user: q\nassistant: a"),
        ({"Question": "q", "Response": "a", "Reasoning_Content": "r"}, "user: q\nassistant: <think>\nr\n</think>\n\na"),
        ({"question": "q", "thinking": "r", "answer": "<think>r</think>a"}, "user: q\nassistant: <think>r</think>a"),
        ({"messages": [USER, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "r"}, {"type": "text", "text": "a"},
        ]}]}, "user: q\nassistant: <think>\nr\n</think>\n\na"),
        # several right answers
        ({"question": "q", "answers": [{"answer": "x"}, {"answer": "y"}, {"answer": "y"}]}, "user: q\nassistant: y"),
        ({"question": "q", "answer": {"value": "x", "aliases": ["y"]}}, "user: q\nassistant: x"),
        ({"prompt": "q", "completion": ["x", "x"]}, "user: q\nassistant: x"),
        # turns
        ({"messages": [{"prompt": "q", "response": "a"}]}, "user: q\nassistant: a"),
        ({"messages": [{"assistant": "a", "user": "q"}]}, "user: q\nassistant: a"),
        ({"messages": [{"user": "q", "assistant": None}, {"user": None, "assistant": "a"}]}, "user: q\nassistant: a"),
        ({"conversation": [{"system": "s", "input": "q", "output": "a"}]}, "system: s\nuser: q\nassistant: a"),
        ({"messages": {"role": ["user", "assistant"], "content": ["q", "a"]}}, "user: q\nassistant: a"),
        ({"turns": [{"speaker": "Human", "text": "q"}, {"speaker": "AI", "text": "a"}]}, "user: q\nassistant: a"),
        ({"data": ["q", "a"], "id": 1}, "user: q\nassistant: a"),
        ({"system": "s", "System_Prompt": "t", "prompt": "q", "response": "a"}, "system: s\nt\nuser: q\nassistant: a"),
        ({"question": "q", "document": 12, "answer": "a"}, "user: q\nassistant: a"),
        ({"question": "q", "reasoning": "4", "answer": "4"}, "user: q\nassistant: <think>\n4\n</think>\n\n4"),
        ({"user": "q", "assistant": "a"}, "user: q\nassistant: a"),
        ({"messages": '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]'},
         "user: q\nassistant: a"),
        ({"messages": [USER, ASSISTANT | {"loss": True}, USER, {"role": "assistant", "content": "b", "loss": False}]},
         "user: q\nassistant: a"),
        ({"messages": [USER, ASSISTANT | {"weight": None}, {"role": "user", "content": "r", "train": False}]},
         "user: q\nassistant: a"),
        ({"prompt": [USER], "completion": [ASSISTANT, {"role": "assistant", "content": "b", "weight": 0.0}]},
         "user: q\nassistant: a"),
        ({"messages": [
            USER,
            {"role": "assistant", "content": [
                {"type": "text", "text": "Wait."}, {"type": "tool_use", "id": "1", "name": "f", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "18"}]},
            ]},
            ASSISTANT,
        ]}, 'user: q\nassistant: Wait.\n[{"id":"1","input":{},"name":"f"}]\ntool: 18\nassistant: a'),
        # what only looks like a picture
        ({"question": "What does the <video> tag do?", "answer": "a"},
         "user: What does the <video> tag do?\nassistant: a"),
        ({"question": "Write `<image>`.", "answer": "<audio><source></audio>"},
         "user: Write `<image>`.\nassistant: <audio><source></audio>"),
        ({"question": "a < b > c <img src='x.png'>", "answer": "a"}, "user: a < b > c <img src='x.png'>\nassistant: a"),
        ({"question": "q", "answer": "a", "filename": "notes.txt", "video": None, "images": [], "audio": ""},
         "user: q\nassistant: a"),
        ({"question": "q", "answer": "a", "image_id": 7, "image": "x.png"}, "user: [picture x.png] q\nassistant: a"),
        # pictures
        ({"question": "q", "answer": "a", "imageName": "x.png"}, "user: [picture x.png] q\nassistant: a"),
        ({"question": "q", "answer": "a", "image": {"url": "x.png"}}, "user: [picture x.png] q\nassistant: a"),
        ({"question": "q", "answer": "a", "image": '{"path": "x.png"}'}, "user: [picture x.png] q\nassistant: a"),
        ({"question": "q", "answer": "a", "image": {"bytes": None, "path": None}}, "user: q\nassistant: a"),
        ({"question": "q", "answer": "a", "image": "x.png", "image_2": "y.png"},
         "user: [picture x.png] [picture y.png] q\nassistant: a"),
        ({"question": "q", "answer": "a", "image1": "x.png", "image2": None}, "user: [picture x.png] q\nassistant: a"),
        ({"question": "<image_0><image_1>", "answer": "a", "images": ["x.png", "y.png"]},
         "user: [picture x.png] [picture y.png]\nassistant: a"),
        ({"question": "<|image_1|> <image 1>", "answer": "a", "image": "x.png"},
         "user: [picture x.png] [picture x.png]\nassistant: a"),
        ({"question": "q", "options": ["<image 1>", "<image 2>"], "answer": "B", "image1": "x.png", "image2": "y.png"},
         "user: q\nA. [picture x.png] B. [picture y.png]\nassistant: B"),
        ({"question": "q", "answer": "a", "image": "file:///d/x%20y.png"},
         "user: [picture /d/x y.png] q\nassistant: a"),
        (asks({"type": "input_image", "image_url": "x.png"}, {"type": "input_text", "text": "q"}),
         "user: [picture x.png] q\nassistant: a"),
        (asks({"image": "x.png", "text": None}, {"image": None, "text": "q"}), "user: [picture x.png] q\nassistant: a"),
        (asks({"type": "image", "image": "x.png"}, {"type": "text", "text": "q"}) | {"images": ["x.png"]},
         "user: [picture x.png] q\nassistant: a"),
    ],
)  # fmt: skip
def test_neighbours_of_these_files_are_read_right(record: Record, read: str) -> None:
    assert shown(sample(record)) == read


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"question": "q", "answer": "a", "Video_Path": "x"}, "field 'Video_Path' holds a video"),
        ({"question": "q", "answer": "a", "clip": "x/1.MP4"}, "field 'clip' holds a video"),
        ({"question": "q", "answer": "a", "speech": {"bytes": b"x", "path": "x.wav"}}, "field 'speech' holds a sound"),
        ({"question": "q", "answer": "a", "video_id": "v7"}, "field 'video_id' holds a video"),
        ({"question": "q", "answer": "a", "image_id": 458752}, "field 'image_id' tells of a picture that is not in"),
        ({"question": "<image_placeholder>q", "answer": "a"}, "a text says <image_placeholder> where no column"),
        ({"question": "q <video>", "answer": "a", "image": "x.png"}, "a text says <video>, so the row holds a video"),
        (asks({"type": "video_url", "video_url": {}}), "holds a video"),
        (asks({"type": "input_audio"}), "holds a sound"),
        ({"question": "q", "answer": "a", "scan": [{"bytes": base64.b64decode(PNG)}]},
         "field 'scan' holds a picture and is not read; name it in columns: {image: 'scan'}"),
        ({"question": "q", "answer": "a", "the scan": "https://a.org/x.png?size=2"}, "columns: {image: 'the scan'}"),
        ({"question": "<image 3>", "answer": "a", "image_1": "x.png"},
         "a text says <image 3>, and the row has 1 picture"),
        ({"question": "<image 1>", "answer": "a", "images": ["x.png", "y.png"]},
         "a text says <image 1>, and the row has 2 pictures"),
        ({"question": "q", "answer": "a", "image": PNG[:60] + "?"}, "field 'image' holds a text that is not base64"),
        ({"question": "q", "answer": "a", "image": True}, "field 'image' holds a boolean"),
        ({"question": "q", "answer": "a", "image": {"id": 3}},
         "field 'image' holds an object without bytes, path or url"),
        ({"messages": [USER, ASSISTANT | {"train": False}]}, "has no turn of the assistant that is trained on"),
        ({"messages": [{"user": "q", "human": "q", "assistant": "a"}]},
         "turn 1 of 'messages' has two texts of the user ('user' and 'human')"),
        ({"messages": [["q", None]]}, "turn 1 of 'messages' holds a list, not a pair of texts"),
        ({"messages": [USER, {"role": "assistant", "content": "", "reasoning": "r"}]},
         "the assistant's last turn of 'messages', is empty"),
        ({"messages": [{"role": {"name": "user"}, "content": "q"}, ASSISTANT]}, "turn 1 of 'messages' has no role"),
        ({"messages": [{"user": "Bob", "text": "q"}, ASSISTANT]}, "has no role that is known; its keys are user, text"),
        ({"messages": [{"Q": "q", "A": "a"}]}, "its keys are Q, A; if a key stands for a role, say so in columns"),
        ({"messages": [USER, {"role": "Chatbot", "content": "a"}]}, "columns: {roles: {'Chatbot': assistant}}"),
        ({"data": [{"prompt": "q", "completion": "a"}]}, "the columns data fit no supported layout"),
        ({"prompt": ["q", "r"], "completion": ["x", "y"]}, "field 'prompt' holds a list, not text"),
        ({"prompt": "q", "completion": ["x", "y"]}, "field 'completion' holds a list, not text"),
        ({"question": "q", "answers": {"text": [], "answer_start": []}}, "field 'answers' holds an object, not text"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_rejected_with_the_field_and_the_cure(record: Record, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        sample(record)


def test_answers_that_are_indexes_are_counted_as_the_first_rows_say() -> None:
    rows = [{"question": "q", "choices": ["x", "y", "z"], "answer": n} for n in (1, 3, 2)]
    assert shown(recognise(rows, {}).read(rows[0])) == "user: q\n1. x\n2. y\n3. z\nassistant: 1"
    rows.append({"question": "q", "choices": ["x", "y", "z"], "answer": 0})
    assert shown(recognise(rows, {}).read(rows[0])) == "user: q\n0. x\n1. y\n2. z\nassistant: 1"
    rows.append({"question": "q", "choices": ["3", "4"], "answer": "4"})
    assert "\nA. 3\nB. 4\n" in shown(recognise(rows, {}).read(rows[-1]))


@pytest.mark.parametrize(
    ("more", "read"),
    [
        ({"context": "c"}, "user: q\nc\nassistant: a"),
        ({"system_prompt": "s", "tools": [{"name": "f"}]}, 'tools: [{"name":"f"}]\nsystem: s\nuser: q\nassistant: a'),
        ({"image_path": "x.png"}, "user: [picture x.png] q\nassistant: a"),
        ({"A": "x", "B": "y"}, "user: q\nA. x\nB. y\nassistant: a"),
        ({"note": "c", "page": 3}, "user: q\nassistant: a"),
        ({"video": "x.mp4"}, "field 'video' holds a video"),
        ({"scan": "x.png"}, "field 'scan' holds a picture and is not read"),
    ],
)
def test_a_column_that_the_first_rows_lack_is_read_too(more: Record, read: str) -> None:
    first = {"question": "q", "answer": "a"}
    rows = recognise([first], {})
    assert shown(rows.read(first)) == "user: q\nassistant: a"
    if read.startswith("field"):
        with pytest.raises(ValueError, match=read):
            rows.read(first | more)
    else:
        assert shown(rows.read(first | more)) == read


def test_the_name_of_a_layout_says_what_is_read_with_the_question() -> None:
    record = {"question": "q", "answer": "a", "passage": "p", "choices": ["x"], "image": "x.png", "id": 3}
    assert layout(record).name == "question/answer with image, passage, choices"
    assert layout(record).used_columns == record.keys() - {"id"}
    assert layout({"instruction": "i", "input": "x", "output": "a", "history": []}).name == "alpaca"


def test_columns_that_are_named_are_read_and_false_leaves_a_part_out() -> None:
    record = {"q": "q", "a": ["x", "y"], "why": "r", "first": "1.png", "second": "2.png", "passage": "p"}
    columns = {"prompt": "q", "answer": "a", "reasoning": "why", "image": ["first", "second"]}
    pictures = "[picture 1.png] [picture 2.png]"
    thoughts = "<think>\nr\n</think>\n\nx"
    assert shown(sample(record, **columns)) == f"user: {pictures} q\np\nassistant: {thoughts}"
    assert shown(sample(record, **columns, context=False)) == f"user: {pictures} q\nassistant: {thoughts}"
    with pytest.raises(ValueError, match=r"dataset.columns names 'third', which is no column; the columns are q, a"):
        sample(record, **columns, context="third")
    talk = {"chat": [{"role": "Client", "content": "q"}, {"role": "bot", "content": "a"}], "note": "n"}
    assert shown(sample(talk, messages="chat", context="note", roles={"client": "user"})) == "user: q\nn\nassistant: a"
    pairs = {"messages": [{"Q": "q", "A": "a"}]}
    assert shown(sample(pairs, roles={"Q": "user", "A": "assistant"})) == "user: q\nassistant: a"
    wrong: dict[str, Any]
    for wrong in ({"prompt": ["a"]}, {"image": True}, {"context": []}, {"roles": {"Bot": "robot"}}, {"picture": "x"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Columns.model_validate(wrong)


def test_every_cure_that_a_reject_names_works() -> None:
    for record in (
        {"foto": "1.jpg", "question": "q", "answer": "a"},
        {"image": 1234, "question": "q", "answer": "a"},
        {"video": "1.mp4", "question": "q <video>", "answer": "a"},
        {"question": "q <image>", "answer": "a", "the: pic": "x.png"},
        {"messages": [USER, {"role": "Chat bot: 1", "content": "a"}]},
    ):
        with pytest.raises(ValueError) as error:
            sample(record)
        cures = list(map(yaml.safe_load, re.findall(r"\{(?:image|roles): (?:\{.*?\}|[^{}]*)\}", str(error.value))))
        assert cures
        for cure in cures:
            if cure != {"image": "COLUMN"}:
                assert "user:" in shown(sample(record, **cure)), (record, cure)


def test_another_answer_replaces_the_one_that_was_read() -> None:
    told = {"role": "assistant", "content": "PARIS", "weight": 0}
    for record in (
        {"messages": [USER, {"role": "assistant", "content": None, "value": "a", "reasoning": "r"}, USER, told]},
        {"messages": [{"user": "q", "assistant": "a"}]},
        {"messages": [["q", "a"]]},
        {"messages": ["q", "a"]},
        {"messages": json.dumps([["q", "a"]])},
        {"question": "q", "answers": ["a", "b"]},
        {"question": "q", "choices": ["x", "y"], "answer": 1},
        {"question": "q", "thinking": "r", "answer": "a"},
    ):
        rows = layout(record)
        assert rows.read(rows.with_answer(record, "new")).messages[-1]["content"] == "new"
    columns = Columns(prompt="q", answer="a", context="facts", image=["x", "y"])
    record = {"q": "q", "a": "a"}  # a row without the columns that may be missing
    rows = recognise([dict.fromkeys(columns.names) | record], columns.given)
    assert rows.with_answer(record, "new") == {"q": "q", "a": "new"}
    for fixed in (
        {"messages": {"role": ["user", "assistant"], "content": ["q", "a"]}},
        {"question": "q", "answers": {"text": ["a"]}},
        {"messages": [USER, {"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]}]},
    ):
        with pytest.raises(ValueError, match="replaced"):
            layout(fixed).with_answer(fixed, "new")


def test_a_picture_is_the_same_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    Image.frombytes("RGB", (16, 12), bytes(range(192)) * 3).save(tmp_path / "pics" / "a b.png")
    data = (tmp_path / "pics" / "a b.png").read_bytes()
    text = base64.encodebytes(data).decode()  # with line ends
    source = {"type": "base64", "media_type": "image/png", "data": text}
    url = {"url": f"data:image/png;base64,{text}"}
    forms: list[Any] = [
        *("pics/a b.png", "pics\\a b.png", ".\\pics\\a b.png", f"file://{tmp_path}/pics/a%20b.png"),
        *(text, url["url"], {"bytes": text}, {"bytes": None, "path": "pics/a b.png"}),
        *([{"url": "pics/a b.png"}], source),
    ]
    parts: list[Record] = [
        *({"type": "image", "source": source}, {"type": "image_url", "image_url": url}),
        *({"type": "image", "base64": text}, {"type": "image", "value": "pics/a b.png"}, {"image": "pics/a b.png"}),
    ]
    lines = [{"image": form, "question": "q", "answer": "a"} for form in forms]
    turns = [asks(part, {"type": "text", "text": "q"}) for part in parts]
    for name, rows in (("columns", lines), ("turns", turns)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        database = str(tmp_path / f"{name}.duckdb")
        with turn(database):
            done = ingest_into(database, Dataset(name="rows", path=str(tmp_path / f"{name}.jsonl")))
        assert (done.rows, done.duplicates, done.rejected) == (1, len(rows) - 1, 0)


def test_a_column_of_turns_may_be_missing(tmp_path: Path) -> None:
    lists = [[USER, ASSISTANT], ["r", "b"], [["s", "c"]]]
    (tmp_path / "lists.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in lists))
    expected = ["user: q\nassistant: a", "user: r\nassistant: b", "user: s\nassistant: c"]
    assert ingested(tmp_path / "lists.jsonl", tmp_path) == expected
    (tmp_path / "lists.json").write_text(json.dumps(lists, indent=1))
    assert ingested(tmp_path / "lists.json", tmp_path) == expected
    (tmp_path / "rows.json").write_text(json.dumps([{"user": "q", "assistant": "a"}]))
    assert ingested(tmp_path / "rows.json", tmp_path) == expected[:1]
