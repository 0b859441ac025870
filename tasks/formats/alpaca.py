"""{"instruction": "...", "input": "...", "output": "...", "history": [["asked", "answered"], ...], "system": "..."}

Dolly's own names, context and response, are read too. The prompt is instruction and input on lines of their own.
"""

from collections.abc import Mapping
from typing import Any

from oresight.tasks.formats.sample import Record, Sample, Turn, held, text, text_or_none


def match(record: Record) -> dict[str, str] | None:
    """Which column holds what, if the record looks like this layout."""
    if "instruction" not in record:
        return None
    for given, answer in (("input", "output"), ("context", "response")):
        if answer in record:
            return {"instruction": "instruction", "input": given, "answer": answer, "history": "history"}
    return None


def read(record: Record, columns: Mapping[str, str]) -> Sample:
    """Instruction and input as the user's turn, after system and history. Raises ValueError with a sentence."""
    given = text_or_none(record, columns["input"])
    asked = text_or_none(record, columns["instruction"]) if given else text(record, columns["instruction"])
    messages: list[Turn] = []
    if system := text_or_none(record, columns["system"]):
        messages.append({"role": "system", "content": system})
    for before, after in _history(record.get(columns["history"])):
        messages += [{"role": "user", "content": before}, {"role": "assistant", "content": after}]
    messages.append({"role": "user", "content": "\n".join(part for part in (asked, given) if part)})
    messages.append({"role": "assistant", "content": text(record, columns["answer"])})
    return Sample(messages)


def _history(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value or [], list):
        raise ValueError(f"field 'history' holds {held(value)}, not a list of pairs")
    for pair in value or []:
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise ValueError(f"field 'history' holds {held(pair)} where a pair of texts, asked and answered, belongs")
    return [(before, after) for before, after in value or []]
