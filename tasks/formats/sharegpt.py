"""{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}], "system": "..."}

A column `tools` holds the tools as JSON text. A function_call is a turn of the assistant, and its text is the call. An
observation is a turn of the tool.
"""

from collections.abc import Mapping

from oresight.tasks.formats.sample import Record, Sample, conversation


def match(record: Record) -> dict[str, str] | None:
    """Which column holds what, if the record looks like this layout."""
    name = next((name for name in ("conversations", "conversation") if name in record), None)
    return {"messages": name} if name else None


def read(record: Record, columns: Mapping[str, str]) -> Sample:
    """The turns up to the assistant's last one. Raises ValueError with the reason."""
    return conversation(record, columns["messages"], columns["system"])
