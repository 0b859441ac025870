"""Wrong equations in a text: "17*18=307", "6 x 7 is 41", "<<48-27=20>>".

Only equations between plain numbers are judged, and only those that are wrong in every reading: results may be rounded
or cut, a percent sign may stand on one side only, and `2*3=6+1=7` may be a chain of steps. Whatever has variables,
other bases, remainders or several units is left alone, so that few right answers are flagged.

The text is cut into tokens and each token becomes one letter. One short pattern without nested choices then finds the
equations, in time linear in the length of the text.
"""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

TOKEN = re.compile(
    r"(?P<n>\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d+)?|(?<![\w.])\.\d+)"
    r"|(?P<p>\*\*|\^)|(?P<s>[-+*/\u00d7\u00f7\u00b7\u2212\u2013]|\\(?:times|cdot|div)\b)"
    r"|(?P<c>[=!<>:]=+|=[=<>~]+|[\u2248\u2260\u2261])|(?P<e>=)"
    r"|(?P<w>[^\W\d_]+)|(?P<m>%)|(?P<d>[$€£])|(?P<o>[(\[])|(?P<q>[)\]])|(?P<b>\s*\n\s*)|(?P<x>\s+)|(?P<z>.)",
    re.DOTALL,
)
OPERAND = r"o{0,3}d?nm?w?q{0,3}"
EQUATION = re.compile(rf"(?P<left>{OPERAND}(?:[sp]{OPERAND}){{1,12}})e(?P<right>s?{OPERAND}(?:[sp]{OPERAND}){{0,12}})")
WORDS = {"x": "*", "X": "*", "times": "*", "of": "*", "plus": "+", "minus": "-"}
"""Words that are signs between two numbers."""
SIGNS = WORDS | {"\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-", "\u2013": "-", "^": "**"}
SIGNS |= {r"\times": "*", r"\cdot": "*", r"\div": "/"}
"""Signs as Python writes them."""
EQUALS = ("is", "equals")
BINDS = frozenset("([!{_\u221a\u00b2\u00b3")
"""What belongs to the number before it where no space is between."""
PUNCTUATION = frozenset("<:;,.\"'\u201c\u2018{_\\$")
"""What may stand directly before an equation."""
NOT_DECIMAL = re.compile(r"\b(?:base|binary|octal|hex|hexadecimal|mod|modulo|remainder)\b", re.IGNORECASE)
DENIED = re.compile(r"\s*\?|.{0,40}\b(?:incorrect|wrong|false|not (?:true|correct|right|equal))\b", re.IGNORECASE)
SCALES = re.compile(r"hundred|thousand|million|billion|trillion|dozen|k|halves|thirds|quarters", re.IGNORECASE)
MOST = 10**12
"""Numbers and exponents are bounded: larger ones are not judged."""
SLACK = Fraction(1, 200)
"""Relative difference that rounded steps may add up to."""
OPERATIONS: dict[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Token(NamedTuple):
    """A piece of text and the letter of its kind in TOKEN, or v for a variable or whatever else hides a number."""

    letter: str
    text: str
    """The piece; a sign as Python writes it."""
    start: int
    end: int
    spaced: bool
    """Whether white space stands before it."""


def wrong_equation(text: str) -> str | None:
    """The first equation in a text that is wrong, and what is right: "17*18=307 (306)". None if there is none."""
    if NOT_DECIMAL.search(text):
        return None
    tokens = _tokens(text)
    letters = "".join(token.letter for token in tokens)
    begin = 0
    while match := EQUATION.search(letters, begin):
        begin, (start, end) = match.start("right"), match.span()  # the right side may begin the next equation
        sides = tokens[start : match.end("left")], tokens[begin:end]
        left, right = _without_outer_brackets(*sides)
        before, after = tokens[max(start - 2, 0) : start], tokens[end : end + 2]
        is_negative = bool(before) and before[-1].text == "-"
        if tokens[begin - 1].text != "=" and _is_range(left):
            continue
        if not _stands_alone(before, left, after) or DENIED.match(text, right[-1].end):
            continue
        if (value := _refuted(left, right, is_negative)) is not None:
            found = text[left[0].start : right[-1].end]
            return f"{' '.join(found.split())} ({_short(value)})"
    return None


def _tokens(text: str) -> list[Token]:
    tokens, spaced = list[Token](), False
    for match in TOKEN.finditer(text):
        letter, piece = str(match.lastgroup), match.group()
        if letter == "x":
            spaced = True
            continue
        last = tokens[-1] if tokens else None
        touches = last is not None and not spaced
        if letter == "n" and ((last and touches and last.letter in "nwv") or re.match(r"0\d", piece)):
            letter = "v"  # a2, 1.2.3, 007
        elif letter == "w":
            letter = _letter_of_word(piece, tokens, text[match.end() : match.end() + 2])
        elif piece == ":" and touches and last and last.letter == "n" and text[match.end() : match.end() + 1].isdigit():
            letter = "v"  # 10:30
        piece = SIGNS.get(piece, piece) if letter in "sp" else piece
        tokens.append(Token(letter, piece, *match.span(), spaced))
        spaced = False
    return tokens


def _letter_of_word(word: str, before: list[Token], ahead: str) -> str:
    """s between two numbers, e for a verb that says equal, v for one letter or a scale, w for what may be a unit."""
    after_number = bool(before) and before[-1].letter in "nmqw"
    before_number = ahead.strip()[:1].isdigit() or ahead.strip()[:1] in ("$", "€", "£", "(")
    if word == "of" and not (after_number and (before[-1].letter == "m" or [t.text for t in before[-2:-1]] == ["/"])):
        return "w"
    if word in WORDS and after_number and before_number:
        return "s"
    if word in EQUALS and after_number:
        return "e"
    return "v" if len(word) == 1 or SCALES.fullmatch(word) else "w"


def _without_outer_brackets(left: list[Token], right: list[Token]) -> tuple[list[Token], list[Token]]:
    """Both sides without the brackets that surround the equation: (5 + 3 = 8)."""
    opened, closed = ([token.letter for token in side] for side in (left, right))
    too_many = min(opened.count("o") - opened.count("q"), closed.count("q") - closed.count("o"))
    while too_many > 0 and left[0].letter == "o" and right[-1].letter == "q":
        left, right, too_many = left[1:], right[:-1], too_many - 1
    while left[0].letter == "o" and "q" not in "".join(token.letter for token in left):
        left = left[1:]
    return left, right


def _stands_alone(before: list[Token], left: list[Token], after: list[Token]) -> bool:
    """Whether nothing beside the equation belongs to it, such as a variable, a root or a further sign."""
    if after and (after[0].letter in "svnq" or (not after[0].spaced and after[0].text in BINDS)):
        return False
    if after and after[0].letter == "p" and [token.letter for token in after[1:]] == ["n"]:
        return False
    if not before:
        return True
    last, begins = before[-1], len(before) == 1 or before[0].letter in "bez"
    if last.text == ":" and before[0].letter == "v" and not (last.spaced or left[0].spaced):
        return False  # Q:1/4=68, a field of a music file
    if last.letter in "sp":  # a minus sign, the dash of a list, or the beginning of bold text
        return last.text in ("-", "*", "**") and (begins or (last.text == "**" and last.spaced))
    if last.letter == "w":
        if last.text == "and" and before[0].letter == "n":
            return False  # 1 and 1/4
        return left[0].spaced and last.text.lower() not in WORDS and not (last.text[-1] == "s" and _is_range(left))
    return last.letter not in "nvqmdc" and (last.letter in "beo" or left[0].spaced or last.text in PUNCTUATION)


def _is_range(left: list[Token]) -> bool:
    """Whether it may be no sum at all: 2019-2020, 9/11."""
    return any(token.text in "-/" and not token.spaced for token in left)


def _refuted(left: list[Token], right: list[Token], is_negative: bool) -> Fraction | None:
    """The value of the left side if no reading makes the equation true; None otherwise."""
    signs = [token.text for token in left if token.letter in "sp"]
    percent = any(token.letter == "m" for token in (*left, *right))
    units = {token.text.lower().rstrip("s") for token in (*left, *right) if token.letter in "wd"}
    if len(units) > 1 or ("/", "/") in pairwise(signs) or (percent and {*signs} & {"+", "-"}):
        return None  # 60 minutes is 1 hour, 14 / 1 / 4, 200 + 10%
    first = right[: 1 + next((i for i, token in enumerate(right) if token.letter == "n"), 0)]
    divisors = (1, 100) if percent else (1,)
    times = (1, 100) if percent or "/" in signs else (1, 1000) if units else (1,)
    for value in (_value(left, n, sign) for n in divisors for sign in ((1, -1) if is_negative else (1,))):
        for given in (_value(side, n) for n in divisors for side in (right, first)):
            if value is None or given is None or any(_agree(value * n, given, left, right) for n in times):
                return None
    return _value(left, divisors[-1])


def _agree(value: Fraction, given: Fraction, left: list[Token], side: list[Token]) -> bool:
    """Whether a result is right, rounded to the digits that are given, or the end of steps that were rounded."""
    numbers, given_as = ([token.text for token in part if token.letter == "n"] for part in (left, side))
    unit = Fraction(1, 10 ** len(given_as[-1].partition(".")[2]))
    if (value / unit).denominator == 1 and not any("." in number for number in numbers):
        return value == given
    is_rounded = len(given_as) == 1 and abs(value - given) < unit
    return is_rounded or abs(value - given) <= SLACK * abs(value)


def _value(tokens: list[Token], percent: int, sign: int = 1) -> Fraction | None:
    """The value of one side; None where it has none. percent: what a number with a percent sign is divided by."""
    text = "-" if sign < 0 else ""
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.letter == "n":
            number = token.text.replace(",", "")
            text += f"({number}/{percent})" if following and following.letter == "m" else number
        elif token.letter in "oq":
            text += "(" if token.letter == "o" else ")"
        elif token.letter in "sp":
            text += token.text
    try:
        return _evaluate(ast.parse(text, mode="eval").body, text)
    except (SyntaxError, ZeroDivisionError, ValueError):
        return None


def _evaluate(node: ast.expr, text: str) -> Fraction:
    """The exact value of a parsed sum, product or power of numbers. Raises ValueError for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        value = Fraction(str(ast.get_source_segment(text, node)))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = -_evaluate(node.operand, text)
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        value = OPERATIONS[type(node.op)](_evaluate(node.left, text), _evaluate(node.right, text))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        base, power = _evaluate(node.left, text), _evaluate(node.right, text)
        if power.denominator != 1 or not 0 <= power <= 30 or abs(base) > 10**6:
            raise ValueError(text)
        value = base ** int(power)
    else:
        raise ValueError(text)
    if abs(value) > MOST or value.denominator > MOST:
        raise ValueError(text)
    return value


def _short(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):.6g}"
