"""Comparing blind: two checkpoints side by side, which is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lora_lab.review.session.blind import drawn_of, pixels_of, shown_files
from lora_lab.review.session.judging import judging_routes
from lora_lab.review.session.sessions import (
    SessionProgress,
    SessionStore,
    judging_page,
    open_session,
    pause,
    session_store_of,
)
from lora_lab.review.session.showing import same_item, seen, shown
from lora_lab.review.web.forms import Posted
from lora_lab.store import Place
from lora_lab.store.scores import RESULTS

MODE = "compare"


def routes() -> list[Route]:
    """The routes of this module."""
    return judging_routes(MODE, compare_page, judge, _answer)


def compare_page(request: Request) -> Response:
    """The page on which one compares; where it stands comes from the log."""
    return judging_page(request, MODE, lambda progress: {"position": _next(progress)})


def _next(progress: SessionProgress) -> int:
    """The first position that nothing was said of."""
    return next(number for number in range(len(progress.judged) + 1) if number not in progress.judged)


def _answer(session_store: SessionStore, progress: SessionProgress, _: int | None = None) -> Response:
    now = session_store.find(progress.session.id)
    return JSONResponse({"position": _next(now), "pause": pause(now)})


def judge(request: Request, given: Posted) -> Response:
    """Store the result of the pair that is shown; the answer is sent when the line is on the disk."""
    with session_store_of(request).lock:
        session_store, progress = open_session(request, MODE)
        position = given.whole("position", 0, _next(progress))
        result = given.text("result")
        if result not in RESULTS:
            raise HTTPException(400, f"result must be one of {', '.join(RESULTS)}, got {result!r}")
        # What is there already was sent a second time by a browser that did not hear the answer.
        if position not in progress.judged:
            same_item(progress, position, given)
            left, right = shown(progress, position)
            values: dict[str, Any] = {"position": position, "result": result, "seconds": seen(given)}
            values |= _what_was_shown(session_store, progress, {"left": left, "right": right})
            session_store.write(progress, "pair", left=left, right=right, **values)
        return _answer(session_store, progress)


def _what_was_shown(
    session_store: SessionStore, progress: SessionProgress, sides: Mapping[str, Place]
) -> dict[str, Any]:
    """The images of both sides that a comparison belongs to."""
    stage = session_store.stage(progress)
    found: dict[str, Any] = {"shots": stage.shots}
    for side, place in sides.items():
        found[f"{side}_shown"] = pixels_of(shown_files(stage.sweep, place, stage.shots))
        found[f"{side}_drawn"] = drawn_of(stage.sweep, place, stage.shots)
    return found
