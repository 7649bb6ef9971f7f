"""The field's notation for weighted words: `(a:1.3)`, `(a)` = 1.1, `[a]` = 1/1.1, nested, `\\(` literal."""

import re
from dataclasses import dataclass

_ROUND = 1.1
_SQUARE = 1 / 1.1
_TOKEN = re.compile(r"\\[()\[\]\\]|\\|[(\[]|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|[)\]]|[^\\()\[\]:]+|:")


@dataclass
class _Fragment:
    text: str
    factor: float = 1.0


def parse_weights(text: str) -> list[tuple[str, float]]:
    """Fragments of a caption with their factors; neighbours of equal factor are joined.

    Brackets that are never closed act to the end; a closing one without an opening is text.
    """
    fragments: list[_Fragment] = []
    round_starts: list[int] = []
    square_starts: list[int] = []
    for match in _TOKEN.finditer(text):
        token, number = match.group(0), match.group(1)
        if token.startswith("\\"):
            fragments.append(_Fragment(token[1:]))
        elif token == "(":
            round_starts.append(len(fragments))
        elif token == "[":
            square_starts.append(len(fragments))
        elif number is not None and round_starts:
            _multiply(fragments, round_starts.pop(), float(number))
        elif token == ")" and round_starts:
            _multiply(fragments, round_starts.pop(), _ROUND)
        elif token == "]" and square_starts:
            _multiply(fragments, square_starts.pop(), _SQUARE)
        else:
            fragments.append(_Fragment(token))
    for start in round_starts:
        _multiply(fragments, start, _ROUND)
    for start in square_starts:
        _multiply(fragments, start, _SQUARE)
    return _joined(fragments)


def _multiply(fragments: list[_Fragment], start: int, factor: float) -> None:
    for fragment in fragments[start:]:
        fragment.factor *= factor


def _joined(fragments: list[_Fragment]) -> list[tuple[str, float]]:
    result: list[tuple[str, float]] = []
    for part in fragments:
        if result and result[-1][1] == part.factor:
            result[-1] = (result[-1][0] + part.text, part.factor)
        else:
            result.append((part.text, part.factor))
    return result or [("", 1.0)]
