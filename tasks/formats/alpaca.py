"""{"instruction": "...", "input": "...", "output": "...", "history": [["asked", "answered"], ...], "system": "..."}

Dolly's column names, context and response, are read too. The prompt is the instruction, then the input on a new line.
"""

from collections.abc import Mapping
from typing import Any

from oresight.tasks.formats.sample import Record, Sample, Turn, describe, optional_text, required_text


def match(record: Record) -> dict[str, str] | None:
    """Which column holds what, if the record looks like this layout."""
    if "instruction" not in record:
        return None
    for context, answer in (("input", "output"), ("context", "response")):
        if answer in record:
            return {"instruction": "instruction", "input": context, "answer": answer, "history": "history"}
    return None


def read(record: Record, columns: Mapping[str, str]) -> Sample:
    """Instruction and input as the user's turn, after system and history. Raises ValueError with the reason."""
    context = optional_text(record, columns["input"])
    read_instruction = optional_text if context else required_text
    instruction = read_instruction(record, columns["instruction"])
    messages: list[Turn] = []
    if system := optional_text(record, columns["system"]):
        messages.append({"role": "system", "content": system})
    for question, answer in _history(record.get(columns["history"])):
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": "\n".join(part for part in (instruction, context) if part)})
    messages.append({"role": "assistant", "content": required_text(record, columns["answer"])})
    return Sample(messages)


def _history(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value or [], list):
        raise ValueError(f"field 'history' holds {describe(value)}, not a list of pairs")
    for pair in value or []:
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise ValueError(f"field 'history' holds {describe(pair)}, not a pair of texts (question and answer)")
    return [(question, answer) for question, answer in value or []]
