"""What every benchmark does with its numbers: print them as a table, and append it to RESULTS.md."""

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument("--append", action="store_true", help=f"append the table to {RESULTS.name}")
    made.add_argument("--note", default="", help="a line to go with the table, such as what else was running")
    return made


def finish(
    given: argparse.Namespace, title: str, device: str, head: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print a table, and append it where that was asked for."""
    text = table(head, rows)
    print(f"\n{title} ({device})\n\n{text}")
    if given.append:
        note = f"\n{given.note}\n" if given.note else ""
        command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *_without(sys.argv[1:])])
        with open(RESULTS, "a", encoding="utf-8") as file:
            file.write(f"\n## {title}\n\n{date.today()}, {device}: `{command}`\n{note}\n{text}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    padded = (
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )
    return "".join(f"| {line} |\n" for line in padded)


def processor() -> str:
    """The CPU in words, with its cores and the load of the last minute."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{os.cpu_count()} cores {model}, load {os.getloadavg()[0]:.1f}"


def _without(words: Sequence[str]) -> list[str]:
    """The command line without what only says where the numbers go."""
    kept, skip = [], False
    for word in words:
        if not skip and word not in ("--append", "--note") and not word.startswith("--note="):
            kept.append(word)
        skip = word == "--note"
    return kept
