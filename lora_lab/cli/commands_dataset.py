"""Commands over a folder of images, before it is trained on."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command, add_overrides


def _folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR", help="folder of images, of `15_trigger class` folders, or TOML"
    )
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="everything, for programs")


def _check(parser: argparse.ArgumentParser) -> None:
    _folder(parser)
    parser.add_argument("--trigger", default="", metavar="WORD", help="the word that is to call the images")
    parser.add_argument("-o", "--output", metavar="FILE", help="the page (default: NAME-check.html here)")


def _buckets(parser: argparse.ArgumentParser) -> None:
    _folder(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="also draw them: a .png or .svg file")


_FOR = """
The settings are those of a run on SDXL; base_model=sd15, dataset.resolution=768 and so on change that."""

VERBS: tuple[Command, ...] = (
    Command(
        "check",
        "one page with thumbnails: what is wrong, odd, cut away, or said twice",
        """Look at every image and caption of a folder, and write one HTML page that needs nothing beside it:
unreadable, tiny and nearly equal images, aspect ratios and what each crop takes, odd captions and tokens that
are not read, the trigger word, tag counts, and tags that stand with the trigger always and so fuse with it.
The folder itself is not touched."""
        + _FOR
        + "\nExit code: 0 it can be trained on, 1 something keeps a run from starting.",
        "  lora-lab dataset check photos\n  lora-lab dataset check photos base_model=sd15 --trigger mikocat",
        _check,
        "lora_lab.cli.dataset:check",
    ),
    Command(
        "buckets",
        "aspect-ratio buckets as a table, and as a picture",
        "Show the aspect-ratio buckets of a folder: images, samples per epoch, and what the crop takes."
        + _FOR,
        "  lora-lab dataset buckets photos base_model=sd15 -o buckets.png",
        _buckets,
        "lora_lab.cli.dataset:buckets",
    ),
)

DATASET: tuple[Command, ...] = (
    Command(
        "dataset",
        "check, prepare, balance and caption a folder of images",
        "Work on a folder of images before it is trained on. Nothing is moved, renamed or deleted.",
        "  lora-lab dataset check photos",
        verbs=VERBS,
    ),
)
