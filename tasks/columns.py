"""Section `columns` of the configuration: which column of a file holds which part of a row."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from oresight.tasks.section import Section


def _column_names(value: Any) -> Any:
    """Check the columns of a part, so that an error is one sentence and not one per form."""
    if value is None or value is False or isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return list(value)
    raise ValueError("give the name of a column, a list of names, or false for none")


ColumnNames = Annotated[str | list[str] | Literal[False] | None, BeforeValidator(_column_names)]
"""One or several columns; False: none; None: those with a usual name."""


class Columns(Section):
    """Names of the columns that hold the parts of a row, where they have no usual name (docs/layouts.md).

    A part that is not given is looked for. `false` stands for no column.
    """

    prompt: str | None = None
    """Column of the question or the instruction: a text or turns."""
    answer: str | None = None
    """Column of the answer: a text, turns, or a list of right answers, of which the most frequent is valued."""
    messages: str | None = None
    """Column of the turns, instead of prompt and answer."""
    system: ColumnNames = None
    """Column of the system prompt."""
    history: ColumnNames = None
    """Column of earlier turns."""
    context: ColumnNames = None
    """Columns of what the question is about: an input, a passage. They follow the prompt, each on a new line."""
    options: ColumnNames = None
    """Columns of the options of a question: one for all, or one for each. They follow the context."""
    reasoning: ColumnNames = None
    """Column of the reasoning that precedes the answer, and is learnt with it."""
    tools: ColumnNames = None
    """Column of the tools: a list, or its JSON text."""
    image: ColumnNames = None
    """Columns of the pictures. false: the rows are texts, <image> in them is text, and other media do not matter."""
    roles: dict[str, Literal["system", "user", "assistant", "tool"]] = Field({})
    """Roles of names that are not known: {Chatbot: assistant}."""

    @property
    def given(self) -> dict[str, Any]:
        """The parts that are given, by name."""
        return {name: value for name, value in self if value is not None and value != {}}

    @property
    def names(self) -> list[str]:
        """All columns that are named."""
        parts = [value for part, value in self if part != "roles" and value]
        return [name for names in parts for name in ([names] if isinstance(names, str) else names)]
