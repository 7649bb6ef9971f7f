"""The report in a real browser, from the disk: it fits narrow and wide windows and loads all it names."""

from pathlib import Path
from typing import Any

import pytest

from lora_lab.plots import subject
from lora_lab.report import write_report
from tests import scored

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = scored.sweep(tmp_path_factory.mktemp("browser"), images=True)
    scored.write_run(folder, "a-very-long-name=" + "x" * 60, ["network.network_alpha=3"], 5.0, images=True)
    return write_report(subject(folder), folder.report)


def test_it_fits_and_loads_everything(chromium: Any, page: Path) -> None:
    for width, scheme in ((390, "light"), (1400, "dark")):
        tab = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
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


def test_on_paper_everything_is_unfolded(chromium: Any, page: Path) -> None:
    tab = chromium.new_page(viewport={"width": 800, "height": 1000})
    tab.goto(page.as_uri())
    shown = (
        "Array.from(document.querySelectorAll('details > :not(summary)'))"
        ".map(item => item.checkVisibility({contentVisibilityAuto: true}) && item.offsetHeight > 10)"
    )
    assert (before := tab.evaluate(shown)) and not any(before)
    tab.emulate_media(media="print")
    assert all(tab.evaluate(shown))
    tab.close()
