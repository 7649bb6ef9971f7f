"""`lora-lab doctor`: what this machine has, what will run on it and what will not, and what to install."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from rich.markup import escape

from lora_lab.cli.as_json import print_json
from lora_lab.cli.show import console, grid
from lora_lab.examination import Examination, examine_machine

_SIGNS = {"fine": "[green]✓[/]", "warning": "[yellow]▲[/]", "error": "[red]✕[/]", "absent": "[dim]–[/]"}


def doctor(given: argparse.Namespace) -> int:
    """Look at the machine; the exit code is 1 where nothing can be trained."""
    found = examine_machine()
    if given.json:
        told = asdict(found) | {"ready": found.ready, "install": found.install}
        print_json(told)
    else:
        _show(found)
    return 0 if found.ready else 1


def _show(found: Examination) -> None:
    out = console()
    for heading, lines in (
        ("this machine", found.machine),
        ("packages", found.packages),
        ("what runs here", found.abilities),
    ):
        out.print(f"[bold]{heading}[/]")
        table = grid("", "", "", "")
        table.show_header = False
        for line in lines:
            table.add_row(_SIGNS[line.state], escape(line.what), escape(line.found), escape(line.way_out))
        out.print(table)
        out.print()
    if found.install:
        out.print("[bold]to install[/]")
        for command in found.install:
            out.print(f"  {escape(command)}", soft_wrap=True)
    else:
        optional = any(line.way_out for line in found.packages)
        out.print("nothing that training needs is missing" if optional else "nothing is missing")
