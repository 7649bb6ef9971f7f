"""Commands that look things up."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command, add_json


def _settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pattern", nargs="?", default="", help="part of a name or of its description, such as alpha or lr"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--base",
        default="demo",
        metavar="MODEL",
        help="defaults of this choice of base_model: a name from conf/base_model, or one of your own",
    )


def _demo_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="where the images go")
    parser.add_argument("--images", type=int, default=30, metavar="N", help="how many (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other images (default: 0)")
    add_json(parser, "the folder, for programs")


OTHER = (
    Command(
        "settings",
        "list settings: name, default, rule and meaning",
        "List settings whose name or description holds PATTERN, or all, with the defaults that apply.",
        """  lora-lab settings alpha --base demo
  lora-lab settings optimizer.""",
        _settings,
        "lora_lab.cli.look:settings",
    ),
    Command(
        "demo-data",
        "write the demo's images, as a folder to train on",
        """Draw the images of the demo's character with captions, as a folder in the usual form
(15_mikocat girl/*.png and .txt), to look at or to train on.""",
        """  lora-lab demo-data /tmp/mikocat
  lora-lab train base_model=demo dataset=demo dataset.path=/tmp/mikocat""",
        _demo_data,
        "lora_lab.cli.look:demo_data",
    ),
)
