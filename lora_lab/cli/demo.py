"""`lora-lab demo`: the shipped small sweep, from training to a verdict, in one command."""

from __future__ import annotations

import argparse

from lora_lab.cli.as_json import print_json
from lora_lab.cli.ending import INTERRUPTED, as_plain, exit_code
from lora_lab.cli.start import carry_out, shipped_sweep
from lora_lab.cli.verdict import nothing_to_judge, plain
from lora_lab.errors import RunFolderError
from lora_lab.store import table as results
from lora_lab.sweep import read_sweep
from lora_lab.verdict.gather import evidence

JUDGE = "likeness"
"""The demo's automatic score: how well previews show what its images show."""


def demo(given: argparse.Namespace) -> int:
    """Train the demo sweep where it is not trained yet, and show its table and its verdict.

    A run that fails or diverges is a result, and no reason to end with an error: the table shows it.

    Raises:
        RunFolderError: No run at all can be judged.
    """
    from lora_lab.cli.table_view import show_table
    from lora_lab.cli.verdict_view import show_verdict
    from lora_lab.verdict.taken import take

    made, outcome = carry_out(read_sweep(shipped_sweep("demo")), given.overrides, None, given)
    if exit_code(outcome) == INTERRUPTED:
        return INTERRUPTED
    rows, found = results.rows(made.folder), evidence(made.folder, metric=JUDGE)
    if given.json:
        judged = plain(take(made.folder, found)) if found.scored else None
        print_json({**as_plain(made, outcome), "table": rows, "verdict": judged})
        return 0 if found.scored else 1
    show_table(made.folder, rows)
    if not found.scored:
        raise RunFolderError(nothing_to_judge(found))
    show_verdict(take(made.folder, found))
    print(f"look at the images and score them blind: lora-lab review {made.folder.path}")
    return 0
