"""What can be asked on the command line: one row of `COMMANDS` per command.

This module imports nothing but argparse, so that `--help` answers at once; a command's own module is imported
when it runs.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lora_lab import __version__


@dataclass(frozen=True)
class Command:
    """One command: how it is explained, what it takes, and the function that does it (`module:name`)."""

    name: str
    summary: str
    description: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None]
    function: str


@dataclass(frozen=True)
class Request:
    """A command with its parsed arguments."""

    command: Command
    arguments: argparse.Namespace

    def run(self) -> int:
        """Do it; returns the exit code."""
        module, name = self.command.function.split(":")
        code: int = getattr(importlib.import_module(module), name)(self.arguments)
        return code


def _overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="a setting, or a choice such as optimizer=lion"
    )
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="FOLDER",
        help="a folder of your own choices, laid out as conf/ (may be given again)",
    )


def _again(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--retry", action="store_true", help="also try runs again that failed or diverged")
    parser.add_argument(
        "--redo", action="store_true", help="move runs of other settings out of the way, to .old/"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars, only what ended")


def _train(parser: argparse.ArgumentParser) -> None:
    _overrides(parser)
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="values with commas are a grid: a run per combination"
    )
    parser.add_argument("--cfg", choices=["job"], help="print the whole config that would run, and stop")
    parser.add_argument("-p", "--package", metavar="GROUP", help="with --cfg: only this part of it")
    _again(parser)


def _sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="FILE|FOLDER", help="a sweep file, or the folder of results of one")
    _overrides(parser)
    _only(parser)
    _again(parser)


def _only(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only", action="append", default=[], metavar="ROW", help="only this row (may be given again)"
    )


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="FILE|FOLDER", help="a sweep file, or the folder of results of one")
    _overrides(parser)
    _only(parser)
    parser.add_argument("--json", action="store_true", help="everything, for programs")


def _table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="FILE|FOLDER", help="the folder of results, or the sweep file")
    parser.add_argument(
        "--results", default=None, metavar="FOLDER", help="where results lie (default: results)"
    )
    parser.add_argument("--all", action="store_true", help="every setting as a column, not only what differs")
    parser.add_argument("--no-timings", action="store_true", help="without seconds, for comparing tables")
    parser.add_argument("--csv", action="store_true", help="print CSV")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write a .csv, .json or .parquet file instead of printing"
    )


def _settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pattern", nargs="?", default="", help="part of a name or of its description, such as alpha or lr"
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def _demo_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="where the pictures go")
    parser.add_argument("--pictures", type=int, default=30, metavar="N", help="how many (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other pictures (default: 0)")


COMMANDS = (
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
        """Show the rows of a sweep file: what each changes, its steps and samples, settings that cannot act,
rows that are one experiment, what is done already, and which runs train together. Nothing is written.""",
        """  lora-lab plan sweeps/article25.yaml base_model.path=demo dataset.path=demo""",
        _plan,
        "lora_lab.cli.start:plan",
    ),
    Command(
        "table",
        "print or export results, one row per checkpoint",
        """Print the results of a sweep, or write them to a file. One row per checkpoint; a run without one
has a row with its status and reason; rows that are one experiment share its numbers and say so.""",
        """  lora-lab table results/demo
  lora-lab table sweeps/demo.yaml --all -o demo.csv""",
        _table,
        "lora_lab.cli.look:table",
    ),
    Command(
        "settings",
        "list settings: name, default, rule and meaning",
        "List every setting, or those whose name or description holds PATTERN.",
        """  lora-lab settings alpha
  lora-lab settings optimizer.""",
        _settings,
        "lora_lab.cli.look:settings",
    ),
    Command(
        "demo-data",
        "write the demo's pictures, as a folder to train on",
        """Draw the pictures of the demo's character with captions, as a folder in the usual form
(15_mikocat girl/*.png and .txt), to look at or to train on.""",
        """  lora-lab demo-data /tmp/mikocat
  lora-lab train base_model=demo dataset=demo dataset.path=/tmp/mikocat""",
        _demo_data,
        "lora_lab.cli.look:demo_data",
    ),
)


def parse(argv: Sequence[str]) -> Request:
    """The command that the words ask for.

    Raises:
        SystemExit: Help was asked for (0), or the words are wrong (2); what there is to say has been printed.
    """
    if argv and (command := next((item for item in COMMANDS if item.name == argv[0]), None)):
        return Request(command, parser_of(command).parse_intermixed_args(list(argv[1:])))
    top = _top()
    if not argv:
        top.print_help()
        raise SystemExit(2)
    top.parse_args(argv[:1])
    top.error(f"unknown command {argv[0]!r}{_nearest(argv[0])}")


def parser_of(command: Command) -> argparse.ArgumentParser:
    """The parser of one command; its help ends in an example."""
    parser = argparse.ArgumentParser(
        f"lora-lab {command.name}",
        description=command.description,
        epilog=f"example:\n{command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.arguments(parser)
    return parser


def _top() -> argparse.ArgumentParser:
    width = max(len(item.name) for item in COMMANDS)
    listed = "\n".join(f"  {item.name:<{width}}  {item.summary}" for item in COMMANDS)
    parser = argparse.ArgumentParser(
        "lora-lab",
        usage="lora-lab COMMAND ...",
        description=f"Which LoRA settings work for my pictures, and what each does.\n\ncommands:\n{listed}",
        epilog="`lora-lab COMMAND --help` explains a command.\n\nexample:\n  lora-lab sweep sweeps/demo.yaml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lora-lab {__version__}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    return parser


def _nearest(word: str) -> str:
    import difflib

    close = difflib.get_close_matches(word, [item.name for item in COMMANDS], 1, 0.5)
    return f"; did you mean {close[0]}?" if close else ""
