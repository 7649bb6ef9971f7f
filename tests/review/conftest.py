"""What the tests of the gallery share: a made-up sweep, and a client that asks as a browser would."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lora_lab.review.web.app import create_app
from lora_lab.store import SweepFolder
from tests.review.made_up import make_sweep

ADDRESS = "http://127.0.0.1:7868"


@pytest.fixture(scope="session")
def finished_sweep(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """A made-up sweep that nobody writes to."""
    return make_sweep(tmp_path_factory.mktemp("results") / "demo")


@pytest.fixture
def sweep(finished_sweep: SweepFolder, tmp_path: Path) -> SweepFolder:
    """A made-up sweep of one's own, in a results folder of its own."""
    folder = tmp_path / "results" / "demo"
    shutil.copytree(finished_sweep.path, folder)
    return SweepFolder(folder)


@pytest.fixture
def client(sweep: SweepFolder) -> Iterator[TestClient]:
    """A client of a gallery over `sweep`; its POSTs come from the gallery's own pages."""
    with TestClient(create_app(sweep.path.parent), ADDRESS, follow_redirects=False) as made:
        made.headers["origin"] = ADDRESS
        yield made


@dataclass
class Answer:
    """One answer as it went over the wire: what was asked for, the headers and the body."""

    asked: str
    headers: str = ""
    body: bytes = b""


@dataclass
class Recorder:
    """Keeps all that an application is asked for and sends."""

    app: ASGIApp
    answers: list[Answer] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and keep its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = Answer(f"{scope['method']} {scope['path']} {scope['query_string']!r} {scope['headers']}")
        self.answers.append(answer)

        async def kept(message: Message) -> None:
            answer.headers += str(message.get("headers", ""))
            answer.body += message.get("body", b"")
            await send(message)

        await self.app(scope, receive, kept)


@contextmanager
def watched(chromium: Any, base_url: str, milliseconds: float = 30_000) -> Iterator[tuple[Any, list[str]]]:
    """A tab of a browser, and what went wrong in it: errors of scripts and of the console.

    Args:
        base_url: What addresses are seen from.
        milliseconds: How long anything may take.
    """
    context = chromium.new_context(viewport={"width": 1200, "height": 800}, base_url=base_url)
    context.set_default_timeout(milliseconds)
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    yield tab, errors
    context.close()


@pytest.fixture
def recorder(sweep: SweepFolder) -> Recorder:
    """A gallery over `sweep` with a record of its traffic."""
    return Recorder(create_app(sweep.path.parent))


@pytest.fixture
def address(recorder: Recorder) -> Iterator[str]:
    """The address of a gallery that really listens."""
    config = uvicorn.Config(recorder, port=0, log_level="warning", server_header=False, date_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(5)
