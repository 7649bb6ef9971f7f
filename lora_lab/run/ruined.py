"""Previews that show nothing any more: their run ends at that checkpoint, and learns nothing by going on."""

from pathlib import Path

from PIL import Image

from lora_lab.anchors import anchor_name
from lora_lab.effective.previews import wanted_shots
from lora_lab.metrics.basic import flags
from lora_lab.run.previews import anchors_of, images_of
from lora_lab.run.task import Task
from lora_lab.store import Checkpoint

SHOW_NOTHING = {"black": "black", "flat": "of one flat colour"}
"""Flags of an image with nothing on it, in words. Latents that are not numbers are rendered black."""


def ruined(task: Task, checkpoint: Checkpoint) -> str:
    """Why a checkpoint's previews are to end its run; '' where they are not.

    Every preview with the LoRA in it has to be black or flat. That may be meant: so none of the base model's
    own images of the same prompts and seeds may be, and none of the training images that lie beside them.
    Where the base model's images are missing (`preview.anchors=false`), nobody can tell.
    """
    wanted = wanted_shots(task.resolved) if task.resolved.preview.stop_black else {}
    # Further base models come after training: by then it is too late to stop.
    asked = {
        drawn
        for drawn, (prompt, _, strength) in wanted.items()
        if strength and not task.resolved.shown_on(prompt)
    }
    shown = [item for item in checkpoint.previews if item.drawn in asked]
    found = {flag for item in shown for flag in item.flags} & set(SHOW_NOTHING)
    if not asked or {item.drawn for item in shown} < asked:
        return ""
    if not all(set(item.flags) & found for item in shown) or _may_be_meant(task):
        return ""
    words = " or ".join(word for flag, word in SHOW_NOTHING.items() if flag in found)
    where = f"epoch {checkpoint.epoch}" if checkpoint.tag.isdecimal() else f"step {checkpoint.step}"
    return (
        f"previews {words} at {where}: all {len(shown)}, and none of the base model's; "
        "preview.stop_black=false trains on"
    )


def _may_be_meant(task: Task) -> bool:
    """Whether the base model or the training images show nothing, too, or that is not known."""
    assert task.prepared
    own = task.resolved.preview
    place = anchors_of(task.folder, task.resolved)
    of_base = [place / anchor_name(prompt, seed) for prompt in range(len(own.prompts)) for seed in own.seeds]
    trained_on = images_of(task.folder, task.prepared.training_data).glob("*.png")
    try:
        return not own.anchors or any(map(_shows_nothing, [*of_base, *trained_on]))
    except OSError:
        return True


def _shows_nothing(file: Path) -> bool:
    with Image.open(file) as image:
        return bool(set(flags(image, None, 0.0)) & set(SHOW_NOTHING))
