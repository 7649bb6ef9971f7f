"""The plots there are: one row each; and writing them as images and as data."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lora_lab import fonts
from lora_lab.config import nearest
from lora_lab.errors import ConfigError
from lora_lab.files import write_text
from lora_lab.plots import style
from lora_lab.plots.by_setting import by_setting, draw_setting
from lora_lab.plots.cost import costs, draw_costs
from lora_lab.plots.epochs import draw_epochs, epochs
from lora_lab.plots.interaction import draw_interaction, interaction, interactions
from lora_lab.plots.loss import draw_losses, losses
from lora_lab.plots.style import Look
from lora_lab.plots.subject import Subject
from lora_lab.plots.timings import draw_timings, timings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Data(Protocol):
    """What a plot shows, as rows with the same keys."""

    def rows(self) -> list[dict[str, object]]:
        """The rows of the plot's CSV file."""


@dataclass(frozen=True)
class Plot:
    """One plot that can be drawn: the name of its file, what it shows, and how."""

    name: str
    data: Data
    draw: Callable[[Any, Look], Figure]


@dataclass(frozen=True)
class Kind:
    """One kind of plot; `make` gives a sweep's plots for the settings asked for, none where it has no data.

    Attributes:
        missing: Why there may be none, for people who asked for it by name.
    """

    name: str
    summary: str
    make: Callable[[Subject, Sequence[str]], list[Plot]]
    missing: str


def _by_setting(subject: Subject, keys: Sequence[str]) -> list[Plot]:
    if not subject.judged:
        return []
    return [
        Plot(f"setting-{key}", by_setting(subject, key), draw_setting) for key in keys or subject.settings
    ]


def _interaction(subject: Subject, keys: Sequence[str]) -> list[Plot]:
    if not subject.judged or len(keys) == 1:
        return []
    pairs = [(keys[0], keys[1])] if keys else interactions(subject)
    return [
        Plot(f"interaction-{key}-{by}", interaction(subject, key, by), draw_interaction) for key, by in pairs
    ]


def _one(
    name: str, data: Callable[[Subject], Data], draw: Callable[[Any, Look], Figure]
) -> Callable[[Subject, Sequence[str]], list[Plot]]:
    def make(subject: Subject, keys: Sequence[str]) -> list[Plot]:
        found = data(subject)
        return [Plot(name, found, draw)] if found.rows() else []

    return make


UNSCORED = "nobody has scored it yet, and it has no metric that could stand for a score"
KINDS = (
    Kind("setting", "score against each setting", _by_setting, UNSCORED),
    Kind(
        "interaction",
        "two settings at once",
        _interaction,
        "no two settings were changed separately and together in runs that have a score; "
        "or --setting was given once, where it needs two",
    ),
    Kind("epochs", "score against epochs", _one("epochs", epochs, draw_epochs), UNSCORED),
    Kind("cost", "score against minutes, memory and file size", _one("cost", costs, draw_costs), UNSCORED),
    Kind("timings", "where the time went", _one("timings", timings, draw_timings), "no run has worked yet"),
    Kind("loss", "loss curves", _one("loss", losses, draw_losses), "no run has made a step yet"),
)


def plots(subject: Subject, kinds: Sequence[str] = (), settings: Sequence[str] = ()) -> list[Plot]:
    """The plots of a sweep.

    Args:
        subject: The sweep.
        kinds: Names of `KINDS`; none is all for which there is data.
        settings: Settings to look at; none is all that differ. A name's last part will do.

    Raises:
        ConfigError: A kind or setting is not known, or what was asked for by name has no data.
    """
    known = {kind.name: kind for kind in KINDS}
    for name in kinds:
        if name not in known:
            raise ConfigError(f"unknown plot {name!r}{nearest(name, known) or ';'} known: {', '.join(known)}")
    keys = [_setting(subject, text) for text in settings]
    wanted = [known[name] for name in kinds] or [
        kind for kind in KINDS if not keys or kind.name in ("setting", "interaction")
    ]
    found: list[Plot] = []
    for kind in wanted:
        made = kind.make(subject, keys) if kinds or kind.name != "interaction" or len(keys) != 1 else []
        if kinds and not made:
            raise ConfigError(f"{subject.folder.name} has nothing to show for {kind.name!r}: {kind.missing}")
        found += made
    return found


def _setting(subject: Subject, text: str) -> str:
    """The full name of a setting that differs within the sweep; its last part will do."""
    fits = [key for key in subject.settings if key == text or key.endswith(f".{text}")]
    if len(fits) == 1:
        return fits[0]
    known = ", ".join(subject.settings) or "none"
    what = (
        f"is more than one: {', '.join(fits)}"
        if fits
        else f"does not differ within the sweep; there differ: {known}"
    )
    raise ConfigError(f"--setting {text} {what}")


def write(
    made: Sequence[Plot], folder: Path, formats: Sequence[str], look: Look, *, data: bool = False
) -> list[Path]:
    """Write plots as images, one file per format, and with `data` as CSV beside them; returns the files.

    Raises:
        ConfigError: A format is not one of `style.FORMATS`.
    """
    for name in formats:
        if name not in style.FORMATS:
            raise ConfigError(f"--format {name}: plots are written as {' or '.join(style.FORMATS)}")
    files = []
    for plot in made:
        figure = plot.draw(plot.data, look)
        if look.outlines or "png" in formats:
            # Text in SVG takes the reader's fonts.
            fonts.file_for(style.texts(figure))
        for name in formats:
            files.append(folder / f"{plot.name}.{name}")
            with style.drawing(look):
                style.save(figure, files[-1])
        if data:
            files.append(folder / f"{plot.name}.csv")
            write_text(files[-1], to_csv(plot.data))
    return files


def to_csv(data: Data) -> str:
    """A plot's rows as CSV; a missing value is empty."""
    rows = data.rows()
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
