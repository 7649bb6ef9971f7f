"""Commands over the results of a sweep: table, review, verdict, plots, report, export."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command, add_sweep


def _table(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    parser.add_argument("--all", action="store_true", help="every setting as a column, not only what differs")
    parser.add_argument("--no-timings", action="store_true", help="without seconds, for comparing tables")
    parser.add_argument("--csv", action="store_true", help="print CSV")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write a .csv, .json or .parquet file instead of printing"
    )


RESULTS = (
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
)
