"""{"prompt": "...", "completion": "..."}, {"question": "...", "answer": "..."} and other pairs of columns.

Either column may also hold a list of turns, as some trainers require.
"""

from collections.abc import Mapping

from oresight.tasks.formats.sample import Record, Sample, Turn, optional_text, read_turns, required_text, up_to_answer

PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("prompt", "answer"),
    ("question", "answer"),
    ("question", "response"),
    ("question", "multiple_choice_answer"),
    ("query", "response"),
    ("query", "answer"),
    ("prompt", "output"),
    ("input", "output"),
)


def match(record: Record) -> dict[str, str] | None:
    """Which column holds what, if the record looks like this layout."""
    pairs = ({"prompt": prompt, "answer": answer} for prompt, answer in PAIRS if prompt in record and answer in record)
    return next(pairs, None)


def read(record: Record, columns: Mapping[str, str]) -> Sample:
    """Prompt and answer as two turns, after the system turn. Raises ValueError with the reason."""
    messages: list[Turn] = []
    if system := optional_text(record, columns["system"]):
        messages.append({"role": "system", "content": system})
    messages += _turns(record, columns["prompt"], "user")
    messages += _turns(record, columns["answer"], "assistant")
    return Sample(up_to_answer(messages, columns["answer"]))


def _turns(record: Record, field: str, role: str) -> list[Turn]:
    value = record.get(field)
    if isinstance(value, list):
        return read_turns(value, field)
    return [{"role": role, "content": required_text(record, field)}]
