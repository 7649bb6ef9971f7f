"""Comparing blind: two checkpoints side by side, which is better."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lora_lab.review.session.sessions import Ledger, Sitting, judging_page, ledger_of, open_sitting, pause
from lora_lab.review.session.showing import same_item, seen, shown
from lora_lab.review.web.forms import Posted, taking
from lora_lab.store.scores import RESULTS

MODE = "compare"


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/compare/{session}", compare_page),
        Route("/compare/{session}/judge", taking(judge), methods=["POST"]),
        Route("/compare/{session}/undo", taking(undo), methods=["POST"]),
    ]


def compare_page(request: Request) -> Response:
    """The page on which one compares; where it stands comes from the log."""
    return judging_page(request, MODE, lambda sitting: {"position": _next(sitting)})


def _next(sitting: Sitting) -> int:
    """The first position that nothing was said of."""
    return next(number for number in range(len(sitting.judged) + 1) if number not in sitting.judged)


def _answer(ledger: Ledger, sitting: Sitting) -> Response:
    now = ledger.find(sitting.session.id)
    return JSONResponse({"position": _next(now), "pause": pause(now)})


def judge(request: Request, given: Posted) -> Response:
    """Store the result of the pair that is shown; the answer is sent when the line is on the disk."""
    with ledger_of(request).lock:
        ledger, sitting = open_sitting(request, MODE)
        position = given.whole("position", 0, _next(sitting))
        result = given.text("result")
        if result not in RESULTS:
            raise HTTPException(400, f"result must be one of {', '.join(RESULTS)}, got {result!r}")
        # What is there already was sent a second time by a browser that did not hear the answer.
        if position not in sitting.judged:
            same_item(sitting, position, given)
            left, right = shown(sitting, position)
            values = {"position": position, "result": result, "seconds": seen(given)}
            ledger.write(sitting, "pair", left=left, right=right, **values)
        return _answer(ledger, sitting)


def undo(request: Request, given: Posted) -> Response:
    """Cancel what was said last; the answer names its position."""
    with ledger_of(request).lock:
        ledger, sitting = open_sitting(request, MODE)
        if (last := sitting.last) is not None:
            ledger.write(sitting, "cancel", cancels=last.id)
        return _answer(ledger, sitting)
