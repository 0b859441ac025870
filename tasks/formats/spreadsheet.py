"""Reads CSV and TSV files as spreadsheets, pandas and databases write them.

Counting delimiters in the header fails for names with commas, and csv.Sniffer fails for texts of several lines. So each
delimiter is tried with the parser that reads the file: the right one gives rows as many fields as the header has names.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import NamedTuple

from oresight.tasks.formats.sample import Record
from oresight.tasks.formats.values import Stream

KINDS = (".csv", ".tsv")
DELIMITERS = ",;\t|"
HEAD_CHARACTERS = 1 << 18
SAMPLE_ROWS = 200
EXCEL_HINT = re.compile(r'"?sep=(.)"?[\r\n]*', re.I)
"""A first line that tells Excel the delimiter."""


class Dialect(NamedTuple):
    """How fields are separated."""

    delimiter: str
    skipinitialspace: bool
    """Whether blanks after a delimiter are no part of a field. Then a quote may follow them."""


def csv_rows(stream: Stream, kind: str, longest: int) -> Iterator[tuple[int, Record | None, str, str]]:
    """Per row: the line on which it begins, its record, the beginning of that line, and why there is no record, or ''.

    Names lose surrounding blanks. A column without a name is called `Unnamed: N`, as in pandas, and is left out of rows
    where it is empty. Rows of empty fields are skipped. longest: characters of the longest field.
    """
    csv.field_size_limit(longest)
    lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    head = lines.read(HEAD_CHARACTERS) + lines.readline(longest)
    first = next(_lines(head), "")
    hint = EXCEL_HINT.fullmatch(first)
    head = head[len(first) :] if hint else head
    dialect = _dialect(head, kind, hint[1] if hint else None)
    header: list[str] = []
    for number, fields, beginning, reason in _fields(
        chain(_lines(head), iter(lambda: lines.readline(longest), "")), dialect, lines_before=bool(hint)
    ):
        if reason:
            yield number, None, beginning, reason
        elif not header:
            header = [field.strip() or f"Unnamed: {i}" for i, field in enumerate(fields)]
            unnamed = [name for name, field in zip(header, fields, strict=True) if not field.strip()]
            if reason := _unusable_names(header):
                yield number, None, beginning, reason
                return
        elif len(fields) < len(header) or any(fields[len(header) :]):
            yield number, None, beginning, f"has {len(fields)} fields where the header has {len(header)}"
        else:
            record = dict(zip(header, fields, strict=False))  # empty fields may follow the last column
            for name in unnamed:
                if not record[name]:
                    del record[name]
            yield number, record, beginning, ""


def _fields(lines: Iterator[str], dialect: Dialect, *, lines_before: int) -> Iterator[tuple[int, list[str], str, str]]:
    """Per row that is not empty: its first line's number, its fields, that line's beginning, and why it is no row."""
    beginning, characters = "", 0

    def remember(line: str) -> str:
        nonlocal beginning, characters
        beginning = beginning or line[:1000]
        characters += len(line)
        if characters > csv.field_size_limit():
            raise csv.Error(f"the row is longer than {csv.field_size_limit():,} characters")
        return line

    reader = csv.reader(map(remember, lines), strict=True, **dialect._asdict())
    while True:
        number, beginning, characters = lines_before + reader.line_num + 1, "", 0
        try:
            fields = next(reader, None)
        except csv.Error as error:
            last = lines_before + reader.line_num
            span = f" (lines {number} to {last})" if last > number else ""
            yield number, [], beginning, f"is not CSV{span}: {error}"
            continue
        if fields is None:
            return
        if any(fields):
            yield number, fields, beginning, ""


def _unusable_names(names: list[str]) -> str:
    """Why the names of a header cannot be used, or ''."""
    if any("\udc80" <= char <= "\udcff" for name in names for char in name):
        return "the header is not UTF-8; save the file as UTF-8"
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        return f"the header names the column {repeated[0]!r} twice"
    return ""


def _dialect(head: str, kind: str, delimiter: str | None) -> Dialect:
    """The dialect that reads most of the first rows. delimiter: the only one to try, if the file tells it."""
    first = next(_lines(head), "")
    delimiters = delimiter or sorted(DELIMITERS, key=lambda char: (kind != ".tsv" or char != "\t", -first.count(char)))
    candidates = [Dialect(char, skip) for skip in (False, True) for char in delimiters]
    return max(candidates, key=lambda dialect: _fitness(head, dialect))


def _fitness(head: str, dialect: Dialect) -> tuple[bool, float, bool]:
    """How well a dialect fits, for `max`: whether there are several columns, the share of the first rows with as many
    fields as the header, and whether the names begin without blanks.
    """
    rows = [fields for _, fields, _, _ in islice(_fields(_lines(head), dialect, lines_before=0), SAMPLE_ROWS)]
    if not rows:
        return False, 0.0, False
    if len(head) >= HEAD_CHARACTERS and 1 < len(rows) < SAMPLE_ROWS:
        del rows[-1]  # it may be cut off
    names, *rows = rows
    fitting = sum(len(fields) >= len(names) and not any(fields[len(names) :]) for fields in rows)
    return len(names) > 1, fitting / max(len(rows), 1), not any(name.startswith(" ") for name in names[1:])


def _lines(text: str) -> Iterator[str]:
    """The lines of a text with their ends, as `csv` needs them."""
    return iter(io.StringIO(text, newline=""))
