"""What runs and waits of a sweep, with a button that ends a run at its next checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lora_lab.pace import RunPace, spell_end, spell_memory, spell_seconds
from lora_lab.review.web.forms import Posted, taking
from lora_lab.review.web.gallery import gallery_of, page
from lora_lab.store.underway import Underway, go_on, how_far, stop, underway, until_all_end

SECONDS = 10
"""After which the page is asked for again, as long as something runs."""


def routes() -> list[Route]:
    """The routes of this module."""
    path = "/sweep/{sweep}/look/running"
    return [Route(path, running_page), Route(path, taking(act), methods=["POST"])]


@dataclass(frozen=True)
class Line:
    """A run that runs or waits; `loss` is its running mean with an arrow for its trend."""

    row: Underway
    loss: str

    @property
    def percent(self) -> int:
        """How far it is."""
        return int(100 * self.row.step / self.row.total_steps) if self.row.total_steps else 0

    @property
    def memory(self) -> str:
        """Peak of its worker."""
        return spell_memory({self.row.run: self.row.memory}) if self.row.memory else ""


def running_page(request: Request) -> Response:
    """How far every run is that is not done, and when what runs now will be."""
    gallery = gallery_of(request)
    sweep = gallery.read(request.path_params["sweep"])
    rows = underway(sweep.folder)
    left = until_all_end(rows)
    at_work = [row for row in rows if row.state != "waiting"]
    values = {
        "sweep": sweep,
        "tab": "running",
        "lines": [Line(row, _loss(request, row)) for row in rows],
        "at_work": len(at_work),
        "waiting": len(rows) - len(at_work),
        "done": sum(run.status == "done" for run in sweep.runs.values()),
        "left": spell_seconds(left),
        "ends": spell_end(left),
        "whole": how_far(sweep.folder).words if rows else "",
        "seconds": SECONDS if at_work else 0,
    }
    return page(request, "look_running.html", values)


def _loss(request: Request, row: Underway) -> str:
    gallery = gallery_of(request)
    run = gallery.read(row.sweep).runs.get(row.run)
    if run is None or row.state == "waiting":
        return ""
    log, pace = gallery.step_logs.of(run), RunPace(row.total_steps)
    for number, loss in enumerate(log.columns.get("loss", ())):
        pace.hear(number, loss if math.isfinite(loss) else None, float(number))
    return pace.loss


def act(request: Request, posted: Posted) -> Response:
    """Do what `lora-lab stop` does, or its `--undo`.

    Raises:
        HTTPException: There is no such sweep or run (404).
    """
    sweep = gallery_of(request).read(request.path_params["sweep"])
    name = posted.text("run")
    if name not in sweep.runs:
        raise HTTPException(404, f"there is no run {name!r} in this sweep")
    run = sweep.folder.run(name)
    if posted.text("act") == "undo":
        go_on(run)
    else:
        stop(run)
    return RedirectResponse(f"/sweep/{quote(sweep.name)}/look/running", 303)
