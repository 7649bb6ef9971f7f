"""A small sweep on disk, made by hand: settings, checkpoints, losses, times and scores known exactly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lora_lab import config
from lora_lab.files import append_line, write_json
from lora_lab.store import (
    Checkpoint,
    Preview,
    RunRecord,
    SweepFolder,
    append_score_line,
    preview_name,
    write_record,
)

IMAGE = (64, 96)
RUNS: dict[str, tuple[str, ...]] = {
    "base": (),
    "base-r2": ("train.seed=8",),
    "alpha-16": ("network.network_alpha=16",),
    "alpha-64": ("network.network_alpha=64",),
    "lion": ("optimizer=lion",),
    "lion-16": ("optimizer=lion", "network.network_alpha=16"),
    "broken": ("network.network_alpha=128",),
}
SCORES = {
    "base": (70.0, 90.0), "base-r2": (60.0, 80.0), "alpha-16": (50.0, 60.0), "alpha-64": (40.0, 20.0),
    "lion": (55.0, 85.0), "lion-16": (5.0, 0.0),
}  # fmt: skip
"""Of the checkpoints after 10 and 20 epochs."""


def sweep(root: Path, *, scored: bool = True, images: bool = False) -> SweepFolder:
    """Write the sweep to `root/made`; with `images`, previews of one colour per run."""
    folder = SweepFolder(root / "made")
    folder.path.mkdir(parents=True)
    folder.sweep_file.write_text("question: Does alpha matter?\n", encoding="utf-8")
    write_json(folder.plan_file, {"rows": [{"name": name} for name in RUNS]})
    for number, (name, overrides) in enumerate(RUNS.items()):
        write_run(folder, name, overrides, minutes=10.0 + number, images=images)
    if scored:
        for name, values in SCORES.items():
            for tag, value in zip(("000010", "000020"), values, strict=True):
                give(folder, name, tag, "anna", value)
    return folder


def write_run(
    folder: SweepFolder, name: str, overrides: Sequence[str], minutes: float, images: bool = False
) -> None:
    """One run of 2 checkpoints, 40 updates and `minutes` of training; `broken` diverged at once."""
    run = folder.run(name)
    made = config.compose(
        [
            "base_model=sd15",
            "optimizer=adamw",
            "train.seed=7",
            "network.network_alpha=1",
            "train.max_train_epochs=20",
            *overrides,
            "optimizer.learning_rate=1e-3",
        ],
        checked=False,
    )
    made.name, made.sweep = name, folder.name
    config.dump(made, run.config_file)
    done = name != "broken"
    points = [
        _checkpoint(folder, name, epoch, minutes * 60 * epoch / 20, images)
        for epoch in ((10, 20) if done else ())
    ]
    record = RunRecord(
        status="done" if done else "diverged",
        reason="" if done else "the loss is not a number from update 3 on",
        overrides=list(overrides),
        images=10,
        updates_per_epoch=2,
        total_steps=40,
        seconds={"load": 6.0, "train": 60 * minutes, "preview": 12.0} if done else {},
        peak_memory_bytes=(8 + len(overrides)) * 2**30,
        device="cuda:0",
        versions={"lora_lab": "0.1.0", "torch": "2.13.0"},
        checkpoints=points,
    )
    write_record(run, record)
    for step in range(1, 41 if done else 3):
        append_line(
            run.steps_file, {"step": step, "epoch": (step + 1) // 2, "samples": step, "loss": 1.0 / step}
        )


def _checkpoint(folder: SweepFolder, name: str, epoch: int, seconds: float, images: bool) -> Checkpoint:
    tag, run = f"{epoch:06d}", folder.run(name)
    lora = run.path / "checkpoints" / f"{name}-{tag}.safetensors"
    lora.parent.mkdir(parents=True, exist_ok=True)
    lora.touch()
    shots = []
    for prompt in range(2 if images else 0):
        file = f"previews/{tag}/{preview_name(prompt, 7, 1.0)}"
        place = run.path / file
        place.parent.mkdir(parents=True, exist_ok=True)
        shade = (37 * len(name)) % 256
        Image.new("RGB", IMAGE, (shade, 90 + 60 * prompt, 255 - shade)).save(place)
        shots.append(
            Preview(file, prompt, 7, 1.0, text=f"prompt number {prompt}", metrics={"likeness": 50.0})
        )
    return Checkpoint(
        tag,
        f"checkpoints/{name}-{tag}.safetensors",
        epoch,
        epoch * 2,
        epoch * 10,
        seconds=seconds,
        size_bytes=2**20 * (4 if "16" in name else 8),
        metrics={"likeness": 30.0 + len(name) + epoch},
        previews=shots,
    )


def give(folder: SweepFolder, run: str, tag: str, rater: str, value: float, **more: Any) -> str:
    """One judgement in the sweep's log."""
    return append_score_line(
        folder, "score", session="s", rater=rater, run=run, tag=tag, position=0, value=value, **more
    )
