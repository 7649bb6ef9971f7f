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


def _balance(parser: argparse.ArgumentParser) -> None:
    _folder(parser)
    parser.add_argument(
        "--by",
        choices=("folders", "buckets"),
        default="folders",
        help="what gets equal samples: folders, each a concept (default), or aspect-ratio buckets",
    )


def _prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a plain folder of images; sub-folders are concepts")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where the new folders go")
    parser.add_argument("--trigger", default="", metavar="WORD", help="the word that is to call the images")
    parser.add_argument("--class", dest="class_word", default="", metavar="WORD", help="what they are: girl")
    parser.add_argument("--repeats", type=int, default=10, metavar="N", help="of each image (default: 10)")
    parser.add_argument("--caption-extension", default=".txt", metavar="EXT", help="default: .txt")
    parser.add_argument("--link", action="store_true", help="hard links in place of copies of the images")
    parser.add_argument("--json", action="store_true", help="what was written, for programs")


def _tags(parser: argparse.ArgumentParser, option: str, what: str) -> None:
    parser.add_argument(option, action="append", default=[], metavar="TAG", help=what)


def _caption(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder of images, or of folders of images")
    _tags(parser, "--add", "at the end, where it is missing (may be given again)")
    _tags(parser, "--add-first", "in front, where it is missing")
    _tags(parser, "--remove", "wherever it stands")
    parser.add_argument(
        "--replace", action="append", default=[], metavar="OLD=NEW", help="one tag by another"
    )
    _tags(parser, "--first", "to the front, where it stands; several in this order")
    parser.add_argument("--sort", choices=("frequency", "alphabet"), default="", help="the tags behind those")
    parser.add_argument("--unique", action="store_true", help="each tag once in a caption")
    parser.add_argument("--spaces", action="store_true", help="blanks for underscores")
    parser.add_argument(
        "--quality", metavar="MODEL", help="add the quality tags that a model wants, in front, such as pony"
    )
    parser.add_argument(
        "--tagger",
        metavar="FOLDER",
        help="ask a WD tagger: a folder of model.onnx and selected_tags.csv",
    )
    parser.add_argument("--threshold", type=float, default=0.35, metavar="P", help="of tags (default: 0.35)")
    parser.add_argument(
        "--character-threshold", type=float, default=0.85, metavar="P", help="of characters (default: 0.85)"
    )
    parser.add_argument(
        "--existing",
        choices=("keep", "append", "replace"),
        default="keep",
        help="what the tagger does to captions that are there (default: keep)",
    )
    parser.add_argument("--caption-extension", default=".txt", metavar="EXT", help="default: .txt")
    parser.add_argument("--write", action="store_true", help="do it; without it the changes are only shown")
    parser.add_argument("--undo", action="store_true", help="take back what --write did last")
    parser.add_argument("--json", action="store_true", help="the changes, for programs")


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
        "aspect-ratio buckets as a table, and as an image",
        "Show the aspect-ratio buckets of a folder: images, samples per epoch, and what the crop takes."
        + _FOR,
        "  lora-lab dataset buckets photos base_model=sd15 -o buckets.png",
        _buckets,
        "lora_lab.cli.dataset:buckets",
    ),
    Command(
        "balance",
        "repeats by which all concepts, or all buckets, get equal samples",
        """Show the samples of each folder, or bucket, in an epoch, and the repeats by which each gets as many
as the largest. Nothing is written: dataset.balance=folders (or buckets) has a run compute the same."""
        + _FOR,
        "  lora-lab dataset balance photos\n  lora-lab dataset balance photos --by buckets base_model=sd15",
        _balance,
        "lora_lab.cli.dataset:balance",
    ),
    Command(
        "prepare",
        "kohya folders (10_trigger class) from a plain folder",
        """Copy the images and captions of a plain folder into folders as sd-scripts and lora-lab read them:
FOLDER/10_trigger class. The originals are never moved, renamed or changed; images that cannot be read are
left out and named. Each sub-folder becomes a concept of its own, called by its name.""",
        "  lora-lab dataset prepare photos -o training --trigger mikocat --class girl",
        _prepare,
        "lora_lab.cli.dataset_edits:prepare",
    ),
    Command(
        "caption",
        "add, remove, replace and order tags of all captions, or tag them",
        """Change the captions of a folder in bulk. Without --write the changes are only shown. What --write
changed is kept in .lora_lab_captions beside the images, so that --undo can take it back to the byte.
In this order: tagger, --spaces, --remove, --replace, --add-first and --quality, --add, --unique, --first,
--sort.

--tagger asks a tagger of your own on this machine (pip install onnxruntime); nothing is downloaded.""",
        """  lora-lab dataset caption photos --remove 1girl --replace "red hat=red beret" --first mikocat
  lora-lab dataset caption photos --tagger models/wd-vit-tagger-v3 --add-first mikocat --write
  lora-lab dataset caption photos --undo""",
        _caption,
        "lora_lab.cli.dataset_edits:caption",
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
