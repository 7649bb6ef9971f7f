"""The gallery as a web application: all routes, behind the checks of `security`."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from lora_lab.errors import LoraLabError
from lora_lab.review import home, look
from lora_lab.review.gallery import HERE, Gallery, Options, gallery_of, page
from lora_lab.review.security import Gate


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
            *look.routes(),
            Route("/sweep/{sweep}/picture/{picture}", picture),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Gate, host=options.host, token=options.token)],
        exception_handlers={HTTPException: _refused, LoraLabError: _failed},
    )
    app.state.gallery = Gallery(results, options)
    return app


def picture(request: Request) -> Response:
    """A picture that the sweep's records name, as it was rendered; `picture` is its opaque name."""
    found = gallery_of(request).read(request.path_params["sweep"]).pictures
    file = found.get(request.path_params["picture"])
    if file is None or not file.is_file():
        raise HTTPException(404, "there is no such picture")
    return FileResponse(
        file, media_type="image/png", headers={"Cache-Control": "private, max-age=31536000, immutable"}
    )


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    values = {"title": f"{error.status_code}", "text": error.detail}
    answer = page(request, "message.html", values, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _failed(request: Request, error: Exception) -> Response:
    return page(request, "message.html", {"title": "That did not work", "text": str(error)}, 500)
