"""Marks of other programs in prompts and captions: weights, flags, networks, choices. Here they are words."""

import re
from functools import lru_cache

from lora_lab.models.prompt_weights import parse_weights

_NETWORK = re.compile(r"<[a-z]{2,12}:[^<>]*>|\bembedding:[\w.-]+", re.IGNORECASE)
_FLAG = re.compile(r"(?:(?<=\s)|^)--(?:n(?:eg)?(?:\s+.*?)?(?=\s--|$)|[a-z]{1,3}(?:\s+[^\s-][^\s]*)?(?=\s|$))")
_WORD = re.compile(r"\b(?:BREAK|AND|ADDCOMM|ADDBASE|ADDCOL|ADDROW)\b")
_FILE_OF_CHOICES = re.compile(r"__[\w/*-]*\w__")
_CHOICE = re.compile(r"\{[^{}]*\}")
_ESCAPED = re.compile(r"\\[()\[\]]")
_SIGNED = re.compile(r"[^\s,()+-]+(?:\+{2,}|-{2,})(?=[\s,)]|$)")
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_NUMBERED = re.compile(r"\([^()]*:\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*\)")


@lru_cache(maxsize=4096)  # the rows of a plan share their prompts
def marks(prompt: str) -> tuple[str, ...]:
    """What other programs would read in a prompt as more than words: `(a:1.3)`, `<lora:x:1>`, `--w 512`."""
    found: list[str] = []
    rest = prompt
    for pattern in (_NETWORK, _FLAG, _WORD, _CHOICE, _FILE_OF_CHOICES, _SIGNED, _ESCAPED):
        found += [match.group(0) for match in pattern.finditer(rest)]
        rest = pattern.sub(" ", rest)
    if any(factor != 1 for _, factor in parse_weights(rest)):
        found += _BRACKETS.findall(rest) or [rest.strip()]
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=1 << 16)  # the rows of a plan share their captions
def caption_marks(caption: str, weighted: bool, wildcard: bool) -> tuple[str, ...]:
    """The marks of a caption that act as nothing and cannot be meant as words.

    Brackets without a number and escaped ones stand in names of tags, and are no such marks.

    Args:
        weighted: Whether `(a:1.3)` is read as a weight (`dataset.weighted_captions`).
        wildcard: Whether one of `{a|b}` is drawn (`dataset.enable_wildcard`).
    """
    acting = [(_NUMBERED, weighted), (_CHOICE, wildcard)]
    patterns = [_NETWORK, _FLAG, _WORD, _FILE_OF_CHOICES, *(pattern for pattern, acts in acting if not acts)]
    return tuple(dict.fromkeys(match.group(0) for own in patterns for match in own.finditer(caption)))


def ways_out(found: list[str]) -> str:
    """The settings with which marks of captions act, or what to do without one."""
    ways = ["dataset.weighted_captions=true makes (a:1.3) a weight"] * any(map(_NUMBERED.fullmatch, found))
    ways += ["dataset.enable_wildcard=true draws one of {a|b}"] * any(map(_CHOICE.fullmatch, found))
    return "; ".join(ways) or "take them out"
