"""The command `report`: a sweep as a page to read, to print and to pass on."""

from __future__ import annotations

import argparse
from pathlib import Path

from lora_lab.cli.as_json import print_json
from lora_lab.cli.look import sweep_folder
from lora_lab.plots import subject
from lora_lab.report import write_report


def report(given: argparse.Namespace) -> int:
    """Write the report."""
    folder = sweep_folder(Path(given.sweep), given.results)
    where = Path(given.output) if given.output else folder.report
    page = write_report(subject(folder, given.metric, given.rater or None), where, given.language)
    size = sum(file.stat().st_size for file in where.rglob("*") if file.is_file())
    if given.json:
        print_json({"page": str(page), "bytes": size})
        return 0
    print(f"{page} ({size / 2**20:.1f} MiB with its images)")
    return 0
