"""The demo's training images: the subject as a folder that kohya's trainers and ours read alike."""

from __future__ import annotations

from pathlib import Path
from random import Random

from lora_lab.demo.drawing import render
from lora_lab.demo.portraits import TRIGGER, Portrait, subject, tags
from lora_lab.files import unwritable

REPEATS = 15


def folder_in(folder: Path) -> Path:
    """The folder inside `folder` that holds the images."""
    return Path(folder) / f"{REPEATS}_{TRIGGER} girl"


def write_dataset(folder: Path, images: int = 30, seed: int = 0, size: int = 64) -> Path:
    """Writes `folder/15_mikocat girl/000.png` with `000.txt` and so on; returns that folder.

    The same arguments give the same files. Files of an earlier call with the same names are replaced.

    Raises:
        RunFolderError: The folder cannot be written to, or the disk is full.
    """
    target = folder_in(folder)
    rng = Random(f"{TRIGGER} {seed}")
    try:
        target.mkdir(parents=True, exist_ok=True)
        for i in range(images):
            portrait = subject(rng)
            render(portrait, size).save(target / f"{i:03d}.png")
            (target / f"{i:03d}.txt").write_text(subject_caption(portrait) + "\n", encoding="utf-8")
    except OSError as error:
        raise unwritable(target, error) from error
    return target


def subject_caption(portrait: Portrait) -> str:
    """The trigger, then the tags of what varies; the subject's own features stay unnamed."""
    return ", ".join([TRIGGER, *tags(portrait)])
