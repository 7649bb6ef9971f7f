"""What tests of several parts share."""

import shutil
from collections.abc import Iterator

import pytest

FULL_SIZE = "full size"
"""The group of tests that hold a full-size model: 15 GB each, so that no two of them may run at once."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the slow tests of a module in one process, and those of full-size models in one of all modules."""
    for item in items:
        if item.get_closest_marker("slow"):
            heavy = item.path.stem in ("test_full_size", "test_recorded_run")
            item.add_marker(pytest.mark.xdist_group(FULL_SIZE if heavy else item.path.stem))


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """A real Chromium without a window; tests that use it are skipped where there is none.

    One per module: its driver holds the event loop of the thread, and there can be but one at a time.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path:
        pytest.skip("there is no Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
