"""Texts of rows where people read them: nothing hidden in them, short ids, no formulas for spreadsheets."""

import re

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that command a terminal, reorder a line or cannot be seen; line feed and tab are none of them."""
SHORT_ID = 12
PAGE_TEXT = 200_000
"""Characters of a text that a page shows."""
FORMULA = r"^[=+\-@\t\r\n\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]"
"""The beginning of a text that a spreadsheet would take for a formula, as a regular expression of RE2. The last four
are wide forms of = + - @."""
_FORMULA = re.compile(re.sub(r"\\x\{(\w+)\}", r"\\u\1", FORMULA))


def visible(text: str) -> str:
    """The text with its hidden characters written as escapes, such as \\x1b, so that they do nothing."""
    return HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def beginning(text: str) -> str:
    """A text as a page shows it. One that is as long as a book is cut, because a browser would stop at it."""
    if len(text) <= PAGE_TEXT:
        return text
    return f"{text[:PAGE_TEXT]} ... ({len(text) - PAGE_TEXT:,} more characters; oresight explain --full shows them)"


def short_id(sample_id: str) -> str:
    """The beginning of a sample_id that commands and pages show. Commands take it, if no other row begins so."""
    return sample_id[:SHORT_ID]


def no_formula(text: str) -> str:
    """A text that a spreadsheet would take for a formula gets an apostrophe in front, which the spreadsheet hides."""
    return f"'{text}" if _FORMULA.match(text) else text
