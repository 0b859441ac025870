"""{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}], "tools": [...]}"""

from collections.abc import Mapping

from oresight.tasks.formats.sample import Record, Sample, conversation


def match(record: Record) -> dict[str, str] | None:
    """Which column holds what, if the record looks like this layout."""
    return {"messages": "messages"} if "messages" in record else None


def read(record: Record, columns: Mapping[str, str]) -> Sample:
    """The turns up to the assistant's last one. Raises ValueError with the reason."""
    return conversation(record, columns["messages"], columns["system"])
