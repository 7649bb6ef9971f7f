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
