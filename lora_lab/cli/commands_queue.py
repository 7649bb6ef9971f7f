"""The queue: several sweeps, one after another."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command, add_json, add_only, add_overrides, add_quiet, add_retry

_ENTRY = "its number in `lora-lab queue list`, or the sweep's name"


def _results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", default=None, metavar="FOLDER", help="whose queue (default: results)")
    add_json(parser, "the entries, for programs")


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="FILE|FOLDER", help="a sweep file, or the folder of results of one")
    add_overrides(parser)
    add_only(parser)
    add_retry(parser)
    _results(parser)


def _entries(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entries", nargs="*", default=[], metavar="ENTRY", help=_ENTRY)


def _pause(parser: argparse.ArgumentParser) -> None:
    _entries(parser)
    parser.add_argument("--undo", action="store_true", help="have them begin in their turn after all")
    _results(parser)


def _move(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entry", metavar="ENTRY", help=_ENTRY)
    parser.add_argument("place", metavar="PLACE", type=int, help="among those that wait; 1 is the next")
    _results(parser)


def _remove(parser: argparse.ArgumentParser) -> None:
    _entries(parser)
    parser.add_argument("--ended", action="store_true", help="also all that have ended")
    _results(parser)


def _start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at", default="", metavar="HH:MM", help="wait until then, today or tomorrow")
    add_quiet(parser)
    _results(parser)


_VERBS = (
    Command(
        "add",
        "put a sweep behind all others",
        """Plan a sweep as `lora-lab plan` does, and put it behind all others in the queue, with the settings
and options given. What could not be started is refused now. The sweep is planned again in its turn, from its
file as it is then; where that has changed, it says so.""",
        """  lora-lab queue add sweeps/demo.yaml
  lora-lab queue add miko.yaml engine.pack_size=4 --only 03 --retry""",
        _add,
        "lora_lab.cli.queue:add",
    ),
    Command(
        "list",
        "show what has ended, runs and waits",
        "List the entries in their order: the last twenty that ended and how, then what runs and what waits.",
        "  lora-lab queue list\n  lora-lab queue list --json",
        _results,
        "lora_lab.cli.queue:list_",
    ),
    Command(
        "pause",
        "pass over entries until that is taken back",
        "Have entries wait until `--undo`, while others take their turns. Without an entry: all that wait.",
        "  lora-lab queue pause miko\n  lora-lab queue pause --undo",
        _pause,
        "lora_lab.cli.queue:pause",
    ),
    Command(
        "move",
        "have an entry begin earlier or later",
        "Give an entry another place among those that wait; what runs is not disturbed.",
        "  lora-lab queue move miko 1",
        _move,
        "lora_lab.cli.queue:move",
    ),
    Command(
        "remove",
        "take entries out of the queue",
        "Take entries out of the queue. Results are never touched. What runs is refused.",
        "  lora-lab queue remove miko 3\n  lora-lab queue remove --ended",
        _remove,
        "lora_lab.cli.queue:remove",
    ),
    Command(
        "start",
        "run the sweeps of the queue, one after another",
        """Do `lora-lab sweep` for every entry that waits, one after another, until none is left that is not
paused. A sweep that fails is listed with its reason, and the next one goes on. The queue can be changed
meanwhile from another terminal. Ctrl-C saves; after that, or after a kill, the same command goes on with the
sweep that was interrupted. Two of them at once, also on two machines, never work on one entry.
Exit code: 0 all done, 1 a sweep failed, 2 the request was wrong, 130 interrupted.""",
        """  lora-lab queue start
  lora-lab queue start --at 23:00 --quiet""",
        _start,
        "lora_lab.cli.queue_start:start",
    ),
)

QUEUE = (
    Command(
        "queue",
        "several sweeps, one after another",
        """Keep a list of sweeps that `lora-lab queue start` runs one after another, now or at night. It lies
in the folder of results, in `.queue/queue.json`.""",
        """  lora-lab queue add sweeps/demo.yaml
  lora-lab queue start --at 23:00""",
        verbs=_VERBS,
    ),
)
