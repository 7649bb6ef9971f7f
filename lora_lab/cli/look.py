"""Commands that only look: table, settings, demo-data."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from lora_lab import config
from lora_lab.cli.as_json import print_json
from lora_lab.counts import counted
from lora_lab.errors import ConfigError, RunFolderError
from lora_lab.outputs import owner, refuse_to_overwrite, remember
from lora_lab.store import SweepFolder, read_scores
from lora_lab.store import table as results


def table(given: argparse.Namespace) -> int:
    """Print or export the table of a sweep."""
    folder = sweep_folder(Path(given.sweep), given.results)
    rows = results.rows(
        folder, all_settings=given.all, timings=not given.no_timings, raters=given.rater or None
    )
    if given.sort:
        rows = results.sorted_by(rows, given.sort, reverse=given.reverse)
    elif given.reverse:
        rows = rows[::-1]
    chosen = [name.strip() for name in given.columns.split(",") if name.strip()]
    if chosen:
        rows = results.picked(rows, chosen)
    if damage := read_scores(folder).damage_note():
        print(damage, file=sys.stderr)
    for note in results.score_notes(folder, given.rater or None):
        print(note, file=sys.stderr)
    if given.output:
        target = Path(given.output)
        by = owner("table", folder.path, target)
        refuse_to_overwrite([target], by)
        results.write(rows, target)
        remember([target], by)
        print(f"wrote {counted(len(rows), 'row')} to {given.output}")
    elif given.json:
        print_json(rows)
    elif given.csv:
        sys.stdout.write(results.to_csv(rows))
    else:
        from lora_lab.cli.table_view import show_table

        show_table(folder, rows, all_settings=given.all, chosen=bool(chosen))
    return 0


def sweep_folder(path: Path, root: str | None = None) -> SweepFolder:
    """The folder of results that a folder's, a sweep file's or a sweep's own name means.

    Args:
        path: What the user wrote.
        root: The folder of all results; None is the default of the setting `results`.

    Raises:
        RunFolderError: There are no such results.
    """
    where = Path(root or config.settings()["results"].default)
    tried = [where / (path.stem if path.suffix in (".yaml", ".yml") else path.name)]
    if path.is_dir() or not path.suffix:
        tried.insert(0, path)
    found = next((folder for folder in tried if any(True for _ in SweepFolder(folder).runs())), None)
    if found is None:
        items = where.iterdir() if where.is_dir() else ()
        there = sorted(item.name for item in items if SweepFolder(item).is_sweep())
        known = f"; {where}/ holds {', '.join(there)}" if there else ""
        raise RunFolderError(
            f"there are no results of {path} (looked for {' and '.join(map(str, tried))}){known}"
        )
    return SweepFolder(found)


def settings(given: argparse.Namespace) -> int:
    """List settings."""
    word = given.pattern.lower()
    known = _with_defaults(given.base)
    found = [item for item in known if word in item.key.lower() or word in item.doc.lower()]
    if not found:
        hint = config.nearest(given.pattern, config.settings())
        raise ConfigError(f"no setting has {given.pattern!r} in its name or description{hint}")
    if given.json:
        keys = ("key", "type", "default", "doc", "scale", "unit", "trains")
        print_json([{key: getattr(item, key) for key in keys} for item in found])
        return 0
    from lora_lab.cli.show import show_settings

    show_settings(found, config.groups())
    return 0


def _with_defaults(base: str) -> list[config.Setting]:
    """Every setting with the default of a run on this choice of `base_model`."""
    chosen = config.flat(config.compose([f"base_model={base}"], checked=False))
    return [replace(item, default=chosen[item.key]) for item in config.settings().values()]


def _refuse_images_of_others(folder: Path, place: Path) -> None:
    """Refuse to put the demo's images beside others: a run would train on them, and pass over others.

    Raises:
        RunFolderError: There are images outside of the demo's own folder.
    """
    from lora_lab.data.images import extensions

    theirs = [
        item
        for item in sorted(folder.rglob("*") if folder.is_dir() else ())
        if item.suffix.lower() in extensions() and item.parent != place
    ]
    if theirs:
        raise RunFolderError(
            f"{folder} holds images of its own ({len(theirs)}, such as {theirs[0].name}), beside which the "
            "demo's would be trained: give a new or an empty folder"
        )


def demo_data(given: argparse.Namespace) -> int:
    """Write the demo's images; files that were not written by it are never replaced."""
    if given.images < 1:
        raise ConfigError(f"--images must be at least 1, got {given.images}")
    from lora_lab.demo.dataset import folder_in, write_dataset

    place = folder_in(Path(given.folder))
    files = [place / f"{number:03d}{end}" for number in range(given.images) for end in (".png", ".txt")]
    _refuse_images_of_others(Path(given.folder), place)
    refuse_to_overwrite(files, "demo-data")
    folder = write_dataset(Path(given.folder), given.images, given.seed)
    remember(files, "demo-data")
    more = len(list(folder.glob("*.png"))) - given.images
    if given.json:
        print_json({"folder": str(folder), "images": given.images, "other_images": more})
    else:
        beside = f"; {more} more were there already" if more else ""
        print(f"wrote {counted(given.images, 'image')} with captions to {folder}{beside}")
    return 0
