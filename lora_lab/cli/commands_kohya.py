"""Commands that read and write what kohya_ss and sd-scripts use."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command, add_json


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a preset, an arguments file or a dataset file")
    parser.add_argument(
        "--out",
        metavar="FOLDER/recipe/NAME.yaml",
        help="write the recipe there (default: show it below the report)",
    )
    parser.add_argument("--force", action="store_true", help="replace the recipe if it exists")
    parser.add_argument("--json", action="store_true", help="the report and the settings, for programs")


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or SWEEP/RUN")
    parser.add_argument(
        "--results", default=None, metavar="FOLDER", help="where results lie (default: results)"
    )
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="where the files go (default: exports/ in the sweep)"
    )
    parser.add_argument("--json", action="store_true", help="print them with notes, write nothing")


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE|FOLDER", help="LoRA files, or the folder of one training"
    )
    parser.add_argument(
        "--sweep", required=True, metavar="FILE|FOLDER", help="the sweep that they are added to"
    )
    parser.add_argument("--name", default="", help="what the run is called (default: as its file)")
    add_json(parser, "the runs with what is known of them, for programs")
    parser.add_argument(
        "--results", default=None, metavar="FOLDER", help="where results lie (default: results)"
    )


KOHYA: tuple[Command, ...] = (
    Command(
        "import",
        "a preset of kohya_ss or sd-scripts as a recipe, and what became of every key",
        "Read a kohya_ss GUI preset (JSON of any age), an arguments TOML of sd-scripts or of the GUI, a\n"
        "dataset TOML, or a config of ai-toolkit (YAML), sd-webui-train-tools or OneTrainer, as a recipe.\n"
        "The report names every key: kept, renamed, computed, contradictory, or ignored and why.\n"
        "Tokens and API keys are not read.",
        "  lora-lab import preset.json --out conf/recipe/mine.yaml\n"
        "  lora-lab train base_model.path=model.safetensors recipe=mine",
        _import,
        "lora_lab.cli.kohya:import_preset",
    ),
    Command(
        "add",
        "LoRAs trained elsewhere as runs of a sweep: rendered and scored, never trained",
        """Copy LoRA files of any origin (sd-scripts, LyCORIS, PEFT, ai-toolkit, OneTrainer) into a sweep and
render them with its base model, prompts, seeds and strengths. They are scored in the same blind sessions;
their settings are what their metadata or their trainer's config tell. A folder is one run with all its
checkpoints. `external:` in a sweep file does the same.""",
        """  lora-lab add /loras/theirs.safetensors --sweep demo
  lora-lab add /kohya/output/miko --sweep demo --name kohya""",
        _add,
        "lora_lab.cli.add:add",
    ),
    Command(
        "export-kohya",
        "a run's settings as arguments of sd-scripts, to go on in kohya_ss",
        """Write a run's settings as NAME.toml for `--config_file` of sd-scripts and, where it has previews,
NAME.prompts.txt beside it. Every key is one that the parser of sd-scripts knows. Settings without effect in
the run are left out; what sd-scripts cannot be told is named. Paths stay as they are in the run.""",
        """  lora-lab export-kohya demo/lion
  lora-lab export-kohya results/demo/lion -o kohya""",
        _export,
        "lora_lab.cli.export_kohya:export_arguments",
    ),
)
