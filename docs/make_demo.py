"""Make the tables and images of docs/demo.md from its finished sweeps; docs/demo.md says how they are run.

python docs/make_demo.py results
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lora_lab.contact_sheets import Line, sheet
from lora_lab.demo.drawing import BACKGROUND_RGB
from lora_lab.store import Checkpoint, Preview, RunFolder, read_record

DOCS = Path(__file__).parent
SEEDS = (1, 2, 3)
EPOCHS = (3, 6, 12, 24, 36)
SETTINGS = (
    ("the reference", "long"),
    ("batch 4", "batch-4"),
    ("learning rate 1e-4", "lr-1e-4"),
    ("learning rate 1e-3", "lr-1e-3"),
    ("learning rate 1e-2", "lr-1e-2"),
    ("learning rate 3e-2", "lr-3e-2"),
    ("AdamW 3e-3, alpha 1", "alpha-1"),
    ("Lion 3e-3, alpha 8", "lion-alpha-8"),
    ("Lion 3e-3, alpha 1", "lion-alpha-1"),
    ("Adafactor, relative step", "adafactor"),
)


def checkpoint(folder: RunFolder, epoch: int) -> Checkpoint | None:
    """The checkpoint at the end of an epoch, if the run came so far."""
    return next((item for item in read_record(folder).checkpoints if item.epoch == epoch), None)


def follows(folder: RunFolder, preview: Preview) -> bool:
    """Whether the upper corners of a preview are nearest to the background colour that its prompt names."""
    pixels = np.asarray(Image.open(folder.path / preview.file).convert("RGB"), dtype=float)
    found = np.concatenate([pixels[:8, :8], pixels[:8, -8:]], axis=1).reshape(-1, 3)
    distance = {
        name: float(np.abs(np.median(found, axis=0) - rgb).sum()) for name, rgb in BACKGROUND_RGB.items()
    }
    return f"{min(distance, key=lambda name: distance[name])} background" in preview.text


def row(label: str, folders: Sequence[RunFolder], epoch: int) -> Line:
    """Print one line of a table and give its line of an image."""
    found = [(folder, item) for folder in folders if (item := checkpoint(folder, epoch))]
    scores = [item.metrics.get("likeness") or 0.0 for _, item in found]
    losses = [item.loss for _, item in found if item.loss is not None]
    kept = [follows(folder, preview) for folder, item in found for preview in item.previews]
    shown = " ".join(f"{score:.0f}" for score in scores)
    mean, share = statistics.mean(scores), statistics.mean(kept)
    print(f"| {label} | {shown} | {mean:.0f} | {share:.0%} | {statistics.mean(losses):.3f} |")
    tiles = [folder.path / item.file for folder, point in found for item in point.previews if item.seed == 7]
    return Line(label, f"likeness {shown}\nmean {mean:.0f}\nbackground {share:.0%}", tiles)


def image(name: str, title: str, rows: Sequence[tuple[str, Sequence[RunFolder], int]]) -> None:
    """Print a table in Markdown and draw its image."""
    print(
        f"\n{title}\n\n| | likeness, seeds 1 2 3 | mean | background as asked | loss |\n|---|---|---|---|---|"
    )
    heads = [f"seed {seed}, prompt {prompt}" for seed in SEEDS for prompt in (1, 2, 3)]
    sheet(DOCS / name, title, heads, [row(*item) for item in rows])


def main(results: Path) -> None:
    """Make the three tables and images."""

    def of(run: str) -> list[RunFolder]:
        return [RunFolder(results / f"effects-{seed}" / "demo_effects" / run) for seed in SEEDS]

    few = [RunFolder(results / "demo_few" / f"seed={seed}") for seed in SEEDS]
    image(
        "demo_epochs.png",
        "Thirty images, by length of training",
        [(f"epoch {epoch}", of("long"), epoch) for epoch in EPOCHS],
    )
    image(
        "demo_few.png",
        "Three images with ten times the repeats, by length of training",
        [(f"epoch {epoch}", few, epoch) for epoch in EPOCHS],
    )
    image(
        "demo_settings.png", "Single settings at epoch 12", [(label, of(run), 12) for label, run in SETTINGS]
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
