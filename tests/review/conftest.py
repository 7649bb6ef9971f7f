"""What the tests of the gallery share: a made-up sweep, and a client that asks as a browser would."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from lora_lab.review.app import create_app
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


@pytest.fixture
def address(sweep: SweepFolder) -> Iterator[str]:
    """The address of a gallery over `sweep` that really listens."""
    config = uvicorn.Config(create_app(sweep.path.parent), port=0, log_level="warning", server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(5)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A real Chromium without a window; tests that use it are skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path:
        pytest.skip("there is no Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
