"""The first pages: the sweeps there are, and what can be done with one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lora_lab.counts import counted
from lora_lab.review.launch.pages import may_launch
from lora_lab.review.session.blind import candidates
from lora_lab.review.session.sessions import RATER_COOKIE, SessionProgress, open_here, session_store_of
from lora_lab.review.web.gallery import gallery_of, page

SHOWN = 5
"""Images on a sweep's card."""


def routes() -> list[Route]:
    """The routes of this module."""
    return [Route("/", sweeps), Route("/sweep/{sweep}", sweep)]


@dataclass(frozen=True)
class Card:
    """A sweep in a list, without a name or a score of what is in it; `blind` where this browser has an open
    session of it."""

    name: str
    question: str
    runs: int
    statuses: dict[str, int]
    checkpoints: int
    images: list[str]
    sessions: list[SessionProgress]
    blind: bool

    @property
    def standing(self) -> str:
        """How many runs there are, and how they stand."""
        parts = ", ".join(f"{count} {status}" for status, count in self.statuses.items())
        return f"{counted(self.runs, 'run')} ({parts}), {counted(self.checkpoints, 'checkpoint')} with images"


def _card(request: Request, name: str) -> Card:
    sweep, session_store = gallery_of(request).read(name), session_store_of(request)
    counts = Counter("twin" if run.same_as else run.status for run in sweep.runs.values())
    twins = counts.pop("twin", 0)
    statuses = {**counts, **({"the same as another": twins} if twins else {})}
    return Card(
        sweep.name,
        sweep.read.question,
        len(sweep.runs),
        statuses,
        len(candidates(sweep, unusable=True)),
        sweep.training[:SHOWN],
        _mine_first(session_store.sessions(sweep.name), unquote(request.cookies.get(RATER_COOKIE, ""))),
        open_here(request, name) is not None,
    )


def _mine_first(sessions: list[SessionProgress], rater: str) -> list[SessionProgress]:
    """The sessions of who looks before those of others, each the newest first."""
    return sorted(sessions, key=lambda item: item.session.rater != rater)


def sweeps(request: Request) -> Response:
    """The list of sweeps; a single one is shown at once."""
    gallery = gallery_of(request)
    names = gallery.names()
    if gallery.options.only:
        return RedirectResponse(f"/sweep/{quote(names[0])}", 303)
    values = {
        "cards": [_card(request, name) for name in names],
        "results": gallery.results,
        "launch": may_launch(request),
    }
    return page(request, "home.html", values)


def sweep(request: Request) -> Response:
    """What can be done with one sweep."""
    name = request.path_params["sweep"]
    damage = session_store_of(request).log(name).damage_note()
    values = {
        "card": _card(request, name),
        "damage": damage,
        "folder": gallery_of(request).folder(name).path.absolute() if may_launch(request) else "",
    }
    return page(request, "sweep.html", values)
