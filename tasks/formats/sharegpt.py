"""{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}], "system": "..."}

A column `tools` holds the tools as JSON text. A function_call is a turn of the assistant, whose text is the call; an
observation is a turn of the tool.
"""

from collections.abc import Mapping

from oresight.tasks.formats.sample import Record, Sample, conversation


def match(record: Record) -> dict[str, str] | None:
    """Which column holds what, if the record looks like this layout."""
    name = next((name for name in ("conversations", "conversation") if name in record), None)
    return {"messages": name} if name else None


def read(record: Record, columns: Mapping[str, str]) -> Sample:
    """The turns up to the last one of the assistant. Raises ValueError with a sentence."""
    return conversation(record, columns["messages"], columns["system"])
