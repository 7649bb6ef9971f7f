"""The first pages: the sweeps there are, and what can be done with one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lora_lab.review.gallery import gallery_of, page


def routes() -> list[Route]:
    """The routes of this module."""
    return [Route("/", sweeps), Route("/sweep/{sweep}", sweep)]


def sweeps(request: Request) -> Response:
    """The list of sweeps; a single one is shown at once."""
    gallery = gallery_of(request)
    if gallery.options.only:
        return RedirectResponse(f"/sweep/{gallery.options.only}", 303)
    found = [gallery.read(name) for name in gallery.names()]
    return page(request, "home.html", {"sweeps": found, "results": gallery.results})


def sweep(request: Request) -> Response:
    """What can be done with one sweep."""
    return page(request, "sweep.html", {"sweep": gallery_of(request).read(request.path_params["sweep"])})
