"""What a command is: how it is explained, what it takes, and who does it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command: how it is explained, what it takes, and the function that does it (`module:name`).

    A command with `verbs` does nothing by itself: `lora-lab NAME VERB ...` does what the verb says.
    """

    name: str
    summary: str
    description: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    function: str = ""
    verbs: tuple[Command, ...] = ()


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """The sweep whose results are meant, and where results lie."""
    parser.add_argument("sweep", metavar="FILE|FOLDER", help="the folder of results, or the sweep file")
    parser.add_argument(
        "--results", default=None, metavar="FOLDER", help="where results lie (default: results)"
    )


def add_rater(parser: argparse.ArgumentParser) -> None:
    """Whose scores count."""
    parser.add_argument(
        "--rater", action="append", default=[], metavar="NAME", help="only this person's scores (repeatable)"
    )


def add_language(parser: argparse.ArgumentParser) -> None:
    """In which language it is said."""
    parser.add_argument("--language", default="en", metavar="en|ja", help="English or Japanese (default: en)")


def add_json(parser: argparse.ArgumentParser, what: str = "everything, for programs") -> None:
    """Have one JSON value on standard output in place of words."""
    parser.add_argument("--json", action="store_true", help=what)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Settings, as KEY=VALUE, and folders of choices of one's own."""
    # Without a default, argparse calls them required where another word is missing.
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="a setting, or a choice such as optimizer=lion",
    )
    add_config_dir(parser)


def add_config_dir(parser: argparse.ArgumentParser) -> None:
    """Folders of choices of one's own."""
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="FOLDER",
        help="a folder of your own choices, laid out as conf/ (may be given again)",
    )


def add_only(parser: argparse.ArgumentParser) -> None:
    """Which rows of a sweep are meant."""
    parser.add_argument(
        "--only", action="append", default=[], metavar="ROW", help="only this row (may be given again)"
    )


def add_retry(parser: argparse.ArgumentParser) -> None:
    """What happens to runs that are there already, and who is told."""
    parser.add_argument(
        "--retry", action="store_true", help="also runs that failed, diverged or were stopped"
    )
    parser.add_argument(
        "--redo", action="store_true", help="move runs of other settings out of the way, to .old/"
    )
    parser.add_argument(
        "--notify",
        action="append",
        default=[],
        metavar="COMMAND|URL",
        help="told of the end, a failure, a divergence: a webhook, or a command (it gets the text as input)",
    )


def add_again(parser: argparse.ArgumentParser) -> None:
    """What happens to runs that are there already, who is told, and how much is said."""
    add_retry(parser)
    add_quiet(parser)


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """How much is said meanwhile."""
    parser.add_argument("--quiet", action="store_true", help="no progress bars, only what ended")
