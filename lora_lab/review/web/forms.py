"""What a browser sends: forms and JSON, read and checked."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

LONGEST_TEXT = 2000
"""Characters of a note; other texts are shorter."""
LONGEST_LINES = 20_000
"""Characters of settings, one in each line."""
LONGEST_SHOWN = 40
"""Characters of a wrong value that a message shows."""
MOST_SECONDS = 24 * 3600
"""A page may stay open over night."""


@dataclass(frozen=True)
class Posted:
    """The values of a form or of a JSON object; each question about one is a check of it.

    Every method raises `HTTPException` (400) naming the value that is wrong.
    """

    values: Mapping[str, Any]

    def text(self, key: str, longest: int = LONGEST_TEXT) -> str:
        """A text without spaces around it and single ones inside; a missing one is empty."""
        return " ".join(self._typed(key, longest).split())

    def lines(self, key: str) -> list[str]:
        """The lines of a text, each as typed but for spaces around it, without empty ones."""
        typed = self._typed(key, LONGEST_LINES).splitlines()
        return [line.strip() for line in typed if line.strip()]

    def line(self, key: str) -> str:
        """One line, as typed but for spaces around it, such as a path; a missing one is empty."""
        found = self.lines(key)
        if len(found) > 1:
            raise HTTPException(400, f"{key} must be one line, got {len(found)}")
        return found[0] if found else ""

    def _typed(self, key: str, longest: int) -> str:
        value = self.all(key)[-1] if self.all(key) else ""
        if not isinstance(value, str) or len(value) > longest:
            raise HTTPException(400, f"{key} must be a text of at most {longest} characters")
        if "\0" in value:
            raise HTTPException(
                400,
                f"{key} holds a NUL sign, which cannot be seen and stands in no name or path: write it anew",
            )
        try:
            value.encode()
        except UnicodeEncodeError:
            raise HTTPException(400, f"{key} holds half of a sign (a lone surrogate)") from None
        return value

    def seconds(self) -> float | None:
        """How long the rater took, to 0.01 s; a page that lay open for days counts as one day,
        and a clock that ran backwards says nothing."""
        found = self.number("seconds", -sys.float_info.max, sys.float_info.max)
        return round(min(found, MOST_SECONDS), 2) if found >= 0 else None

    def number(self, key: str, low: float, high: float) -> float:
        """A finite number between two limits."""
        value = self.all(key)[-1] if self.all(key) else None
        try:
            found = math.nan if value is None or isinstance(value, bool) else float(value)
        except (ValueError, TypeError, OverflowError):
            found = math.nan
        if not low <= found <= high:
            limits = "" if low == -sys.float_info.max else f" from {low:g} to {high:g}"
            sent = self.values.get(key) if value is None else value
            raise HTTPException(400, f"{key} must be a number{limits}, got {_short(sent)}")
        return found

    def whole(self, key: str, low: int, high: int) -> int:
        """A whole number between two limits."""
        found = self.number(key, low, high)
        if found != int(found):
            raise HTTPException(400, f"{key} must be a whole number, got {found:g}")
        return int(found)

    def all(self, key: str) -> list[Any]:
        """Every value of a key."""
        value = self.values.get(key)
        return value if isinstance(value, list) else [] if value is None else [value]

    def texts(self, key: str, longest: int) -> list[str]:
        """All texts of a key, each once, without empty ones."""
        return list(
            dict.fromkeys(filter(None, (Posted({key: item}).text(key, longest) for item in self.all(key))))
        )


def _short(value: object) -> str:
    """What was sent, in a few signs that every message can hold."""
    text = ascii(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def taking(handle: Callable[[Request, Posted], Response]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that reads what was posted and has `handle` answer it, away from the event loop."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(handle, request, _read(request, await request.body()))

    return endpoint


def _read(request: Request, body: bytes) -> Posted:
    kind = request.headers.get("content-type", "").split(";")[0].strip()
    try:
        if kind == "application/json":
            values = json.loads(body)
        else:
            values = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20000)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "what was sent cannot be read") from error
    if not isinstance(values, dict):
        raise HTTPException(400, "what was sent cannot be read")
    return Posted(values)
