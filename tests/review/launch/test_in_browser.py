"""A whole round in a real browser, without a terminal: images, plan, training, two sessions, export."""

import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lora_lab.review.web.app import create_app
from lora_lab.store import SweepFolder
from tests.material import write_images
from tests.review.conftest import Recorder, watched

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SHORT = [
    "train.max_train_steps=4",
    "train.save_every_n_epochs=0",
    "train.save_every_n_steps=2",
    "preview.steps=2",
    "preview.seeds=[3]",
    "metric=basic",
]


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """In place of the fixture of the same name: a gallery of a folder of results that is not there yet."""
    monkeypatch.chdir(tmp_path)
    return Recorder(create_app(Path("results")))


@pytest.fixture
def tab(chromium: Any, address: str) -> Iterator[Any]:
    """A page of the gallery; the test fails where the browser reports an error."""
    with watched(chromium, address, 120_000) as (made, errors):
        yield made
    # Scores given in no time are refused with 409, which the browser calls an error.
    assert [text for text in errors if "409" not in text] == []


def place(tab: Any) -> str:
    """Which item of a session is shown; the address where no session is."""
    shown = re.search(r"[0-9]+ of [0-9]+", tab.inner_text("body")) if "/score/" in tab.url else None
    return shown[0] if shown else str(tab.url)


def score_all(tab: Any, judge: random.Random) -> int:
    """Score everything that a session shows, by keys; how many items there were."""
    shown = 0
    while "/score/" in tab.url:
        before, score = place(tab), str(judge.randrange(10, 99))
        deadline = time.monotonic() + 60
        while place(tab) == before:
            assert time.monotonic() < deadline, before
            # A score in no time is not taken: one has to have looked; and a page may still be loading.
            tab.wait_for_timeout(700)
            for key in (*score, "Enter"):
                tab.keyboard.press(key)
            tab.wait_for_timeout(200)
        shown += 1
        assert shown < 100
    return shown


def test_from_images_to_an_export(tab: Any, tmp_path: Path) -> None:
    write_images(tmp_path / "photos", 3)
    tab.goto("/")
    tab.click("text=New sweep")
    values = {"name": "mine", "base": "demo", "images": "photos", "trigger": "miko"}
    for name, value in values.items():
        tab.fill(f"input[name={name}]", value)
    tab.click("text=Write the file")
    assert "alpha-1" in tab.inner_text("pre")
    tab.fill("textarea", "\n".join(SHORT))
    tab.click("text=Show the plan")
    tab.click("text=Start now")
    deadline = time.monotonic() + 400
    while not re.search(r"mine\s+done", text := tab.inner_text("main")):
        assert "failed" not in text and time.monotonic() < deadline, text
        tab.wait_for_timeout(1000)
        tab.goto("/queue")
    tab.click("text=mine")
    tab.click("text=Score, blind")
    tab.fill("input[name=rater]", "Ann")
    tab.click("text=Begin")
    judge = random.Random(5)
    assert score_all(tab, judge) >= 10
    tab.click("text=Begin the second session")
    assert score_all(tab, judge) >= 4
    tab.goto("/sweep/mine/verdict/")
    assert "Best so far" in tab.inner_text("#answer")
    tab.goto("/sweep/mine/export")
    tab.click("button:has-text('Export')")
    assert ".safetensors" in tab.inner_text("table")
    exported = list(SweepFolder(tmp_path / "results" / "mine").exports.rglob("*.safetensors"))
    assert len(exported) == 1
