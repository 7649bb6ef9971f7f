"""Commands that read and write what kohya_ss and sd-scripts use."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a preset, an arguments file or a dataset file")
    parser.add_argument(
        "--out",
        metavar="FOLDER/recipe/NAME.yaml",
        help="write the recipe there (default: show it below the report)",
    )
    parser.add_argument("--force", action="store_true", help="replace the recipe if it exists")
    parser.add_argument("--json", action="store_true", help="the report and the settings, for programs")


KOHYA: tuple[Command, ...] = (
    Command(
        "import",
        "a preset of kohya_ss or sd-scripts as a recipe, and what became of every key",
        "Read a kohya_ss GUI preset (JSON of any age), an arguments TOML of sd-scripts or of the GUI, or a\n"
        "dataset TOML, and turn it into a recipe. The report names every key: kept, renamed, computed,\n"
        "contradictory, or ignored and why. Tokens and API keys are not read.",
        "  lora-lab import preset.json --out conf/recipe/mine.yaml\n"
        "  lora-lab train base_model.path=model.safetensors recipe=mine",
        _import,
        "lora_lab.cli.kohya:import_preset",
    ),
)
