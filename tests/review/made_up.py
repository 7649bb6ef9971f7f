"""A made-up sweep: run folders, records and tiny images as training would leave them, in milliseconds."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from lora_lab import config
from lora_lab.anchors import anchor_folder, anchor_name
from lora_lab.store import Checkpoint, Preview, RunFolder, RunRecord, SweepFolder, preview_name, write_record

RUNS: dict[str, Sequence[str]] = {
    "base-run": [],
    "alpha-sixteen": ["network.network_alpha=16"],
    "lion-fast": ["optimizer.name=lion", "optimizer.learning_rate=0.01"],
    "batch-four": ["train.train_batch_size=4"],
}
"""Names of runs and what each changes; the names are found nowhere else in pages."""
PROMPTS = ("miko, smile", "miko, hat")
SEEDS = (7,)
STRENGTHS = (1.0,)
TAGS = ("000005", "000010")


def write_image(path: Path, number: int, size: tuple[int, int] = (32, 48), text: str = "") -> None:
    """Write a PNG of one colour with a darker disc; each number looks different."""
    hue = number * 0.381966 % 1
    red, green, blue = (round(255 * value) for value in colorsys.hsv_to_rgb(hue, 0.5, 0.8))
    image = Image.new("RGB", size, (red, green, blue))
    draw = ImageDraw.Draw(image)
    side = min(size) // 2
    left = number * 5 % max(size[0] - side, 1)
    draw.ellipse((left, size[1] // 4, left + side, size[1] // 4 + side), (red // 2, green // 2, number % 256))
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    if text:
        info.add_text("parameters", text)
    image.save(path, pnginfo=info)


def write_run(sweep: SweepFolder, name: str, overrides: Sequence[str] = (), **record: Any) -> RunFolder:
    """Write a run's config and record."""
    run = sweep.run(name)
    made = config.RunConfig(name=name)
    for text in overrides:
        key, value = text.split("=")
        group, field = key.split(".")
        setattr(getattr(made, group), field, yaml.safe_load(value))
    made.preview.prompts = list(PROMPTS)
    made.preview.seeds, made.preview.strengths = list(SEEDS), list(STRENGTHS)
    # JSON is YAML that is written in a hundredth of the time; there are hundreds of runs.
    run.path.mkdir(parents=True, exist_ok=True)
    run.config_file.write_text(json.dumps(config.as_dict(made)))
    write_record(run, RunRecord(**{"status": "done", "overrides": list(overrides), **record}))
    return run


def checkpoint(
    run: RunFolder, tag: str, number: int, size: tuple[int, int] = (32, 48), **values: Any
) -> Checkpoint:
    """A checkpoint with all its previews written; images are numbered from `number`."""
    previews = []
    for prompt, text in enumerate(PROMPTS):
        for seed in SEEDS:
            for strength in STRENGTHS:
                file = run.previews(tag) / preview_name(prompt, seed, strength)
                write_image(file, number + len(previews), size, f"{text}\nLora: {run.name}-{tag}")
                previews.append(
                    Preview(
                        str(file.relative_to(run.path)),
                        prompt,
                        seed,
                        strength,
                        text,
                        drawn=f"{text} {seed} {strength:g}",
                    )
                )
    step = int(tag.removeprefix("step"))
    lora = run.path / "checkpoints" / f"{run.name}-{tag}.safetensors"
    lora.parent.mkdir(exist_ok=True)
    lora.touch()
    fields = {"epoch": step, "step": 10 * step, "samples": 20 * step, "loss": 0.1, "previews": previews}
    return Checkpoint(tag, f"checkpoints/{run.name}-{tag}.safetensors", **{**fields, **values})


def anchors(sweep: SweepFolder, run: RunFolder) -> None:
    """Write the bare base model's images for a run's prompts, and three training images."""
    base = anchor_folder(run, config.load(run.config_file, checked=False))
    for prompt in range(len(PROMPTS)):
        for seed in SEEDS:
            write_image(base / anchor_name(prompt, seed), 200 + prompt, text="Model: thebase")
    for number in range(3):
        write_image(sweep.anchors / "pictures-00aa11bb" / f"{number}.png", 220 + number)


def make_sweep(folder: Path, runs: dict[str, Sequence[str]] | None = None) -> SweepFolder:
    """Write a sweep with two checkpoints per run, one run that failed, and one that is another's twin."""
    sweep = SweepFolder(folder)
    for number, (name, overrides) in enumerate((runs or RUNS).items()):
        run = write_run(sweep, name, overrides)
        made = [checkpoint(run, tag, 20 * number + 10 * place) for place, tag in enumerate(TAGS)]
        write_run(sweep, name, overrides, checkpoints=made)
    write_run(sweep, "out-of-memory", ["train.train_batch_size=64"], status="failed", reason="out of memory")
    write_run(sweep, "twin", ["network.network_alpha=16"], same_as="alpha-sixteen", status="planned")
    anchors(sweep, sweep.run(next(iter(runs or RUNS))))
    return sweep
