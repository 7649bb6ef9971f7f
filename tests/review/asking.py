"""What a browser would send to score and to compare."""

from __future__ import annotations

from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient

FORM = {"rater": "anna", "which": "all", "prompt": ["0", "1"], "layout": "grid", "repeats": "25"}


def begin(client: TestClient, mode: str = "score", **values: Any) -> str:
    """Send the form of the first page; returns the session's id."""
    answer = client.post(f"/sweep/demo/{mode}", data={**FORM, **values})
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith(f"/{mode}/")
    return answer.headers["location"].rsplit("/", 1)[1]


def say(client: TestClient, session: str, position: int, value: int | None, **values: Any) -> Response:
    """Score what stands at a position; None skips it."""
    body = {"position": position, "value": value, "note": "", "tags": [], "seconds": 1.5, **values}
    return client.post(f"/score/{session}/judge", json=body)


def prefer(client: TestClient, session: str, position: int, result: str) -> Response:
    """Say which of the pair at a position is better."""
    return client.post(
        f"/compare/{session}/judge", json={"position": position, "result": result, "seconds": 1.5}
    )
