"""`add`: LoRAs that were trained elsewhere as runs of a sweep."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lora_lab.cli.look import sweep_folder
from lora_lab.engines import Event, Pack, make_engine
from lora_lab.errors import ConfigError
from lora_lab.store import read_or_failed
from lora_lab.store.reading import read_sweep_folder
from lora_lab.sweep import external


def add(given: argparse.Namespace) -> int:
    """Copy LoRA files into a sweep, render them with its prompts and seeds, and say how that ended."""
    folder = sweep_folder(Path(given.sweep), given.results)
    if given.name and len(given.files) > 1:
        raise ConfigError(
            f"--name names one run, and there are {len(given.files)} files: add them one by one"
        )
    sources = {given.name or str(number): Path(path) for number, path in enumerate(given.files)}
    made = external.add(folder, sources)
    todo = external.unrendered(made)
    if todo:
        base = next(run.config for run in read_sweep_folder(folder.path).runs.values() if run.config)
        print(f"rendering {', '.join(run.name for run in todo)}", file=sys.stderr)
        make_engine(base.engine).run([Pack(tuple(todo), base.device)], _told)
    for run in made:
        record = read_or_failed(run)
        shown = sum(len(item.previews) for item in record.checkpoints)
        what = f"{len(record.checkpoints)} checkpoints, {shown} previews"
        known = ", ".join(f"{key}={value}" for key, value in (record.external.get("settings") or {}).items())
        print(f"{run.name}: {record.status}, {what}; {record.reason}{f'; {known}' if known else ''}")
    print(f"score them blind beside the others: lora-lab review {folder.path}")
    return 0 if not external.unrendered(made) else 1


def _told(event: Event) -> None:
    if event.kind == "preview":
        print(f"preview {event.values.get('done')} of {event.values.get('total')}", file=sys.stderr)
