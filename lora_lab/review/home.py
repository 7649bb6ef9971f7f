"""The first pages: the sweeps there are, and what can be done with one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lora_lab.review.blind import candidates
from lora_lab.review.gallery import gallery_of, page
from lora_lab.review.runs import Sweep
from lora_lab.review.sessions import Ledger, Sitting, ledger_of, remembered

SHOWN = 5
"""Pictures on a sweep's card."""


def routes() -> list[Route]:
    """The routes of this module."""
    return [Route("/", sweeps), Route("/sweep/{sweep}", sweep)]


@dataclass(frozen=True)
class Card:
    """A sweep in a list, without a name or a score of what is in it."""

    name: str
    question: str
    runs: int
    statuses: dict[str, int]
    checkpoints: int
    pictures: list[str]
    sessions: list[Sitting]

    @property
    def standing(self) -> str:
        """How many runs there are, and how they stand."""
        parts = ", ".join(f"{count} {status}" for status, count in self.statuses.items())
        return f"{self.runs} runs ({parts}), {self.checkpoints} checkpoints with pictures"


def _card(sweep: Sweep, ledger: Ledger) -> Card:
    counts = Counter("twin" if run.same_as else run.status for run in sweep.runs.values())
    twins = counts.pop("twin", 0)
    statuses = {**counts, **({"the same as another": twins} if twins else {})}
    return Card(
        sweep.name,
        _question(sweep),
        len(sweep.runs),
        statuses,
        len(candidates(sweep, unusable=True)),
        sweep.training[:SHOWN],
        ledger.sittings(sweep.name),
    )


def _question(sweep: Sweep) -> str:
    """What the sweep's file says it is for."""
    try:
        found: Any = yaml.safe_load(sweep.folder.sweep_file.read_text(encoding="utf-8"))
        return str(found["question"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return ""


def sweeps(request: Request) -> Response:
    """The list of sweeps; a single one is shown at once."""
    gallery, ledger = gallery_of(request), ledger_of(request)
    names = gallery.names()
    if gallery.options.only:
        return RedirectResponse(f"/sweep/{names[0]}", 303)
    cards = [_card(gallery.read(name), ledger) for name in names]
    return page(request, "home.html", {"cards": cards, "results": gallery.results})


def sweep(request: Request) -> Response:
    """What can be done with one sweep."""
    card = _card(gallery_of(request).read(request.path_params["sweep"]), ledger_of(request))
    here = set(remembered(request))
    blind = any(item.session.id in here and not item.session.closed for item in card.sessions)
    return page(request, "sweep.html", {"card": card, "blind": blind})
