"""The command `export`: the chosen LoRA with its score inside and a model card beside it."""

from __future__ import annotations

import argparse
from pathlib import Path

from lora_lab.cli.as_json import print_json
from lora_lab.cli.look import sweep_folder
from lora_lab.outputs import folder_for
from lora_lab.plots import subject
from lora_lab.report.export import export as write_export


def export(given: argparse.Namespace) -> int:
    """Write the LoRA and its card."""
    folder = sweep_folder(Path(given.sweep), given.results)
    about = subject(folder, given.metric, given.rater or None)
    where = folder_for(given.output) if given.output else folder.exports
    files = write_export(about, where, given.run, given.license)
    if given.json:
        print_json({"criterion": about.evidence.criterion, "files": [str(file) for file in files]})
        return 0
    if not given.run and about.evidence.criterion != "score":
        print(f"chosen by the automatic metric {about.evidence.criterion!r}, not by people's scores")
    for file in files:
        print(file)
    return 0
