"""What to do with a file that fits no layout: the columns to name, which were tried, or what kind of file it is."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from oresight.tasks.formats.pictures import SUFFIXES
from oresight.tasks.formats.sample import Record

IDENTIFIER = (
    r"(?i)^((question|sample|row|example|item|record|conversation|prompt|pair|qa|entry|instance|message)?"
    r"[ _-]?(id|idx|index|uuid|guid)|key|hash|sha256|md5|Unnamed: \d+|__.+__)$"
)
"""Names of columns that only tell rows apart. The id of a picture or a document is none: it stands for content."""
PROMPT_WORDS = "question", "prompt", "instruction", "query", "problem", "input", "user", "conversation"
ANSWER_WORDS = "answer", "output", "response", "completion", "solution", "chosen", "target", "reply", "assistant"
NO_ANSWER = re.compile(r"reject|incorrect|wrong|bad", re.I)
CHAT_MARKS = re.compile(r"<\|\w+\|>|\[/?INST\]|<start_of_turn>|^### \w+:|^(Human|Assistant|User): ", re.M)
LEAST_SHARE = 0.8
"""Share of the first rows that columns must read to be proposed."""
MOST_TRIES = 100


def working_columns(records: Sequence[Record], share_read: Callable[[dict[str, str]], float]) -> str | None:
    """The value of `columns` with which most of the first rows are read, as YAML on one line; None if there is none.

    share_read: the share of the rows that are read if the columns are named so.
    """
    columns = [column for column in _columns(records) if not re.search(IDENTIFIER, column)]
    turns = [column for column in columns if _share(records, column, _holds_objects) and not NO_ANSWER.search(column)]
    texts = [column for column in columns if _share(records, column, _is_text) >= LEAST_SHARE or column in turns]
    answers = [column for column in columns if column in texts or _share(records, column, _is_scalar) >= LEAST_SHARE]
    tries = [
        {"messages": column} for column in sorted(turns, key=lambda name: name not in ("messages", "conversations"))
    ]
    tries += [
        {"prompt": prompt, "answer": answer}
        for prompt in _ranked(texts, PROMPT_WORDS)
        if _named(prompt, PROMPT_WORDS) or _varies(records, prompt)
        for answer in _ranked(answers, ANSWER_WORDS)
        if answer != prompt and not NO_ANSWER.search(answer)
    ]
    for names in tries[:MOST_TRIES]:
        if share_read(names) >= LEAST_SHARE:
            return as_yaml(names)
    return None


def as_yaml(columns: Mapping[str, Any]) -> str:
    """A value of the setting `columns`, as YAML on one line."""
    return yaml.safe_dump(
        dict(columns), default_flow_style=True, sort_keys=False, allow_unicode=True, width=9999
    ).strip()


def may_be_context(column: str) -> bool:
    """Whether a column may be proposed as a part of the question: an answer would leak, and an id says nothing."""
    return not _named(column, ANSWER_WORDS) and not re.search(r"(?i:^|_)id$|I[dD]$", column)


def kind_of_file(records: Sequence[Record]) -> str:
    """What rows hold in which no columns can be named, and what to do."""
    columns = _columns(records)
    texts = [column for column in columns if _share(records, column, _is_text) >= LEAST_SHARE]
    texts = [column for column in texts if not re.search(IDENTIFIER, column)] or texts
    if numbers := [column for column in columns if _share(records, column, _holds_numbers) >= LEAST_SHARE]:
        return f"{numbers[0]!r} holds a list of numbers; give the rows as texts, before they were encoded"
    if objects := [column for column in columns if _share(records, column, _holds_list_of_objects) >= LEAST_SHARE]:
        return f"{objects[0]!r} holds a list of objects; write each as a row of its own, with its texts as columns"
    if len(texts) == 1 and _named(texts[0], PROMPT_WORDS):
        return f"{texts[0]!r} holds questions, and no column holds answers, which are what gets a value"
    if len(texts) == 1 and _share(records, texts[0], lambda value: bool(CHAT_MARKS.search(str(value)))) >= LEAST_SHARE:
        return (
            f"{texts[0]!r} holds plain text, in which no answer stands apart to get a value; write its turns as"
            " {messages: [{role: user, content: ...}, {role: assistant, content: ...}]}"
        )
    if len(texts) == 1:
        return f"{texts[0]!r} holds plain text, and no column holds an answer that can get a value"
    return "no column reads like prompts" if texts else "no column holds text"


def _columns(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(column for record in records for column in record))


def _share(records: Sequence[Record], column: str, test: Callable[[Any], bool]) -> float:
    return sum(test(record.get(column)) for record in records) / max(len(records), 1)


def _varies(records: Sequence[Record], column: str) -> bool:
    """Whether most rows have a text of their own, as prompts do and labels do not."""
    return 2 * len({record.get(column) for record in records if _is_text(record.get(column))}) > len(records)


def _named(column: str, words: Sequence[str]) -> bool:
    return any(word in column.lower() or word[0] == column.lower() for word in words)


def _ranked(columns: Sequence[str], words: Sequence[str]) -> list[str]:
    """Columns in the order of the words that their names hold; then the others."""
    rank = {
        column: next((i for i, word in enumerate(words) if _named(column, [word])), len(words)) for column in columns
    }
    return sorted(columns, key=lambda column: rank[column])


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not value.lower().endswith(SUFFIXES)


def _is_scalar(value: Any) -> bool:
    return _is_text(value) or isinstance(value, bool | int | float)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, dict) or _holds_list_of_objects(value)


def _holds_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _holds_numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(item, int | float) for item in value)
