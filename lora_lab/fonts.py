"""Fonts with Chinese, Japanese and Korean letters: those of this machine, for plots and contact sheets."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PREFERRED = (
    "Noto Sans CJK JP", "Noto Sans JP", "Hiragino Sans", "Yu Gothic", "Meiryo", "IPAexGothic", "IPAGothic",
    "Source Han Sans", "Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", "WenQuanYi Micro Hei",
    "Malgun Gothic", "Apple SD Gothic Neo", "NanumGothic", "Arial Unicode MS", "Droid Sans Fallback",
)  # fmt: skip
"""Tried first, in this order."""

SAMPLE = "日"
"""A letter that fonts of all three have."""

FIRST = 0x2E80
"""Where their letters begin in Unicode; what Latin fonts have lies below."""

STAND_IN = "Last Resort"
"""A font of boxes in place of letters, which matplotlib brings."""

MISSING = (
    "note: no font here has letters such as {letters}, which are drawn as boxes: install one, such as "
    "fonts-noto-cjk on Debian and Ubuntu, google-noto-sans-cjk-fonts on Fedora"
)


@cache
def found() -> tuple[str, Path] | None:
    """The name and the file of a font that has these letters; None where none is installed."""
    from matplotlib import font_manager

    known = {item.name: Path(item.fname) for item in font_manager.fontManager.ttflist}
    for name in PREFERRED:
        if name in known:
            return name, known[name]
    others = sorted((name, file) for name, file in known.items() if not name.startswith(STAND_IN))
    return next(((name, file) for name, file in others if _has(file)), None)


def _has(file: Path) -> bool:
    from matplotlib.ft2font import FT2Font

    try:
        return ord(SAMPLE) in FT2Font(str(file)).get_charmap()
    except (OSError, RuntimeError):
        return False


def needed(texts: Iterable[str]) -> str:
    """The letters of texts that need such a font, each once."""
    return "".join(dict.fromkeys(letter for text in texts for letter in text if ord(letter) >= FIRST))


def file_for(texts: Iterable[str]) -> Path | None:
    """The font that texts need; None where they need none, or there is none, which is said once."""
    letters = needed(texts)
    if not letters:
        return None
    if (font := found()) is None:
        _say(letters)
        return None
    return font[1]


_said: set[str] = set()


def _say(letters: str) -> None:
    if not _said:
        _said.add(letters)
        sys.stderr.write(MISSING.format(letters=letters[:3]) + "\n")
