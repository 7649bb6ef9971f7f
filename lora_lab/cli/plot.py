"""The command `plot`: images of a sweep's numbers."""

from __future__ import annotations

import argparse
from pathlib import Path

from lora_lab.cli.as_json import print_json
from lora_lab.cli.look import sweep_folder
from lora_lab.errors import RunFolderError
from lora_lab.outputs import owner, refuse_to_overwrite, remember
from lora_lab.plots import Look, plots, subject, write


def plot(given: argparse.Namespace) -> int:
    """Draw the plots asked for."""
    folder = sweep_folder(Path(given.sweep), given.results)
    about = subject(folder, given.metric, given.rater or None)
    made = plots(about, given.kinds, given.setting)
    if not made:
        raise RunFolderError(f"{folder.path} has nothing to plot yet: none of its runs has made a step")
    formats = [name.strip() for name in given.format.split(",") if name.strip()]
    where = Path(given.output) if given.output else folder.plots
    by = owner("plot", folder.path, where)
    endings = [*formats, *(["csv"] if given.data else [])]
    planned = [where / f"{item.name}.{ending}" for item in made for ending in endings]
    refuse_to_overwrite(planned, by, home=folder.plots)
    files = write(made, where, formats, Look(), data=given.data)
    remember(files, by)
    if given.json:
        print_json({"criterion": about.evidence.criterion, "files": [str(file) for file in files]})
        return 0
    if not about.judged:
        print("no scores, and no metric to stand for them: `lora-lab review` takes scores")
    elif about.evidence.criterion != "score":
        print(f"judged by the automatic metric {about.evidence.criterion!r}, not by people's scores")
    for file in files:
        print(file)
    return 0
