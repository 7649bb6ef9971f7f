"""What stands beside the previews to judge them by: the bare base model's images and training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lora_lab.review.browse.matrix import PROMPT, SEED
from lora_lab.review.browse.runs import Run, Sweep


def box(run: Run, longest: int) -> tuple[int, int]:
    """Width and height in which a run's image is shown, the longer side being `longest`."""
    width, height = run.size
    factor = longest / max(width, height)
    return max(round(width * factor), 1), max(round(height * factor), 1)


@dataclass(frozen=True)
class Beside:
    """An image to judge by: the bare base model's, or one that was trained on."""

    label: str
    image: str
    size: tuple[int, int]
    words: str = ""


def beside(sweep: Sweep, runs: Sequence[Run], fixed: Mapping[str, str]) -> tuple[list[Beside], list[Beside]]:
    """The bare base model's images of the prompts and seeds that are shown, and training images."""
    found: dict[str, Beside] = {}
    models = {model_name(run) for run in runs}
    for run in runs:
        for prompt, seed, name, file in run.base_images():
            asked = {PROMPT: str(prompt), SEED: str(seed)}
            wanted = all(fixed.get(key, "") in ("", value) for key, value in asked.items())
            if wanted and name not in found and file.is_file():
                label = f"prompt {prompt + 1}" + (f", {model_name(run)}" if len(models) > 1 else "")
                found[name] = Beside(label, name, run.size)
    training = [Beside("", name, runs[0].size if runs else (1, 1)) for name in sweep.training]
    return list(found.values()), training


def model_name(run: Run) -> str:
    """The base model's file or folder name."""
    path = run.config.base_model.path if run.config else ""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]
