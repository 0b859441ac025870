"""How commands print: texts of rows never reach a terminal as commands to it, and JSON is one document."""

import io
import json
import logging
import math
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from oresight.tasks.pages.texts import HIDDEN, visible
from oresight.tasks.runs.progress import CONSOLE

CLIPPED = 240
"""Characters of a text that are shown where not the complete text was asked for."""
PIPE_WIDTH = 100
"""Columns of a line where there is no terminal."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document; log lines go to standard error.")]
Full = Annotated[bool, typer.Option("--full", help="Print complete texts.")]


def use_streams() -> None:
    """Let no character end a command: one that the encoding of a stream lacks is printed as its code, as in \\u2713."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def with_config(sentence: str) -> str:
    """A sentence whose commands name the configuration that this process was started with, not CONFIG.yaml."""
    files = (text for text in sys.argv[1:] if text.endswith((".yaml", ".yml")) and Path(text).is_file())
    config = next(files, None)
    return sentence.replace("CONFIG.yaml", shlex.quote(config)) if config else sentence


class LogLines(logging.Handler):
    """Prints log messages on standard error, above the progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message as one line."""
        line = visible(with_config(record.getMessage()))
        if CONSOLE.is_terminal:
            CONSOLE.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
        else:
            sys.stderr.write(f"{line}\n")


@contextmanager
def warnings_logged() -> Iterator[list[str]]:
    """Yields a list of the warnings that are logged inside this context."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("oresight").addHandler(handler)
    try:
        yield messages
    finally:
        logging.getLogger("oresight").removeHandler(handler)


def print_data(pieces: Iterable[str]) -> None:
    """Write CSV or JSON to standard output, in UTF-8 whatever the locale is; a terminal gets it made visible."""
    is_terminal = sys.stdout.isatty()
    if isinstance(sys.stdout, io.TextIOWrapper) and not is_terminal:
        sys.stdout.reconfigure(encoding="utf-8")
    for piece in pieces:
        sys.stdout.write(visible(piece) if is_terminal else piece)
    sys.stdout.flush()


def echo(text: str) -> None:
    """Print lines that may quote rows."""
    typer.echo(visible(text))


def shortened(text: str | None, full: bool = False, most: int = CLIPPED) -> str:
    """A text for people: white space is one blank, and what is over `most` characters is left out unless `full`."""
    text = text or ""
    if full:
        return text
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    more = f" ({len(line) - most:,} more characters; --full shows them)" if most == CLIPPED else ""
    return f"{line[:most].rstrip()} ...{more}"


def rounded(number: float | None) -> str:
    """A number with three significant digits; a dash where there is none."""
    if number is None or not math.isfinite(number):
        return "-"
    return f"{float(f'{number:.3g}'):,.10g}"


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print labels, each with its text beside it, wrapped to the width of the terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in facts:
        table.add_row(visible(label), visible(text))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
    console = Console(width=width, markup=False, highlight=False, emoji=False, color_system=None, file=io.StringIO())
    with console.capture() as capture:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


@contextmanager
def json_only(is_on: bool) -> Iterator[None]:
    """Send what libraries print to standard error, where standard output is for one JSON document."""
    with redirect_stdout(sys.stderr) if is_on else nullcontext():
        yield


def print_json(document: Any) -> None:
    """Print one JSON document: numbers as numbers, timestamps in ISO 8601, and null for what is no finite number."""
    print_data([json_text(document), "\n"])


def json_text(document: Any) -> str:
    """The JSON document of `print_json`, or a part of one. Characters that cannot be seen are written as escapes."""
    text = json.dumps(_plain(document), ensure_ascii=False)
    return HIDDEN.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(_plain(key)): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(part) for part in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)
