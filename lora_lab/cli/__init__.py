"""What can be asked on the command line: one row of `COMMANDS` per command.

The rows import nothing but argparse, so that `--help` answers at once; a command's own module is imported
when it runs.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from lora_lab import __version__
from lora_lab.cli.command import Command
from lora_lab.cli.commands_dataset import DATASET
from lora_lab.cli.commands_disk import DISK
from lora_lab.cli.commands_files import FILES
from lora_lab.cli.commands_kohya import KOHYA
from lora_lab.cli.commands_other import OTHER
from lora_lab.cli.commands_queue import QUEUE
from lora_lab.cli.commands_results import RESULTS
from lora_lab.cli.commands_running import RUNNING
from lora_lab.cli.commands_runs import RUNS
from lora_lab.cli.commands_setup import SETUP

ABOUT = "Which LoRA settings work for my images, and what each does."
COMMANDS: tuple[Command, ...] = (
    *SETUP,
    *DATASET,
    *RUNS,
    *QUEUE,
    *RUNNING,
    *RESULTS,
    *FILES,
    *KOHYA,
    *DISK,
    *OTHER,
)


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


def parse(argv: Sequence[str]) -> Request:
    """The command that the words ask for.

    Raises:
        SystemExit: Help was asked for (0), or the words are wrong (2); what there is to say has been printed.
    """
    command, rest, name = None, list(argv), "lora-lab"
    known = COMMANDS
    while known:
        parser = _chooser(name, command, known)
        if not rest:
            parser.print_help()
            raise SystemExit(2)
        if (found := next((item for item in known if item.name == rest[0]), None)) is None:
            parser.parse_args(rest[:1])
            parser.error(f"unknown command {rest[0]!r}{_nearest(rest[0], known)}")
        command, rest, name, known = found, rest[1:], f"{name} {found.name}", found.verbs
    assert command is not None
    parser = parser_of(command, name)
    given, odd = parser.parse_known_intermixed_args(rest)
    if odd:
        parser.error(_unrecognized(odd, rest, hasattr(given, "overrides")))
    return Request(command, given)


def _unrecognized(odd: Sequence[str], words: Sequence[str], takes_settings: bool) -> str:
    """What to say of words that are no arguments; of settings written as in sd-scripts, how they are here."""
    lines = [f"unrecognized arguments: {' '.join(odd)}"]
    if takes_settings:
        from lora_lab.config.flags import as_setting

        lines += [as_setting(word, words) for word in odd if word.startswith("--")]
    return "\n".join(lines)


def parser_of(command: Command, name: str) -> argparse.ArgumentParser:
    """The parser of one command, called `name` as on the command line; its help ends in an example."""
    parser = argparse.ArgumentParser(
        name,
        description=command.description,
        epilog=f"example:\n{command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.arguments(parser)
    return parser


def _chooser(name: str, command: Command | None, known: Sequence[Command]) -> argparse.ArgumentParser:
    """The parser that lists what may follow `name`: the commands, or the verbs of one of them."""
    width = max(len(item.name) for item in known)
    listed = "\n".join(f"  {item.name:<{width}}  {item.summary}" for item in known)
    kind = "COMMAND" if command is None else "VERB"
    about = command.description if command else "Which LoRA settings work for my images, and what each does."
    example = command.example if command else "  lora-lab sweep sweeps/demo.yaml"
    parser = argparse.ArgumentParser(
        name,
        usage=f"{name} {kind} ...",
        description=f"{about}\n\n{kind.lower()}s:\n{listed}",
        epilog=f"`{name} {kind} --help` explains a {kind.lower()}.\n\nexample:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lora-lab {__version__}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    return parser


def _nearest(word: str, known: Sequence[Command]) -> str:
    import difflib

    close = difflib.get_close_matches(word, [item.name for item in known], 1, 0.5)
    return f"; did you mean {close[0]}?" if close else ""
