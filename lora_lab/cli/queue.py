"""`lora-lab queue add`, `list`, `pause`, `move` and `remove`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from lora_lab import config
from lora_lab.cli.as_json import print_json
from lora_lab.cli.show import coloured, console, grid
from lora_lab.cli.start import asked_for
from lora_lab.counts import counted
from lora_lab.errors import ConfigError
from lora_lab.store.queue import Entry, Queue
from lora_lab.sweep import SweepFile, queued
from lora_lab.sweep import plan as make_plan
from lora_lab.sweep.places import absolute


def queue_of(given: argparse.Namespace) -> Queue:
    """The queue that is meant."""
    return Queue(Path(given.results or config.settings()["results"].default))


def add(given: argparse.Namespace) -> int:
    """Put a sweep behind all others, where it could be started.

    Raises:
        ConfigError: It could not, or it is in the queue already.
    """
    from lora_lab.sweep.launch import refuse

    rows, folder, extra = asked_for(given)
    if rows.search and not given.only:
        from lora_lab.sweep.searching import as_it_stands

        made = make_plan(as_it_stands(rows, extra, folder), extra, given.config_dir, folder=folder)
    else:
        made = make_plan(rows, extra, given.config_dir, folder=folder, retry=given.retry, redo=given.redo)
    refuse(made)
    queue = queue_of(given)
    entry = queued.add(queue, _entry(rows, absolute(str(folder.path)) if folder else "", given))
    if given.json:
        print_json(plain(entry))
        return 0
    count = sum(row.to_do for row in made.rows)
    to_do = f"{counted(count, 'run')} to do"
    print(f"{entry.name} is entry {entry.number} of the queue in {queue.results}: {to_do}")
    return 0


def _entry(rows: SweepFile, folder: str, given: argparse.Namespace) -> Entry:
    """What to remember of a request; `folder` is '' where a file was named."""
    assert rows.path is not None
    return Entry(
        0,
        rows.name,
        folder or absolute(str(rows.path)),
        str(Path.cwd()),
        "" if folder else queued.digest_of(rows.path),
        list(given.overrides),
        list(given.only),
        [absolute(one) for one in given.config_dir],
        list(given.notify),
        given.retry,
        given.redo,
    )


def plain(entry: Entry) -> dict[str, Any]:
    """An entry for programs."""
    return {**asdict(entry), "state": entry.status}


def list_(given: argparse.Namespace) -> int:
    """The entries in their order."""
    queue = queue_of(given)
    entries = queue.entries()
    if given.json:
        print_json([plain(entry) for entry in entries])
        return 0
    out = console()
    if not entries:
        out.print(
            f"the queue in {escape(str(queue.results))} is empty: `lora-lab queue add FILE`", soft_wrap=True
        )
        return 0
    table = grid("entry", "sweep", "state", "settings", "", right=["entry"])
    for entry in entries:
        told = (entry.name, " ".join(entry.words), entry.history)
        name, words, why = map(escape, told)
        table.add_row(str(entry.number), name, coloured(entry.status), words, why)
    out.print(table)
    return 0


def pause(given: argparse.Namespace) -> int:
    """Have entries passed over, or no longer."""
    changed = queued.pause(queue_of(given), given.entries, undo=given.undo)
    return _told(changed, "waits for its turn" if given.undo else "is paused", given)


def move(given: argparse.Namespace) -> int:
    """Give an entry another place."""
    queue = queue_of(given)
    entry = queued.move(queue, given.entry, given.place)
    waiting = [one.number for one in queue.entries() if one.waits]
    place = waiting.index(entry.number) + 1 if entry.number in waiting else 1
    return _told([entry], f"is number {place} of those that wait", given)


def remove(given: argparse.Namespace) -> int:
    """Take entries out of the queue.

    Raises:
        ConfigError: None was named.
    """
    if not given.entries and not given.ended:
        raise ConfigError("name the entries to remove; `--ended` removes all that have ended")
    removed = queued.remove(queue_of(given), given.entries, ended=given.ended)
    return _told(removed, "is removed; its results stay", given)


def _told(entries: Sequence[Entry], what: str, given: argparse.Namespace) -> int:
    if given.json:
        print_json([plain(entry) for entry in entries])
    elif not entries:
        print("nothing to change")
    else:
        print("\n".join(f"entry {entry.number} ({entry.name}) {what}" for entry in entries))
    return 0
