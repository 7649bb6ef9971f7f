"""Commands about runs under way."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command, add_json, add_sweep


def _status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results", default=None, metavar="FOLDER", help="where results lie (default: results)"
    )
    add_json(parser, "a list of runs, for programs")


def _stop(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run of it")
    parser.add_argument("--undo", action="store_true", help="have them go on after all")
    add_json(parser, "what became of each, for programs")


RUNNING = (
    Command(
        "status",
        "show what runs and waits now, in all sweeps",
        """List the runs of all sweeps that a worker is busy with, on whichever machine, and those that
wait to be trained; and the sweeps that wait in the queue.""",
        """  lora-lab status
  lora-lab status --results /data/results --json""",
        _status,
        "lora_lab.cli.running:status",
    ),
    Command(
        "stop",
        "end runs of a sweep at their next checkpoint",
        """End runs at their next checkpoint; their place in the pack is free at once. A run that nobody works
on is left out from now on. What was trained stays, with the status `stopped`, and goes on with
`lora-lab sweep ... --retry`.""",
        """  lora-lab stop sweeps/demo.yaml epochs-24
  lora-lab stop results/demo epochs-24 lion --undo""",
        _stop,
        "lora_lab.cli.running:stop",
    ),
)
