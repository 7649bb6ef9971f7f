"""The gallery over 10,000 previews in a real Chromium: first paint, the next item, memory.

Targets: first paint under 1 s, the next item to score under 100 ms after the key, memory under 500 MB (of the
server, and of the page's renderer). The previews are 512x512 PNGs of 200 KB, each with content of its own.
Needs Chromium; writes about 2 GB to a temporary folder, or to --folder, where a second run finds it again.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import report
import yaml
from PIL import Image
from playwright.sync_api import sync_playwright

from lora_lab.anchors import anchor_folder, anchor_name
from lora_lab.config import RunConfig
from lora_lab.store import Checkpoint, Preview, RunRecord, SweepFolder, preview_name, write_record

PAINTED = "first-contentful-paint"
LOADED = "() => performance.timing.loadEventEnd - performance.timing.navigationStart"
WATCH = """() => {
  const page = document.querySelector("#score, #compare");
  window.waits = [];
  let since = 0;
  addEventListener("keydown", (event) => { since = event.timeStamp; }, true);
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
    window.waits.push(performance.now() - since);
  }))).observe(page, { attributes: true, attributeFilter: ["data-position"] });
}"""
"""Measures from a key to the frame in which the next item is painted."""


def main() -> None:
    """Make the sweep, serve it, and measure."""
    parser = report.parser(__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--checkpoints", type=int, default=10)
    parser.add_argument("--prompts", type=int, default=10)
    parser.add_argument("--items", type=int, default=40, help="items that are scored")
    parser.add_argument("--folder", type=Path, help="keep the made-up sweep here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        results = given.folder or Path(place)
        _make(SweepFolder(results / "many"), given)
        rows = _measure(results, given.items)
    report.finish(
        given,
        f"The gallery, {given.runs * given.checkpoints * given.prompts} previews of 512x512",
        report.processor(),
        ["what", "measured", "target"],
        rows,
    )


def _images(count: int = 48) -> list[bytes]:
    """PNGs that compress about as rendered images do."""
    made = []
    for number in range(count):
        draw = np.random.default_rng(number)
        small = Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        smooth = np.asarray(small.resize((512, 512), Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = smooth + draw.integers(-2, 3, smooth.shape)
        file = Path(tempfile.gettempdir()) / f"lora-lab-bench-{os.getpid()}.png"
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file)
        made.append(file.read_bytes())
        file.unlink()
    return made


def _own(png: bytes, text: str) -> bytes:
    """The image with a text chunk, so that no two files are the same."""
    body = b"tEXt" + b"parameters\0" + text.encode()
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return png[:33] + chunk + png[33:]


def _make(sweep: SweepFolder, given: Any) -> None:
    if sweep.path.is_dir():
        return
    images = _images()
    for number in range(given.runs):
        run = sweep.run(f"run-{number:03d}")
        run.path.mkdir(parents=True)
        config = RunConfig(name=run.name)
        config.network.network_alpha = float(number % 5 + 1)
        config.train.train_batch_size = number % 4 + 1
        config.preview.prompts = [f"prompt {prompt}" for prompt in range(given.prompts)]
        run.config_file.write_text(yaml.safe_dump(asdict(config)))
        record = RunRecord(status="done", overrides=[f"network.network_alpha={number % 5 + 1}"])
        for epoch in range(1, given.checkpoints + 1):
            tag = f"{epoch:06d}"
            run.previews(tag).mkdir(parents=True)
            shown = []
            for prompt in range(given.prompts):
                file = run.previews(tag) / preview_name(prompt, 1234, 1.0)
                file.write_bytes(
                    _own(images[(number * 7 + epoch * 3 + prompt) % 48], f"{run.name} {tag} {prompt}")
                )
                shown.append(Preview(str(file.relative_to(run.path)), prompt, 1234, 1.0, f"prompt {prompt}"))
            record.checkpoints.append(Checkpoint(tag, "x", epoch, epoch, epoch, previews=shown))
        write_record(run, record)
        base = anchor_folder(run, config)
        base.mkdir(parents=True, exist_ok=True)
        for prompt in range(given.prompts):
            (base / anchor_name(prompt, 1234)).write_bytes(images[prompt])
    shutil.rmtree(sweep.path.parent / ".review", ignore_errors=True)


def _measure(results: Path, items: int) -> list[list[str]]:
    command = [sys.executable, "-m", "lora_lab", "review", "--results", str(results), "--port", "0"]
    started = time.perf_counter()
    served = subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True)
    try:
        assert served.stdout is not None
        address = served.stdout.readline().split()[4].rstrip("/")
        rows = [["start, until the address is printed", f"{time.perf_counter() - started:.2f} s", "1 s"]]
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--enable-precise-memory-info"],
            )
            rows += _paints(browser, address) + _items(browser, address, items)
        server = psutil.Process(served.pid).memory_info().rss
        rows.append(["memory of the server afterwards", f"{server / 2**20:.0f} MB", "500 MB"])
        return rows
    finally:
        served.terminate()
        served.wait(10)


PAGES = {"list of sweeps": "/", "matrix": "/sweep/many/look", "form": "/sweep/many/score"}


def _paints(browser: Any, address: str) -> list[list[str]]:
    rows = []
    for name, path in PAGES.items():
        for visit in ("first", "second"):
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.goto(address + path)
            page.wait_for_load_state("networkidle")
            loaded = page.evaluate(LOADED) / 1e3
            text = f"{_painted(page):.2f} s (all loaded {loaded:.2f} s)"
            rows.append([f"first paint, {name}, {visit} visit", text, "1 s"])
            if visit == "second":
                rows.append([f"memory of the page, {name}", _renderer(), "500 MB"])
            page.close()
    return rows


def _painted(page: Any) -> float:
    """Seconds from the navigation to the first paint; a page without a window paints late at times."""
    while True:
        found = page.evaluate(
            f"() => performance.getEntriesByName('{PAINTED}').map((item) => item.startTime)"
        )
        if found:
            return float(found[0]) / 1e3
        page.wait_for_timeout(50)


def _renderer() -> str:
    """Memory of the largest renderer process of the browser."""
    own = psutil.Process().children(recursive=True)
    found = [child for child in own if "--type=renderer" in " ".join(child.cmdline())]
    return f"{max(child.memory_full_info().pss for child in found) / 2**20:.0f} MB"


def _items(browser: Any, address: str, items: int) -> list[list[str]]:
    rows = []
    for mode, key in (("score", "7"), ("compare", "ArrowLeft")):
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(f"{address}/sweep/many/{mode}")
        page.fill("[name=rater]", f"bench {mode}")
        begun = time.perf_counter()
        page.keyboard.press("Enter")
        page.wait_for_selector(f'#{mode}[data-position="0"]')
        first = time.perf_counter() - begun
        rows.append([f"first paint, {mode}", f"{_painted(page):.2f} s (first item {first:.2f} s)", "1 s"])
        page.evaluate(WATCH)
        for position in range(items):
            # A person looks for a second at least; the next items are loaded meanwhile.
            page.wait_for_timeout(1000)
            page.keyboard.press(key)
            if mode == "score":
                page.keyboard.press("Enter")
            page.wait_for_selector(f'#{mode}[data-position="{position + 1}"]')
        page.wait_for_timeout(100)
        waits = sorted(page.evaluate("() => window.waits"))
        text = f"{statistics.median(waits):.0f} ms median, {waits[-1]:.0f} ms longest of {len(waits)}"
        rows.append([f"next item, {mode}, after the key", text, "100 ms"])
        rows.append([f"memory of the page, {mode}", _renderer(), "500 MB"])
        page.context.close()
    return rows


if __name__ == "__main__":
    main()
