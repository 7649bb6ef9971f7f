"""Commands for the first hour: a first sweep file, and what this machine can do."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command


def _new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the sweep: NAME.yaml, and results/NAME")
    parser.add_argument("--base", metavar="MODEL", help="a .safetensors file, a diffusers folder, or demo")
    parser.add_argument("--images", metavar="DIR", help="your images, a plain folder or kohya's")
    parser.add_argument("--trigger", metavar="WORD", help="the word that is to call them")
    parser.add_argument(
        "--preset", metavar="FILE", help="settings of the reference: what `lora-lab import` reads"
    )
    parser.add_argument("--card", type=int, metavar="GB", help="memory of your GPU (default: as found)")
    parser.add_argument("-o", "--output", metavar="FILE", help="default: NAME.yaml here")
    parser.add_argument("--json", action="store_true", help="file and plan, for programs")


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="everything, for programs")


SETUP: tuple[Command, ...] = (
    Command(
        "new",
        "write a first sweep file for your images, and show its plan",
        """Write a commented sweep file: your base model and images, settings that fit the card, and the
questions that are worth asking first. With --preset, such as one of kohya_ss, its settings are the
reference of these questions, and base model and images may be its own. What is not said by flags is asked on
a terminal. It ends with the plan; nothing is trained.""",
        "  lora-lab new miko --base model.safetensors --images photos --trigger mikocat --card 12\n"
        "  lora-lab new try --base demo --images photos --trigger mikocat\n"
        "  lora-lab new mine --preset kohya_preset.json --base model.safetensors --images 10_mikocat",
        _new,
        "lora_lab.cli.new:new",
    ),
    Command(
        "doctor",
        "what this machine has, what runs on it, and what to install",
        """Look at Python, torch, GPUs, disk and packages; say what will run here and what will not, and the
pip line of the torch that the card needs. Nothing is installed.
Exit code: 0 runs can be trained, 1 something is missing.""",
        "  lora-lab doctor --json",
        _doctor,
        "lora_lab.cli.doctor:doctor",
    ),
)
