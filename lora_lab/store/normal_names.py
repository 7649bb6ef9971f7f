"""One normal form for names of raters and one for tags of checkpoints, at every door."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn")
"""Unicode categories of what a name of a person does not hold: zero-width signs, controls, surrogates."""


def rater_key(name: str) -> str:
    """What two spellings of one person's name have in common: case, composition and blanks do not count."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def rater_name(name: str, known: Iterable[str] = ()) -> str:
    """A name as it is kept and shown: as it was spelt first, else as it is, with single blanks.

    Args:
        name: As somebody wrote it.
        known: The spellings that are known.

    Raises:
        ValueError: It is empty, or holds what nobody can see.
    """
    plain = " ".join(unicodedata.normalize("NFC", name).split())
    hidden = [sign for sign in plain if unicodedata.category(sign) in INVISIBLE]
    if hidden:
        raise ValueError(f"a name holds a sign that cannot be seen (U+{ord(hidden[0]):04X}): write it again")
    if not plain:
        raise ValueError("a name is empty")
    return first_spellings(known).get(rater_key(plain), plain)


def first_spellings(names: Iterable[str]) -> Mapping[str, str]:
    """The first spelling of each name, by `rater_key`."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(rater_key(name), name)
    return found


def find_tag(asked: str, tags: Iterable[str]) -> str | None:
    """The tag that is meant: 20, 020 and 20.0 (as tables write whole numbers) are 000020, step200 is
    step00000200; None where none fits."""
    known = list(tags)
    if asked in known:
        return asked
    wanted = _tag_key(asked)
    return next((tag for tag in known if wanted and _tag_key(tag) == wanted), None)


def _tag_key(tag: str) -> tuple[str, int] | None:
    plain = unicodedata.normalize("NFKC", tag).strip().lower()
    found = re.fullmatch(r"(?:(step)[\s_-]*)?0*(\d{1,12})(?:\.0*)?", plain, re.ASCII)
    return (found[1] or "", int(found[2])) if found else None
