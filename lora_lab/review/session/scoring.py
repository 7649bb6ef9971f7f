"""Scoring blind: one checkpoint's images at a time, 0 to 100."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lora_lab.review.session.again import go_on
from lora_lab.review.session.blind import drawn_of, pixels_of, shown_files
from lora_lab.review.session.judging import judging_routes
from lora_lab.review.session.sessions import (
    Judgement,
    SessionProgress,
    SessionStore,
    judging_page,
    open_session,
    pause,
    session_store_of,
)
from lora_lab.review.session.showing import same_item, seen
from lora_lab.review.web.forms import Posted
from lora_lab.store import Place, Score

TAGS = ("broken at strength 1", "wrong person", "skin", "clothes do not change", "too weak")
"""What can be said of a checkpoint with one key; a rater can add own words."""
LONGEST_TAG = 60
MOST_TAGS = 20
MODE = "score"


def routes() -> list[Route]:
    """The routes of this module."""
    return judging_routes(MODE, score_page, judge, _answer)


def score_page(request: Request) -> Response:
    """The page on which one scores; where it stands comes from the log."""
    return judging_page(request, MODE, _stored)


def _stored(progress: SessionProgress) -> dict[str, Any]:
    own_tags = {tag for item in progress.judged.values() if isinstance(item, Score) for tag in item.tags}
    return {
        "tags": [*TAGS, *sorted(own_tags - set(TAGS))],
        "known": len(progress.session.order),
        "judged": {str(position): _said(item) for position, item in sorted(progress.judged.items())},
    }


def _said(item: Judgement) -> dict[str, Any]:
    if isinstance(item, Score):
        return {"value": item.value, "note": item.note, "tags": list(item.tags)}
    return {"value": None, "note": "", "tags": []}


def _answer(session_store: SessionStore, progress: SessionProgress, position: int | None) -> Response:
    """What is stored of a position now, whether a break is due, and how many items are chosen by now."""
    now = session_store.find(progress.session.id)
    item = None if position is None else now.judged.get(position)
    said = _said(item) if item else None
    known = len(now.session.order)
    return JSONResponse({"position": position, "said": said, "pause": pause(now), "known": known})


def judge(request: Request, given: Posted) -> Response:
    """Store a score, or a skip where `value` is missing; what was said of the position before is cancelled.

    The answer is sent when the line is on the disk.
    """
    with session_store_of(request).lock:
        session_store, progress = open_session(request, MODE)
        position = given.whole("position", 0, len(progress.session.order) - 1)
        same_item(progress, position, given)
        run, tag, repeat = progress.session.order[position]
        place = {"run": run, "tag": tag, "position": position, "repeat": repeat}
        before = progress.judged.get(position)
        if given.values.get("value") is None:
            new: dict[str, Any] = {"value": None, "note": "", "tags": []}
            kind, values = "skip", place
        else:
            new = {
                "value": given.whole("value", 0, 100),
                "note": given.text("note"),
                "tags": given.texts("tags", LONGEST_TAG)[:MOST_TAGS],
            }
            kind, values = "score", {**place, **new, "seconds": seen(given)}
        # The same again is a browser that asks a second time because it did not hear the answer.
        if before is None or _said(before) != new:
            if kind == "score":
                values |= _what_was_shown(session_store, progress, (run, tag))
            session_store.write(progress, kind, **values)
            if before is not None:
                session_store.write(progress, "cancel", cancels=before.id)
        # Asked again, too: the browser may not have heard the answer.
        go_on(session_store, progress.session.id)
        return _answer(session_store, progress, position)


def _what_was_shown(session_store: SessionStore, progress: SessionProgress, place: Place) -> dict[str, Any]:
    """The images that a score belongs to, and the other checkpoints that have the very same ones."""
    stage = session_store.stage(progress)
    also = progress.session.also.get(place, ())
    return {
        "shots": stage.shots,
        "shown": pixels_of(shown_files(stage.sweep, place, stage.shots)),
        "drawn": drawn_of(stage.sweep, place, stage.shots),
        **({"also": also} if also else {}),
    }
