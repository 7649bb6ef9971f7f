"""`add`: LoRAs that were trained elsewhere as runs of a sweep."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_lab.cli.as_json import print_json
from lora_lab.cli.look import sweep_folder
from lora_lab.counts import counted
from lora_lab.engines import Event, Pack, make_engine
from lora_lab.errors import ConfigError
from lora_lab.store import RunFolder, read_or_failed
from lora_lab.store.reading import Run, read_sweep_folder
from lora_lab.sweep import external
from lora_lab.sweep.text import value_text


def add(given: argparse.Namespace) -> int:
    """Copy LoRA files into a sweep, render them with its prompts and seeds, and say how that ended."""
    folder = sweep_folder(Path(given.sweep), given.results)
    if given.name and len(given.files) > 1:
        raise ConfigError(
            f"--name names one run, and there are {len(given.files)} files: add them one by one"
        )
    made = external.add(folder, [(given.name, Path(path)) for path in given.files])
    todo = external.unrendered(made)
    if todo:
        base = next(run.config for run in read_sweep_folder(folder.path).runs.values() if run.config)
        print(f"rendering {', '.join(run.name for run in todo)}", file=sys.stderr)
        make_engine(base.engine).run([Pack(tuple(todo), base.device)], _told)
    told = [_row(run) for run in made]
    other = next(
        (run for run in read_sweep_folder(folder.path).runs.values() if not run.record.external), None
    )
    if given.json:
        print_json({"sweep": folder.name, "runs": told})
    else:
        for row in told:
            what = f"checkpoints: {row['checkpoints']}, previews: {row['previews']}"
            print(f"{row['run']}: {row['status']}; {what}; {row['reason']}")
            print(f"  {_known(row['settings'], other)}")
        print(f"score them blind beside the others: lora-lab review {folder.path}")
    return 0 if all(row["status"] == "done" for row in told) else 1


def _known(settings: Mapping[str, Any], other: Run | None) -> str:
    """What is known of how a LoRA was trained, in words: what it has otherwise than a run of the sweep."""
    if not settings:
        return "its file does not say how it was trained"
    there = other.settings if other else {}
    differing = [
        f"{key}={value_text(value)}" for key, value in settings.items() if value not in ({}, there.get(key))
    ]
    known = counted(len(settings), "setting")
    if other is None or len(differing) == len(settings):
        return f"{known} known: {', '.join(differing)}"
    return f"{known} known, otherwise than in {other.name}: {', '.join(differing) or 'none'}"


def _row(run: RunFolder) -> dict[str, Any]:
    """What a run has, and which of its settings its file tells."""
    record = read_or_failed(run)
    return {
        "run": run.name,
        "status": record.status,
        "reason": record.reason,
        "checkpoints": len(record.checkpoints),
        "previews": sum(len(item.previews) for item in record.checkpoints),
        "settings": dict(sorted((record.external.get("settings") or {}).items())),
    }


def _told(event: Event) -> None:
    if event.kind == "preview":
        print(f"preview {event.values.get('done')} of {event.values.get('total')}", file=sys.stderr)
