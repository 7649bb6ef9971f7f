"""Asking others to score: an address with their name, to send or to scan."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lora_lab.review.web.gallery import gallery_of, page
from lora_lab.review.web.security import is_loopback

LONGEST_NAME = 40


def routes() -> list[Route]:
    """The routes of this module: nothing of a sweep but its name, so that a session may be open."""
    return [Route("/sweep/{sweep}/invite", invite)]


def invite(request: Request) -> Response:
    """A link and a QR code that lead somebody to scoring a sweep, with the name they are to have."""
    options = gallery_of(request).options
    name = gallery_of(request).folder(request.path_params["sweep"]).name
    rater = " ".join(request.query_params.get("rater", "").split())[:LONGEST_NAME]
    own = f"{request.url.scheme}://{request.url.netloc}/"
    # An address that means this machine means another one on a phone.
    start = options.reachable if options.reachable and is_loopback(request.url.hostname or "") else own
    pairs = [("rater", rater)] * bool(rater) + [("token", options.token)] * bool(options.token)
    link = f"{start}sweep/{quote(name)}/score" + (f"?{urlencode(pairs)}" if pairs else "")
    values = {
        "sweep": name,
        "rater": rater,
        "link": link,
        "code": qr_code(link),
        "alone": not options.token,
    }
    return page(request, "invite.html", values)


def qr_code(text: str) -> Markup:
    """A QR code as an SVG element without size, style or colour of its own but black."""
    made = segno.make(text, micro=False).svg_inline(omitsize=True, border=4, svgclass=None, lineclass=None)
    return Markup(made)  # noqa: S704, segno draws paths and no text
