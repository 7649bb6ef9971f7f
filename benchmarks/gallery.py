"""How long the gallery takes to show a large sweep in a real browser, and how much memory it needs.

Targets for 10,000 previews: first paint of the matrix under 1 s, memory of the server under 500 MB.
Needs Chromium; about 1 GB of disk for the made-up sweep.
"""

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import report
from PIL import Image
from playwright.sync_api import sync_playwright

from lora_lab import config
from lora_lab.store import Checkpoint, Preview, RunRecord, SweepFolder, epoch_tag, preview_name, write_record

SIDE = 512
CONTENTS = 20
SERVE = (
    "import sys; from pathlib import Path; import uvicorn; from lora_lab.review.app import create_app; "
    "uvicorn.run(create_app(Path(sys.argv[1])), port=int(sys.argv[2]), log_level='warning')"
)

IN_SIGHT = """() => {
    const seen = [...document.querySelectorAll('td img')].map(image => [image, image.getBoundingClientRect()])
        .filter(([, box]) => box.top < innerHeight && box.left < innerWidth);
    const paint = performance.getEntriesByName('first-contentful-paint')[0];
    const all = seen.length && seen.every(([image]) => image.complete);
    return paint && all && [paint.startTime, performance.now()];
}"""


def main() -> None:
    """Make the sweep, serve it afresh for each measurement, and look at it."""
    parser = report.parser(__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--checkpoints", type=int, default=10)
    parser.add_argument("--prompts", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        results = Path(place)
        make_sweep(results / "large", given)
        rows = [
            measure(results, "first visit, nothing cached", scroll=False),
            measure(results, "server started again, thumbnails on disk", scroll=False),
            measure(results, "the same, then scrolled to the end", scroll=True),
        ]
    previews = given.runs * given.checkpoints * given.prompts
    head = ["visit", "first paint s", "pictures in sight s", "second visit s", "server memory MB"]
    report.finish(given, f"Gallery of {previews} previews, {SIDE} x {SIDE}", report.processor(), head, rows)


def make_sweep(folder: Path, given: argparse.Namespace) -> None:
    """Write run folders whose pictures all have a content of their own."""
    sweep, contents = SweepFolder(folder), [_png(number) for number in range(CONTENTS)]
    made = config.RunConfig()
    made.preview.prompts = [f"prompt {number}" for number in range(given.prompts)]
    config.dump(made, sweep.run("000").config_file)
    text = sweep.run("000").config_file.read_text()
    for number in range(given.runs):
        run = sweep.run(f"{number:03}")
        run.path.mkdir(exist_ok=True)
        run.config_file.write_text(text.replace("seed: 23", f"seed: {number}", 1))
        checkpoints = []
        for epoch in range(1, given.checkpoints + 1):
            tag, previews = epoch_tag(epoch), []
            run.previews(tag).mkdir(parents=True)
            for prompt in range(given.prompts):
                file = run.previews(tag) / preview_name(prompt, 0, 1.0)
                # Readers stop at the end of the picture; what follows makes the content another one.
                file.write_bytes(contents[(number + epoch) % CONTENTS] + str(file).encode())
                previews.append(Preview(str(file.relative_to(run.path)), prompt, 0, 1.0, f"prompt {prompt}"))
            checkpoints.append(Checkpoint(tag, "", epoch, 100 * epoch, 100 * epoch, 0.1, previews=previews))
        write_record(run, RunRecord("done", overrides=[f"train.seed={number}"], checkpoints=checkpoints))


def _png(number: int) -> bytes:
    """A picture that is about as hard to compress as a painted one."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    noisy = np.asarray(small, dtype=np.int16) + rng.integers(-1, 2, (SIDE, SIDE, 3))
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file.name)
        return Path(file.name).read_bytes()


@contextmanager
def serving(results: Path) -> Iterator[tuple[str, int]]:
    """A gallery in a process of its own: its address and process number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", SERVE, str(results), str(port)])
    try:
        for _ in range(600):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/sweep/large/look", server.pid
    finally:
        server.terminate()
        server.wait()


def measure(results: Path, visit: str, *, scroll: bool) -> list[str]:
    """One visit of a server that was just started."""
    with serving(results) as (address, process), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        first, seen = _visit(page, address)
        again, _ = _visit(page, address)
        if scroll:
            _scroll(page)
        memory = _memory(process)
        browser.close()
    return [visit, f"{first:.2f}", f"{seen:.2f}", f"{again:.2f}", f"{memory:.0f}"]


def _visit(page: Any, address: str) -> tuple[float, float]:
    """Seconds until the first paint, and until all pictures in sight are there."""
    page.goto(address, wait_until="commit")
    while not (found := page.evaluate(IN_SIGHT)):
        time.sleep(0.02)
    return found[0] / 1000, found[1] / 1000


def _scroll(page: Any) -> None:
    while page.locator(".more a").count():
        page.locator(".scroll").evaluate("box => box.scrollTo(0, box.scrollHeight)")
        time.sleep(0.2)
    page.wait_for_load_state("networkidle")


def _memory(process: int) -> float:
    """Largest resident memory of a process so far, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
