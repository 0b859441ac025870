"""A limit on the memory of a chat template, which is code that came with the model. timelimit.py limits its time.

A limit of the operating system would hit the threads that compute meanwhile. So each operation of the template is
asked before it runs how much it would build: one call such as 'a'.center(10**10) cannot be interrupted.
"""

import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.nodes import Concat
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers.utils import chat_template_utils

LIMIT = 1 << 28
"""Characters that a template may build for a conversation, its intermediate texts included. An item of a list counts
as ITEM characters."""
ITEM = 64
CHEAP = {"length", "count", "first", "last", "default", "d"}
"""Filters that build nothing, whatever they get."""
MULTIPLY = {"replace", "translate", "join", "format", "format_map", "wordwrap"}
"""Methods of texts, and filters, that may build the product of the sizes of what they get."""
WIDEN = {
    "center",
    "ljust",
    "rjust",
    "zfill",
    "expandtabs",
    "indent",
    "tojson",
    "batch",
    "slice",
    "generate_lorem_ipsum",
}
"""Those that may build so many characters for each one of what they get as a number says."""
SPLIT = {"split", "rsplit", "splitlines", "list"}
"""Those that may build an item for every second character."""
FORMATS = {"format", "format_map", "strftime_now"}
WIDE = re.compile(r"%[^%a-zA-Z]*(\d{5}|\*)|\{[^{}]*:[^{}]*(\d{5}|\{)")
"""A field of a format that is 10,000 characters wide or more, or as wide as an argument says."""


class _Spent(threading.local):
    """The characters that the templates of a thread have built in its `memory_limit`; without one, -inf."""

    characters = -math.inf


_spent = _Spent()


@contextmanager
def memory_limit() -> Iterator[None]:
    """Let the templates of this thread build LIMIT characters. What would build more raises SecurityError."""
    _spent.characters = 0
    try:
        yield
    finally:
        _spent.characters = -math.inf


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The environment of transformers' templates, with a limit on what they build."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, finalize=_printable, **options)
        self.filters = _Filters(self.filters)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _spend(_RESULTS[operator](left, right))
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *values: Any, **named: Any) -> Any:  # noqa: N805  macros name arguments
        method = getattr(__obj, "__wrapped__", __obj)  # Jinja wraps str.format
        owner = [text] if isinstance(text := getattr(method, "__self__", None), str) else []
        _check(getattr(method, "__name__", ""), [*owner, *values, *named.values()])
        return _paid(super().call(__context, __obj, *values, **named))

    @staticmethod
    def concat(pieces: Iterable[Any]) -> str:
        """Join what a block printed, or the operands of ~."""
        texts = [*map(str, pieces)]
        _spend(sum(map(len, texts)))
        return "".join(texts)

    class code_generator_class(CodeGenerator):  # noqa: N801  the name that Jinja gives it
        def visit_Concat(self, node: Concat, frame: Frame) -> None:  # noqa: N802
            self.write("environment.concat(map(environment.finalize, (")
            for operand in node.nodes:
                self.visit(operand, frame)
                self.write(", ")
            self.write(")))")


class _Filters(dict[str, Callable[..., Any]]):
    """Filters that are asked first how much they would build."""

    def __init__(self, filters: Mapping[str, Callable[..., Any]]) -> None:
        for name, function in filters.items():
            self[name] = function

    def __setitem__(self, name: str, function: Callable[..., Any]) -> None:
        @wraps(function)
        def bounded(*values: Any, **named: Any) -> Any:
            if name not in CHEAP:
                _check(name, [*values, *named.values()])
            return _paid(function(*values, **named))

        super().__setitem__(name, bounded)


def _check(name: str, values: list[Any]) -> None:
    """Raise SecurityError if a function or filter would build too much of these values."""
    values = [value for value in values if isinstance(value, str | bytes | int | list | tuple | set | Mapping)]
    if name in FORMATS and any(isinstance(value, str) and WIDE.search(value) for value in values[:1]):
        raise SecurityError("a field of a format is too wide")
    if name in SPLIT and values and isinstance(values[0], str):
        mark = values[1] if len(values) > 1 and isinstance(values[1], str) else ""
        _require(ITEM * (values[0].count(mark) if mark else len(values[0]) // 2))
    if name in MULTIPLY or name in WIDEN:
        numbers = [abs(value) for value in values if isinstance(value, int) and name in WIDEN]
        sizes = [_size(value) for value in values if not isinstance(value, int)]
        _require(math.prod(max(number, 1) for number in (*numbers, sum(sizes) if name in WIDEN else 1)))
        _require(math.prod(max(size, 1) for size in sizes) if name in MULTIPLY else 0)


def _size(value: Any) -> int:
    """Characters of a value when it is printed, at least. Stops beyond the limit: lists can hold each other often."""
    if type(value) is str:
        return len(value)
    size, rest = 0, [value]
    while rest and size <= LIMIT:
        value = rest.pop()
        if isinstance(value, str | bytes):
            size += len(value)
        elif isinstance(value, int):
            size += value.bit_length() // 8
        elif isinstance(value, list | tuple | set | Mapping):
            size += ITEM * len(value)
            rest += [*value, *value.values()] if isinstance(value, Mapping) else value
    return size


def _printable(value: Any) -> Any:
    """A value that is about to become text. Raises SecurityError if the text is too long."""
    _spend(_size(value))
    return value


def _paid(value: Any) -> Any:
    """A value that was built, of which only its own length counts."""
    _spend(len(value) * (1 if isinstance(value, str) else ITEM) if isinstance(value, str | list | dict) else 0)
    return value


def _spend(characters: int) -> None:
    _spent.characters += characters
    _require(_spent.characters)


def _require(characters: float) -> None:
    if characters > LIMIT:
        raise SecurityError(f"it would build more than {LIMIT >> 20} million characters")


def _times(left: Any, right: Any) -> int:
    if isinstance(left, int) and isinstance(right, int):
        return _size(left) + _size(right)
    count, repeated = (left, right) if isinstance(left, int) else (right, left)
    return _size(repeated) * count if isinstance(count, int) and count > 0 else 0


def _power(left: Any, right: Any) -> int:
    return left.bit_length() * right if isinstance(left, int) and isinstance(right, int) and right > 0 else 0


def _remainder(left: Any, right: Any) -> int:
    if not isinstance(left, str):
        return 0
    _check("format", [left, right])
    return _size(left) + _size(right)


def _sum(left: Any, right: Any) -> int:
    return 0 if isinstance(left, int | float) else _size(left) + _size(right)


_RESULTS: Mapping[str, Callable[[Any, Any], int]] = {"+": _sum, "*": _times, "**": _power, "%": _remainder}
"""How many characters an operator builds at most."""
chat_template_utils.ImmutableSandboxedEnvironment = BoundedEnvironment  # compiles every template of transformers
