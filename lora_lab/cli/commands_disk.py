"""Commands over what lies on the disk."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command, add_sweep


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", nargs="?", default="", metavar="SWEEP", help="its runs (default: all)")
    parser.add_argument(
        "--results", default=None, metavar="FOLDER", help="where results lie (default: results)"
    )
    _json(parser)


def _rm(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    parser.add_argument("runs", nargs="*", default=[], metavar="RUN", help="runs to delete (default: all)")
    parser.add_argument("--judged", action="store_true", help="also runs that somebody has scored")
    _yes(parser)


def _rename(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    parser.add_argument("names", nargs="+", metavar="[RUN] NEW", help="of the sweep, or of a run")
    _json(parser)


def _gc(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    parser.add_argument("runs", nargs="*", default=[], metavar="RUN", help="only these runs (default: all)")
    parser.add_argument(
        "--keep",
        default="best,last",
        metavar="WHAT,...",
        help="checkpoints whose LoRA files stay: best by scores, last, or names such as 000010 "
        "(default: best,last)",
    )
    _yes(parser)


def _yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do it; without it, it is only shown")
    _json(parser)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


DISK: tuple[Command, ...] = (
    Command(
        "list",
        "the sweeps on the disk with their sizes, or the runs of one",
        "List sweeps with runs, scores and sizes by kind, or the runs of one sweep.",
        "  lora-lab list\n  lora-lab list demo",
        _list,
        "lora_lab.cli.disk:list_",
    ),
    Command(
        "rm",
        "delete runs, after showing what would go",
        """Delete runs of a sweep, or all of them. Without --yes it only shows what would go. Runs that
somebody scored, that are at work, or on whose files another run lives are refused; the log of scores stays,
and files that lora-lab did not write are left where they are.""",
        "  lora-lab rm demo lr-too-high\n  lora-lab rm demo lr-too-high --yes",
        _rm,
        "lora_lab.cli.disk:rm",
    ),
    Command(
        "rename",
        "rename a sweep or a run, with all that belongs to it",
        """Rename a sweep's folder, or one of its runs. Scores, runs that are the same experiment, plots and
the sweep's own file go with it. Runs that are at work are refused.""",
        "  lora-lab rename demo first-try\n  lora-lab rename demo lion lion-3e-3",
        _rename,
        "lora_lab.cli.disk:rename",
    ),
    Command(
        "gc",
        "give up LoRA files and training states that are not worth their room",
        """Delete the LoRA files of checkpoints that are neither the best by scores nor the last, and the
training states of finished runs. Without --yes it only shows what would go. Previews and scores always stay,
runs that are not done are left alone, and the sweep still counts as done.""",
        "  lora-lab gc demo\n  lora-lab gc demo --keep best,last --yes",
        _gc,
        "lora_lab.cli.disk:gc",
    ),
)
