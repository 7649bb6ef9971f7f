"""Commands that plan and train."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command, add_again, add_json, add_language, add_only, add_overrides


def _train(parser: argparse.ArgumentParser) -> None:
    add_overrides(parser)
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="values with commas are a grid: a run per combination"
    )
    parser.add_argument("--cfg", choices=["job"], help="print the whole config that would run, and stop")
    parser.add_argument("-p", "--package", metavar="GROUP", help="with --cfg: only this part of it")
    parser.add_argument("--dry-run", action="store_true", help="show the plan of it, and start nothing")
    add_json(parser, "how it ended, with --dry-run the plan, for programs")
    add_language(parser)
    add_again(parser)


def _sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="FILE|FOLDER", help="a sweep file, or the folder of results of one")
    add_overrides(parser)
    add_only(parser)
    add_again(parser)
    add_json(parser, "how it ended, run by run, for programs")


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="FILE|FOLDER", help="a sweep file, or the folder of results of one")
    add_overrides(parser)
    add_only(parser)
    add_language(parser)
    add_json(parser)
    parser.add_argument(
        "--calibrate", action="store_true", help="first train some 20 steps of each kind of run, to time them"
    )


def _demo(parser: argparse.ArgumentParser) -> None:
    add_overrides(parser)
    add_again(parser)
    add_json(parser, "how it ended, the table and the verdict, for programs")


RUNS = (
    Command(
        "demo",
        "train, preview and judge a small sweep on an embedded base model",
        """Run the shipped sweep `demo` from training to a verdict: thirty drawn images, a base model of some
megabytes that comes with the program, minutes on two CPU cores, nothing downloaded. Results go to
results/demo. The same command goes on where it was stopped, and shows the verdict when all is trained.""",
        """  lora-lab demo
  lora-lab demo results=/tmp/results engine.workers=1""",
        _demo,
        "lora_lab.cli.demo:demo",
    ),
    Command(
        "train",
        "train one run, or with -m a grid of runs",
        """Train a LoRA with the settings given, render previews from every checkpoint, and keep all of it.

Results go to results/SWEEP/RUN. RUN is name=..., else what was set ("optimizer=lion,network_alpha=16");
SWEEP is sweep=..., else "train". With -m, SWEEP is what all runs have in common and RUN what sets each apart.
The same command therefore finds its own results again: finished runs are kept, interrupted ones go on.
`lora-lab settings` lists everything that can be set.""",
        """  lora-lab train base_model=sd15 base_model.path=v1-5.safetensors dataset.path=photos
  lora-lab train -m base_model=demo dataset=demo optimizer=adamw,lion network.network_alpha=1,16""",
        _train,
        "lora_lab.cli.start:train",
    ),
    Command(
        "sweep",
        "run the rows of a sweep file that are not done yet",
        """Check all rows of a sweep file, then train, preview and record those that are not finished.

Results go to results/NAME, where NAME is the file's. Settings given here are added to the base of all rows.
A run that fails is a row with its reason; the others go on. Ctrl-C saves; the same command goes on.
Exit code: 0 all done, 1 a run failed, 2 the request was wrong, 130 interrupted.""",
        """  lora-lab sweep sweeps/demo.yaml
  lora-lab sweep sweeps/article25.yaml base_model.path=v1-5.safetensors dataset.path=photos --only 03""",
        _sweep,
        "lora_lab.cli.start:sweep",
    ),
    Command(
        "plan",
        "show what a sweep would do, without doing it",
        """Show the rows of a sweep file: what each changes, its steps and samples, settings without effect,
rows that are one experiment, what is done already, and which runs train together. Nothing is written.""",
        """  lora-lab plan sweeps/article25.yaml base_model.path=demo dataset.path=demo""",
        _plan,
        "lora_lab.cli.start:plan",
    ),
)
