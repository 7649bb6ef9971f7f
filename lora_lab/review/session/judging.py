"""What scoring and comparing share: their addresses, and taking back what was said last."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lora_lab.review.session.sessions import SessionProgress, SessionStore, open_session, session_store_of
from lora_lab.review.web.forms import Posted, taking

Answer = Callable[[SessionStore, SessionProgress, int | None], Response]
"""What a page is told after a judgement, or after one was taken back, of a position or of none."""


def judging_routes(
    mode: str,
    page: Callable[[Request], Response],
    judge: Callable[[Request, Posted], Response],
    answer: Answer,
) -> list[Route]:
    """The page of a kind of session, and what is sent from it."""

    def undo(request: Request, given: Posted) -> Response:
        """Cancel what was said last; the answer names its position, None where nothing was said."""
        with session_store_of(request).lock:
            session_store, progress = open_session(request, mode)
            last = progress.last
            if last is not None:
                session_store.write(progress, "cancel", cancels=last.id)
            return answer(session_store, progress, last.position if last else None)

    return [
        Route(f"/{mode}/{{session}}", page),
        Route(f"/{mode}/{{session}}/judge", taking(judge), methods=["POST"]),
        Route(f"/{mode}/{{session}}/undo", taking(undo), methods=["POST"]),
    ]
