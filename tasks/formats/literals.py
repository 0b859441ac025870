"""Lists and objects in a text, as JSON or as Python, numpy and pandas write them into the cells of a CSV file.

numpy writes no commas between the items of an array: ['a cat' 'a dog']. Python would join such texts, so the commas are
put in before it reads them. Only literals are read, and nothing is run.
"""

import ast
import io
import tokenize
from collections import Counter
from typing import Any

import orjson

from oresight.tasks.formats.repeats import RepeatedKey, parse

LONGEST = 1 << 20
"""Characters of a text that is read as Python; a parser's tree takes a hundred times as much memory."""
ITEM_ENDS, ITEM_BEGINS = ("]", "}", ")"), ("[", "{", "(", "-")
VALUES = (tokenize.STRING, tokenize.NUMBER, tokenize.NAME)
LAYOUT = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def structure_in(text: str) -> list[Any] | dict[str, Any] | None:
    """The list or object that a text holds; None if it holds none. Raises RepeatedKey if it has a key twice."""
    text = text.strip()
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return None
    try:
        found = parse(text)
    except orjson.JSONDecodeError:
        try:
            tree = ast.parse(_with_commas(text), mode="eval")
            found = orjson.loads(orjson.dumps(ast.literal_eval(tree)))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError):
            return None
        _require_distinct_keys(tree)
    return found if isinstance(found, list | dict) else None


def _require_distinct_keys(tree: ast.Expression) -> None:
    """Raises RepeatedKey if a dict of a tree of literals has a key twice."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            counts = Counter(str(key.value) for key in node.keys if isinstance(key, ast.Constant))
            if repeated := [key for key, count in counts.items() if count > 1]:
                raise RepeatedKey(repeated[0])


def _with_commas(text: str) -> str:
    """The text with a comma between neighbouring items, and arrays as lists. Raises ValueError if it is too long."""
    if len(text) > LONGEST:
        raise ValueError
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in LAYOUT]
    words, depths = list[str](), list[bool]()  # of each open round bracket: whether it is an array's
    position = 0
    while position < len(tokens):
        word = tokens[position].string
        is_array = word == "array" and [token.string for token in tokens[position + 1 : position + 2]] == ["("]
        if words and _ends_item(words[-1]) and (is_array or _begins_item(tokens[position])):
            words.append(",")
        if is_array:
            depths.append(True)
            position += 2
            continue
        if word == "(":
            depths.append(False)
        if depths and depths[-1] and [token.string for token in tokens[position : position + 3]] == [",", "dtype", "="]:
            position += 4  # , dtype = object
            continue
        if not (word == ")" and depths and depths.pop()):
            words.append(word)
        position += 1
    return " ".join(words)


def _ends_item(word: str) -> bool:
    return word in ITEM_ENDS or word[-1:] in "'\"" or word[:1].isalnum()


def _begins_item(token: tokenize.TokenInfo) -> bool:
    return token.type in VALUES or token.string in ITEM_BEGINS
