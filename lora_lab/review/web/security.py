"""Who may ask what: the checks before a request is answered, and the headers of every answer.

The gallery runs on a person's own machine, where any web page they visit can send requests to it. So a
request must name this machine as its host (a page of another domain cannot, whatever its name resolves to), a
change must come from one of our own pages, and no page may load or run anything from elsewhere.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lora_lab.counts import whole_number

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # "no-referrer" would make browsers hide the origin of our own forms, too.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NO_STORE = "no-store"
TOKEN_COOKIE = "lora_lab_token"
READING = ("GET", "HEAD")
LARGEST_BODY = 64 * 1024
"""Bytes; a form or a score with a note is far smaller."""


WAY_OUT = "behind a proxy or under another name, start it with `lora-lab review --allow-host NAME`"


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_at_this_machine(request: Request) -> bool:
    """Whether whoever asks sits at this machine: the connection comes from it, and calls it by a name that
    no other machine can; what a proxy passes on has the proxy's name."""
    there = request.client.host if request.client else ""
    return is_loopback(there) and is_loopback(request.url.hostname or "")


def own_hosts(host: str) -> frozenset[str]:
    """Names that a request may give for this machine, beside plain IP addresses where others may connect."""
    names = {"localhost", "127.0.0.1", "[::1]", host.lower()}
    if not is_loopback(host):
        own = socket.gethostname().lower()
        names |= {own, f"{own.split('.')[0]}.local"}
    return frozenset(names)


class Gate:
    """Refuses what is not ours, asks for the token, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, host: str, token: str, allowed: tuple[str, ...] = ()) -> None:
        self.app, self.token = app, token
        self.allowed = frozenset(name.lower() for name in allowed)
        self.hosts, self.open = own_hosts(host), not is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            # There is nothing to talk to by other protocols.
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    # A page of ours that carries its own style says so, by its hash.
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", NO_STORE)
            await send(message)

        answer = self._refusal(scope) or self._token(scope)
        await (answer or self.app)(scope, receive, headed)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self._is_ours(headers.get("host", "")):
            return PlainTextResponse(f"this is not the address of this gallery; {WAY_OUT}", 421)
        if scope["method"] in READING:
            return None
        if scope["method"] != "POST":
            return PlainTextResponse("only GET and POST are answered", 405, {"Allow": "GET, HEAD, POST"})
        origin = headers.get("origin", "")
        if origin != f"{scope['scheme']}://{headers['host']}" and not self._is_allowed(origin):
            return PlainTextResponse(f"changes are only taken from the gallery's own pages; {WAY_OUT}", 403)
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return PlainTextResponse("changes are only taken from the gallery's own pages", 403)
        length = whole_number(headers.get("content-length", ""))
        if length is None or length > LARGEST_BODY:
            return PlainTextResponse(f"a request may hold {LARGEST_BODY} bytes at most", 413)
        return None

    def _is_allowed(self, origin: str) -> bool:
        """Whether a page lies at an address that the user named: a proxy may speak https where we do not."""
        try:
            parts = urlsplit(origin)
            return parts.scheme in ("http", "https") and (parts.hostname or "") in self.allowed
        except ValueError:
            return False

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self.hosts or f"[{name}]" in self.hosts or name in self.allowed:
            return True
        return self.open and _is_address(name)

    def _token(self, scope: Scope) -> Response | None:
        if not self.token:
            return None
        if _same(_cookie(Headers(scope=scope).get("cookie", "")), self.token):
            return None
        given = QueryParams(scope["query_string"]).get("token", "")
        if scope["method"] == "GET" and _same(given, self.token):
            answer = RedirectResponse(_without_token(scope), 303)
            answer.set_cookie(TOKEN_COOKIE, self.token, httponly=True, samesite="strict")
            return answer
        return PlainTextResponse("open the address with the token that `lora-lab review` printed", 401)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _without_token(scope: Scope) -> str:
    """The address asked for, as a path on this machine whatever it says, without the token in it."""
    kept = [pair for pair in QueryParams(scope["query_string"]).multi_items() if pair[0] != "token"]
    path = "/" + quote(scope["path"].lstrip("/\\"))
    return f"{path}?{urlencode(kept)}" if kept else path


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _cookie(header: str) -> str:
    try:
        jar = SimpleCookie(header)
    except CookieError:
        return ""
    return jar[TOKEN_COOKIE].value if TOKEN_COOKIE in jar else ""
