"""The images of a blind session: an address names a session, a position and a number, and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lora_lab.review.session.blind import anonymous
from lora_lab.review.session.pairing import pair_at
from lora_lab.review.session.sessions import SessionProgress, session_store_of
from lora_lab.review.web.forms import Posted
from lora_lab.store import Pair, Place

SOONEST = 0.3
"""Seconds within which nobody judges what they see: an answer that comes sooner was meant for what was there
before it."""


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/session/{session}/image/{position:int}/{number:int}", image),
        Route("/session/{session}/training/{number:int}", training),
        Route("/session/{session}/bare/{number:int}", bare),
    ]


def shown(progress: SessionProgress, position: int) -> tuple[Place, ...]:
    """What stands at a position of a session: one checkpoint to score, or two to compare.

    Raises:
        HTTPException: The session has no such position (404).
    """
    own = progress.session
    if own.mode == "score" and position < len(own.order):
        return (own.order[position][:2],)
    # The next pair is loaded ahead, and none beyond it.
    if own.mode == "compare" and position <= max([-1, *progress.judged]) + 2:
        pairs = {number: item for number, item in progress.judged.items() if isinstance(item, Pair)}
        return pair_at(own.places, pairs, own.seed, position)
    raise HTTPException(404, "there is no such image")


def item_of(progress: SessionProgress, position: int) -> str:
    """An opaque name of what stands at a position now; a page sends it back with what is said of it."""
    text = repr((progress.session.id, progress.session.seed, position, shown(progress, position)))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def same_item(progress: SessionProgress, position: int, given: Posted) -> None:
    """Hold what is said to what is shown: another page may have changed what stands at a position.

    Raises:
        HTTPException: The page shows something else (409).
    """
    named = given.text("item")
    if named and named != item_of(progress, position):
        raise HTTPException(409, "another item stands here by now: load the page again")


def seen(given: Posted) -> float | None:
    """How long an item was seen before something was said of it, in seconds; None where clocks disagree.

    Raises:
        HTTPException: Nobody can have looked at it (409): a key was pressed twice.
    """
    seconds = given.seconds()
    if seconds is not None and seconds < SOONEST:
        raise HTTPException(409, f"that was said {seconds:g} s after the images came, too soon to be meant")
    return seconds


def image(request: Request) -> Response:
    """One image of what stands at a position; of a pair, the right one's follow the left one's."""
    session_store = session_store_of(request)
    progress = session_store.find(request.path_params["session"])
    places = shown(progress, request.path_params["position"])
    stage = session_store.stage(progress)
    side, number = divmod(request.path_params["number"], len(stage.shots))
    if side >= len(places):
        raise HTTPException(404, "there is no such image")
    file = stage.file(places[side], number)
    if file is None:
        session_store.forget_stage(progress)
        raise HTTPException(404, "this image is gone")
    answer = _answer(file, stage.size)
    answer.headers["X-Item"] = item_of(progress, request.path_params["position"])
    return answer


def training(request: Request) -> Response:
    """One of the training images."""
    session_store = session_store_of(request)
    stage = session_store.stage(session_store.find(request.path_params["session"]))
    return _numbered(request, stage.training, None)


def bare(request: Request) -> Response:
    """The bare base model's image of a shot."""
    session_store = session_store_of(request)
    stage = session_store.stage(session_store.find(request.path_params["session"]))
    return _numbered(request, stage.bare, stage.size)


def _numbered(request: Request, files: tuple[Path | None, ...], size: tuple[int, int] | None) -> Response:
    number = request.path_params["number"]
    file = files[number] if number < len(files) else None
    if file is None or not file.is_file():
        raise HTTPException(404, "there is no such image")
    return _answer(file, size)


def _answer(file: Path, size: tuple[int, int] | None) -> Response:
    """The image without anything that names it, not even when it was made."""
    try:
        return Response(anonymous(file, size), media_type="image/png")
    except OSError as error:
        raise HTTPException(404, "this image cannot be read") from error
