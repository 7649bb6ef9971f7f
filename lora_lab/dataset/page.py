"""A check as one HTML page that holds everything itself, thumbnails included."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lora_lab import __version__
from lora_lab.counts import counted
from lora_lab.data.image_set import readable
from lora_lab.dataset.check import Check
from lora_lab.dataset.image import svg
from lora_lab.dataset.summary import Line, findings
from lora_lab.plots.style import darkened

MOST_TAGS = 80
FEW_TAGS = 10
"""Shown where every tag stands in one caption only."""


def page(found: Check, about: str) -> str:
    """The page.

    Args:
        about: What the images were checked for, in words: base model and resolution.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("lora_lab.dataset"), PackageLoader("lora_lab.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["counted"] = counted
    assert environment.loader is not None
    style = "\n".join(
        environment.loader.get_source(environment, name)[0] for name in ("style.css", "check.css")
    )
    buckets = found.data.buckets
    shown = [count for count in found.counts if count.images > 1][:MOST_TAGS] or found.counts[:FEW_TAGS]
    light = svg(buckets) if buckets else ""
    return environment.get_template("check.html").render(
        name=readable(found.folder.resolve().name),
        about=about,
        style=Markup(style),
        found=found,
        lines=list(_ordered(findings(found))),
        light=Markup(light),
        dark=Markup(darkened(light)),
        counts=shown,
        more_tags=len(found.counts) - len(shown),
        rest="each in one caption" if len(shown) < MOST_TAGS else "each in no more captions than the last",
        most=found.counts[0].images if found.counts else 1,
        version=__version__,
    )


def _ordered(lines: list[Line]) -> Iterator[Line]:
    """Errors first, then warnings, then what is well."""
    for kind in ("error", "warning", "fine"):
        yield from (line for line in lines if line.kind == kind)
