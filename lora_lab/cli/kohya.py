"""`import`: a preset of kohya_ss or sd-scripts becomes a recipe, with a report of every key."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from lora_lab.cli.as_json import print_json
from lora_lab.cli.show import console, grid
from lora_lab.config import CONF_DIR
from lora_lab.counts import counted
from lora_lab.errors import ConfigError
from lora_lab.files import write_text
from lora_lab.kohya import Imported, convert, read, recipe_text
from lora_lab.models.families import FAMILIES

_COLOURS = {"contradictory": "red", "computed": "yellow", "ignored": "dim"}


def import_preset(args: argparse.Namespace) -> int:
    """Show what became of each key of a preset, and write the recipe."""
    out = Path(args.out) if args.out else None
    if out is not None:
        _check_place(out, args.force)
    found = convert(read(Path(args.file)))
    text = recipe_text(found)
    if out is not None:
        write_text(out, text)
    if args.json:
        told: dict[str, str | None] = {"file": str(found.path), "kind": found.kind, "family": found.family}
        told |= {"recipe": str(out) if out else None}
        lines = [asdict(line) for line in found.lines]
        rest = {"settings": found.settings, "keys": lines, "warnings": found.warnings}
        print_json({**told, **rest})
        return 0
    _show(found)
    if out is None:
        print(f"\n{text}", end="")
    else:
        print(f"\nrecipe: {out}\nuse it:  lora-lab train {' '.join(_words(found, out))}")
    return 0


def _check_place(out: Path, force: bool) -> None:
    if out.parent.name != "recipe" or out.suffix != ".yaml":
        raise ConfigError(f"--out {out}: a recipe lies in a folder called recipe: FOLDER/recipe/NAME.yaml")
    if out.exists() and not force:
        raise ConfigError(f"--out {out}: exists; --force replaces it")
    if (CONF_DIR / "recipe" / out.name).exists() and not out.exists():
        raise ConfigError(f"--out {out}: recipe={out.stem} is a shipped choice; give it another name")


def _show(found: Imported) -> None:
    table = grid("key", "outcome", "setting", "value", "why")
    for line in found.lines:
        colour = _COLOURS.get(line.outcome, "green")
        value = "" if line.value is None else str(line.value)
        table.add_row(
            escape(line.key),
            f"[{colour}]{line.outcome}[/]",
            line.setting,
            escape(value if len(value) <= 60 else f"{value[:57]}..."),
            escape(line.why),
        )
    out = console()
    out.print(f"{escape(found.path.name)}: {found.kind}, {counted(len(found.lines), 'key')}\n")
    out.print(table)
    counts: dict[str, int] = {}
    for line in found.lines:
        counts[line.outcome] = counts.get(line.outcome, 0) + 1
    out.print("\n" + ", ".join(f"{number} {outcome}" for outcome, number in counts.items()))
    for warning in found.warnings:
        out.print(f"[red]before it can run:[/] {escape(warning)}")


def _words(found: Imported, out: Path) -> list[str]:
    """What to write behind `lora-lab train` to use the recipe."""
    folder = out.parent.parent
    words = [] if folder.resolve() == CONF_DIR.resolve() else [f"--config-dir {folder}"]
    words += [f"base_model={FAMILIES[found.family].conf}" if found.family else "base_model=..."]
    words += [f"recipe={out.stem}"]
    for key, hint in (("base_model.path", "FILE"), ("dataset.path", "FOLDER")):
        words += [f"{key}={hint}"] if not found.settings.get(key) else []
    return words
