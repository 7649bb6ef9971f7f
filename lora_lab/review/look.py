"""The matrix of runs and checkpoints."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lora_lab.review.gallery import gallery_of, page


def routes() -> list[Route]:
    """The routes of this module; each path starts with /sweep/{sweep}/look."""
    return [Route("/sweep/{sweep}/look", matrix)]


def matrix(request: Request) -> Response:
    """Runs x checkpoints."""
    return page(request, "look.html", {"sweep": gallery_of(request).read(request.path_params["sweep"])})
