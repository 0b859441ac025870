"""A record in any layout that users hold becomes the same turns, or a sentence that says why not."""

import json

import pytest

from oresight.tasks.formats import recognise
from oresight.tasks.formats.sample import Record, Sample
from oresight.tasks.formats.turns import ROLES, read_turns

ASK, TELL = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}


def sample(record: Record, **columns: str) -> Sample:
    return recognise([record], columns).read(record)


@pytest.mark.parametrize(
    ("layout", "record"),
    [
        ("messages", {"messages": [ASK, TELL]}),
        ("messages", {"messages": json.dumps([ASK, TELL])}),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "2+2?"}]}, TELL]}),
        ("messages", {"messages": [ASK, TELL, {"role": "user", "content": "thanks"}]}),
        ("sharegpt", {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}),
        ("sharegpt", {"conversations": [ASK, TELL]}),
        ("alpaca", {"instruction": "2+2?", "input": "", "output": "4"}),
        ("alpaca", {"instruction": "2+2?", "output": "4"}),
        ("alpaca", {"instruction": "", "input": "2+2?", "output": "4", "history": []}),
        ("alpaca", {"instruction": "2+2?", "context": None, "response": "4"}),
        ("prompt/completion", {"prompt": "2+2?", "completion": "4"}),
        ("prompt/completion", {"prompt": [ASK], "completion": [TELL]}),
        ("prompt/response", {"prompt": "2+2?", "response": "4"}),
        ("question/answer", {"question": "2+2?", "answer": "4"}),
    ],
)
def test_a_layout_is_recognised_and_read(layout: str, record: Record) -> None:
    assert recognise([record], {}).name == layout
    assert sample(record) == Sample([ASK, TELL])


def test_named_columns_win_over_every_layout() -> None:
    record = {
        "q": "2+2?",
        "a": "4",
        "rule": "be brief",
        "chosen": "x",
        "rejected": "y",
        "instruction": "z",
        "output": "w",
    }
    read_as = recognise([record], {"prompt": "q", "answer": "a", "system": "rule"})
    assert read_as.name == "q/a"
    assert read_as.read(record).messages == [{"role": "system", "content": "be brief"}, ASK, TELL]
    assert read_as.used_columns == {"q", "a", "rule"}
    assert sample({"talk": [ASK, TELL]}, messages="talk") == Sample([ASK, TELL])


def test_named_columns_that_are_not_there_are_told_with_those_that_are() -> None:
    with pytest.raises(
        ValueError, match=r"dataset.columns names 'q', which is no column; the columns are question, best"
    ):
        recognise([{"question": "?", "best": "!"}], {"prompt": "q", "answer": "best"})
    with pytest.raises(ValueError, match=r"dataset\.columns needs both prompt and answer"):
        recognise([{"question": "?", "best": "!"}], {"prompt": "question"})


def test_columns_of_no_layout_are_listed_with_the_cure() -> None:
    with pytest.raises(
        ValueError,
        match=r"columns id, question, best_answer fit no supported layout.*{prompt: question, answer: best_answer}",
    ):
        recognise([{"id": 3, "question": "?", "best_answer": "!"}], {})


def test_most_of_the_first_rows_decide_the_layout() -> None:
    odd, usual = {"prompt": "p", "completion": "c"}, {"instruction": "i", "output": "o"}
    assert recognise([odd, usual, usual], {}).name == "alpaca"


def test_system_tools_and_history_come_along() -> None:
    record = {"system": "be brief", "tools": '[{"name": "add"}]', "conversations": [ASK, TELL]}
    assert sample(record) == Sample([{"role": "system", "content": "be brief"}, ASK, TELL], [{"name": "add"}])
    said = sample({"instruction": "2+2?", "output": "4", "history": [["1+1?", "2"]], "system": "s"}).messages
    assert [turn["content"] for turn in said] == ["s", "1+1?", "2", "2+2?", "4"]
    assert sample({"instruction": "add", "input": "2 2", "output": "4"}).messages[0]["content"] == "add\n2 2"


def test_calls_of_tools_are_text_and_their_results_turns_of_the_tool() -> None:
    talk = [
        {"from": "human", "value": "q"},
        {"from": "function_call", "value": {"name": "f"}},
        {"from": "observation", "value": "7"},
    ]
    assert read_turns(talk, "conversations")[1:] == [
        {"role": "assistant", "content": '{"name":"f"}'},
        {"role": "tool", "content": "7"},
    ]
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
    }
    padded = call | {"name": None, "tool_calls": [{"function": {"arguments": "{}", "name": "f", "x": None}, "id": "1"}]}
    assert read_turns([call], "messages") == read_turns([padded], "messages")
    assert read_turns([call], "messages")[0]["content"] == '[{"function":{"arguments":"{}","name":"f"},"id":"1"}]'
    assert read_turns([call | {"content": "Wait."}], "messages")[0]["content"].startswith("Wait.\n[{")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"instruction": "q", "output": ""}, "field 'output' is empty"),
        ({"instruction": "q", "output": " \n"}, "field 'output' is empty"),
        ({"instruction": "q", "output": float("nan")}, r"field 'output' holds a number \(nan\), not text"),
        ({"instruction": "q", "output": None}, "field 'output' holds null, not text"),
        ({"instruction": "q", "output": ["a", "b"]}, "field 'output' holds a list, not text"),
        ({"instruction": "q", "output": {"a": None}}, "field 'output' holds an object, not text"),
        ({"instruction": "", "output": "a"}, "field 'instruction' is empty"),
        ({"instruction": "q", "input": 3, "output": "a"}, "field 'input' holds a number"),
        (
            {"instruction": "q", "output": "a", "history": [["x"]]},
            "turn 1 of 'history' holds a list, not a pair of texts",
        ),
        ({"messages": []}, "field 'messages' has no turn of the assistant"),
        ({"messages": None}, "field 'messages' holds null, not a list of turns"),
        ({"messages": "no"}, "field 'messages' holds text that is not JSON"),
        ({"messages": [ASK]}, "has no turn of the assistant"),
        ({"messages": [TELL]}, "has no question before the answer"),
        (
            {"messages": [ASK, {"role": "assistant", "content": " "}]},
            "the assistant's last turn of 'messages', is empty",
        ),
        ({"messages": [ASK, {"role": "assistant", "content": None}]}, "turn 2 of 'messages': its content holds null"),
        ({"messages": [ASK, "4"]}, "turn 2 of 'messages' holds text, not an object"),
        ({"messages": [ASK, {"role": "narrator", "content": "4"}]}, "turn 2 of 'messages' has the role 'narrator'"),
        ({"messages": [ASK, TELL], "tools": "{"}, "field 'tools' holds text that is not JSON"),
        ({"messages": [ASK, TELL], "videos": ["a.mp4"]}, "field 'videos' holds a video"),
        (
            {"question": "<image> q", "answer": "a", "image": ["a.jpg", "b.jpg"]},
            "has 1 place for pictures and 2 pictures",
        ),
        ({"question": "q", "answer": "a <image>", "image": "a.jpg"}, "the answer holds a picture"),
        ({"question": "q", "answer": "a", "image": "data:image/png;base64,?"}, "a data: URL that is not base64"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, TELL]},
            "has 1 place for pictures and 0 pictures",
        ),
        ({"conversations": [ASK], "chosen": TELL, "rejected": TELL}, "a preference pair, not a supervised row"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "a preference pair, not a supervised row"),
        ({"messages": [ASK, TELL], "label": False}, "liked-or-not label"),
    ],
)
def test_what_is_no_row_says_why_and_where(record: Record, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sample(record)


@pytest.mark.parametrize(("answer", "text"), [(4, "4"), (-0.5, "-0.5"), (True, "true"), (False, "false"), (0, "0")])
def test_numbers_and_booleans_are_answers(answer: object, text: str) -> None:
    for record in ({"question": "q", "answer": answer}, {"instruction": "q", "output": answer}):
        assert sample(record).messages[-1] == {"role": "assistant", "content": text}


def test_what_only_looks_like_a_defect_is_read() -> None:
    assert sample({"question": "2+2?", "answer": "4", "image": None, "label": 1}) == Sample([ASK, TELL])
    assert sample({"messages": [ASK, TELL], "images": [], "label": "good", "tools": "[]"}) == Sample([ASK, TELL])


def test_every_role_is_one_of_four() -> None:
    assert set(ROLES.values()) == {"system", "user", "assistant", "tool"}
