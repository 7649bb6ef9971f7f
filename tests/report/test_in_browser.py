"""The report in a real browser, from the disk: it fits narrow and wide windows and loads all it names."""

import os
import shutil
from pathlib import Path

import pytest

from lora_lab.plots import subject
from lora_lab.report import write_report
from tests import scored

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = scored.sweep(tmp_path_factory.mktemp("browser"), pictures=True)
    scored.write_run(folder, "a-very-long-name=" + "x" * 60, ["network.network_alpha=3"], 5.0, pictures=True)
    return write_report(subject(folder), folder.report)


def test_it_fits_and_loads_everything(page: Path) -> None:
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            for width, scheme in ((390, "light"), (1400, "dark")):
                tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
                failed: list[str] = []
                tab.on("requestfailed", lambda request, failed=failed: failed.append(request.url))
                asked: list[str] = []
                tab.on("request", lambda request, asked=asked: asked.append(request.url))
                tab.goto(page.as_uri())
                tab.evaluate("for (const i of document.images) i.loading = 'eager'")
                tab.wait_for_function("Array.from(document.images).every(i => i.complete)")
                assert tab.evaluate("document.documentElement.scrollWidth") <= width, "no sideways scrolling"
                assert tab.evaluate("Array.from(document.images).every(i => i.naturalWidth > 0)")
                assert failed == [] and all(url.startswith("file:") for url in asked)
                assert any(url.endswith("-dark.svg") for url in asked) == (scheme == "dark")
                tab.close()
        finally:
            browser.close()
