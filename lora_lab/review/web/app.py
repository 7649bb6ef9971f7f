"""The gallery as a web application: all routes, behind the checks of `security`."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from lora_lab.errors import LoraLabError
from lora_lab.review.browse import home
from lora_lab.review.browse import page as look
from lora_lab.review.launch import pages as launch_pages
from lora_lab.review.launch.commands import Starter
from lora_lab.review.results import pages as results_pages
from lora_lab.review.results.written import WrittenReports
from lora_lab.review.session import again, comparing, result, scoring, setup, showing
from lora_lab.review.session.sessions import SessionStore, guarded
from lora_lab.review.web import inviting
from lora_lab.review.web.gallery import HERE, Gallery, Options, gallery_of, page
from lora_lab.review.web.security import Gate
from lora_lab.store.queue import Queue


def create_app(results: Path, options: Options | None = None) -> Starlette:
    """The gallery over a folder of results.

    Args:
        results: The folder that holds the sweeps' folders.
        options: How it is served.
    """
    options = options or Options()
    app = Starlette(
        routes=[
            *home.routes(),
            *setup.routes(),
            *scoring.routes(),
            *comparing.routes(),
            *showing.routes(),
            *result.routes(),
            *again.routes(),
            *inviting.routes(),
            *results_pages.routes(),
            *launch_pages.routes(),
            *guarded([*look.routes(), Route("/sweep/{sweep}/image/{image}", image)]),
            Route("/favicon.ico", icon),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Gate, host=options.host, token=options.token, allowed=options.allowed)],
        exception_handlers={HTTPException: _refused, LoraLabError: _failed},
    )
    app.state.gallery = gallery = Gallery(results, options)
    app.state.reports = WrittenReports(gallery)
    app.state.starter = Starter(Queue(results))
    app.state.session_store = SessionStore(gallery)
    return app


def icon(request: Request) -> Response:
    """The icon, where a browser looks for it by itself: served reports name none."""
    return FileResponse(HERE / "static" / "icon.svg", media_type="image/svg+xml")


def image(request: Request) -> Response:
    """An image that the sweep's records name, as it was rendered; `image` is its opaque name."""
    file = gallery_of(request).image(request.path_params["sweep"], request.path_params["image"])
    return FileResponse(
        file, media_type="image/png", headers={"Cache-Control": "private, max-age=31536000, immutable"}
    )


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if request.headers.get("content-type") == "application/json":
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    values = {"title": f"{error.status_code}", "text": error.detail}
    answer = page(request, "message.html", values, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _failed(request: Request, error: Exception) -> Response:
    if request.headers.get("content-type") == "application/json":
        return JSONResponse({"error": str(error)}, 500)
    return page(request, "message.html", {"title": "That did not work", "text": str(error)}, 500)
