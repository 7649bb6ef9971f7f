"""How all plots look: colours, marks and lines that survive greyscale and colour blindness, and saving."""

from __future__ import annotations

import logging
import re
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lora_lab import fonts
from lora_lab.counts import filled
from lora_lab.files import replacing
from lora_lab.plots.words import WORDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette (Color Universal Design, 2008), less yellow, which paper swallows, and black."""
DARK_COLOURS = ("#56B4E9", "#E69F00", "#2FC79A", "#E4A3C7", "#F0E442", "#8FB8FF")
MARKS = ("o", "s", "^", "D", "v", "P")
LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.4)),
    (0, (6, 2, 1, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (9, 3)),
)
HATCHES = ("////", "xxxx", "", "++++", "\\\\\\\\", "----")
"""In the order of the phases of a run; the longest of them, training, is plain."""
FORMATS = ("png", "svg")
WIDTH = 7.2
"""Inches: the width of a page's text."""

FONT = "DejaVu Sans"
"""What matplotlib brings."""


@dataclass(frozen=True)
class Look:
    """How to draw: on light or dark paper, in which language, with or without a title.

    Attributes:
        outlines: Letters in SVG as shapes, which look alike everywhere; else as text, which is smaller, can
            be searched, and takes the reader's fonts.
    """

    language: str = "en"
    dark: bool = False
    titled: bool = True
    outlines: bool = True

    @property
    def ink(self) -> str:
        """Text and main lines."""
        return "#e8e8ea" if self.dark else "#1b1b1f"

    @property
    def muted(self) -> str:
        """What stands back: other runs, notes, frames."""
        return "#9a9aa2" if self.dark else "#6b6b73"

    @property
    def faint(self) -> str:
        """Grids and bands."""
        return "#3a3a42" if self.dark else "#dcdce1"

    @property
    def paper(self) -> str:
        """The ground."""
        return "#17171a" if self.dark else "#ffffff"

    @property
    def bad(self) -> str:
        """Failed and diverged runs."""
        return "#ff6b5e" if self.dark else "#c0140f"

    def colour(self, number: int) -> str:
        """The colour of the n-th series; they repeat after six, as do the marks."""
        palette = DARK_COLOURS if self.dark else COLOURS
        return palette[number % len(palette)]

    def criterion(self, name: str) -> str:
        """What runs are judged by, in a title: the score, or a metric that stands for it."""
        return self.say("score") if name == "score" else self.say("metric", name=name)

    def say(self, key: str, **values: Any) -> str:
        """A text of `WORDS` in this language."""
        return filled(WORDS[self.language][key], **values)


def _families() -> list[str]:
    """Fonts to be tried in this order, letter by letter."""
    found = fonts.found()
    return [FONT, found[0]] if found else [FONT]


@contextmanager
def drawing(look: Look) -> Iterator[None]:
    """Settings of matplotlib under which plots are made and saved; outside they are as before."""
    import matplotlib

    # Without it every glyph that a font lacks is a line on the terminal; `fonts` says it once.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with matplotlib.rc_context(_settings(look)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        yield


def _settings(look: Look) -> Any:
    return {
        "font.family": _families(), "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
        "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlepad": 8,
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
        "axes.edgecolor": look.muted, "axes.labelcolor": look.ink, "text.color": look.ink,
        "xtick.color": look.muted, "ytick.color": look.muted, "xtick.labelcolor": look.ink,
        "ytick.labelcolor": look.ink, "axes.facecolor": look.paper, "figure.facecolor": look.paper,
        "savefig.facecolor": look.paper, "grid.color": look.faint, "grid.linewidth": 0.6,
        "legend.frameon": False, "legend.fontsize": 8, "hatch.linewidth": 0.6, "hatch.color": look.paper,
        "text.parse_math": False, "lines.linewidth": 1.5, "lines.markersize": 5.5, "svg.hashsalt": "lora-lab",
        "svg.fonttype": "path" if look.outlines else "none",
        "savefig.dpi": 150, "figure.dpi": 100,
    }  # fmt: skip


def texts(figure: Figure) -> list[str]:
    """All that is written in a figure."""
    from matplotlib.text import Text

    return [item.get_text() for item in figure.findobj(Text)]


def figure(width: float = WIDTH, height: float = 4.0) -> Figure:
    """An empty figure of a size in inches, which belongs to nobody else and needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def save(made: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG after the file's extension; the same data give the same bytes."""
    kind = path.suffix.lower().removeprefix(".")
    metadata: dict[str, Any] = (
        {"Date": None, "Creator": "lora-lab"} if kind == "svg" else {"Software": "lora-lab"}
    )
    with replacing(path) as temporary:
        made.savefig(temporary, format=kind, metadata=metadata)


def darkened(svg: str) -> str:
    """An SVG image drawn for light paper, for dark paper: each colour of the look by its counterpart."""
    light, dark = Look(), Look(dark=True)
    names = ("ink", "muted", "faint", "paper", "bad")
    pairs = {getattr(light, name): getattr(dark, name) for name in names}
    pairs |= dict(zip((item.lower() for item in COLOURS), DARK_COLOURS, strict=True))
    return re.sub("|".join(pairs), lambda found: pairs[found[0]], svg)


def grid(axes: Axes, which: Literal["x", "y", "both"] = "y") -> None:
    """Faint lines behind the data."""
    axes.grid(True, axis=which)
    axes.set_axisbelow(True)


def title(made: Figure, look: Look, text: str) -> None:
    """What is shown and of how many, wrapped, where the look has titles at all."""
    if look.titled:
        lines = textwrap.fill(
            text, round(12.5 * made.get_figwidth() * (0.56 if look.language == "ja" else 1))
        )
        made.suptitle(lines, x=0.008, ha="left", fontsize=10, fontweight="bold")


def logarithmic(axes: Axes, which: str) -> None:
    """A logarithmic axis with its numbers written out: 0.05, 0.1, 0.2 and not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def shortened(text: str, most: int = 30) -> str:
    """A name that fits: the middle of a long one is left out, since beginnings and ends tell names apart."""
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return f"{text[:head].rstrip()}…{text[-(most - 1 - head) :].lstrip()}"
