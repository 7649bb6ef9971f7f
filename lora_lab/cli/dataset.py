"""`lora-lab dataset`: look at a folder of images before it is trained on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from lora_lab import config
from lora_lab.cli.as_json import print_json
from lora_lab.cli.show import console, grid
from lora_lab.config import RunConfig, quoted
from lora_lab.counts import counted
from lora_lab.data.folder import names_apart
from lora_lab.data.summary import summary
from lora_lab.data.toml import is_dataset_file
from lora_lab.errors import ConfigError
from lora_lab.files import write_text
from lora_lab.models.families import FAMILIES, USUAL
from lora_lab.outputs import refuse_to_overwrite, remember
from lora_lab.sweep.run_names import split
from lora_lab.training_data import DEMO, survey

OFTEN = 5
"""Times as often an image is shown as another from which on it is said."""
_SIGNS = {"error": "[red]✕[/]", "warning": "[yellow]▲[/]", "fine": "[green]✓[/]"}


def settings_for(folder: str, words: Sequence[str], conf_dirs: Sequence[str]) -> RunConfig:
    """The settings that a folder would be trained with.

    Raises:
        ConfigError: A word is no setting, or `folder` is not there.
    """
    if any(split(word)[0] == "dataset.path" for word in words):
        raise ConfigError("dataset.path is the folder that the command is given; leave it out")
    if folder != DEMO and not Path(folder).expanduser().exists():
        raise ConfigError(f"{folder}: there is no such folder")
    if folder != DEMO and Path(folder).expanduser().is_file() and not is_dataset_file(Path(folder)):
        raise ConfigError(f"{folder} is a file: give its folder, or a dataset file (.toml, .json)")
    chosen = any(split(word)[0] == "base_model" for word in words)
    base = [] if chosen else [f"base_model={FAMILIES[USUAL].conf}"]
    return config.compose([*base, *words, f"dataset.path={quoted(folder)}"], conf_dirs, checked=False)


def about(settings: RunConfig) -> str:
    """What images are checked for, in words."""
    family = settings.base_model.family
    title = FAMILIES[family].title if family in FAMILIES else "the base model"
    width, height = config.parse_resolution(settings.dataset.resolution)
    return f"{title} at {width}x{height}"


def check(given: argparse.Namespace) -> int:
    """Write the page and print what was found."""
    from lora_lab.dataset.check import check as look
    from lora_lab.dataset.page import page

    settings = settings_for(given.folder, given.overrides, given.config_dir)
    name = Path(given.folder).expanduser().resolve().name
    target = Path(given.output) if given.output else Path(f"{name}-check.html")
    by = f"check of {Path(given.folder).expanduser().resolve()}"
    refuse_to_overwrite([target], by)
    found = look(settings, trigger=given.trigger, on_image=progress)
    write_text(target, page(found, about(settings)))
    remember([target], by)
    if given.json:
        told = {"page": str(target), "checked_for": about(settings)} | found.to_json()
        print_json(told)
        return 1 if found.errors else 0
    from lora_lab.dataset.summary import findings

    out = console()
    count = counted(len(found.images), "image")
    out.print(f"[bold]{count}[/], for {escape(about(settings))}", soft_wrap=True)
    for line in findings(found):
        out.print(f"{_SIGNS[line.kind]} {escape(line.text)}", soft_wrap=True)
    out.print(f"page: {escape(str(target))}", soft_wrap=True)
    return 1 if found.errors else 0


def progress(done: int, total: int) -> None:
    """Say on a terminal how far a look at all images has come."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} of {counted(total, 'image')}" if done < total else "\r\033[K")


def buckets(given: argparse.Namespace) -> int:
    """Print the buckets, and draw them."""
    settings = settings_for(given.folder, given.overrides, given.config_dir)
    target = Path(given.output) if given.output else None
    if target and target.suffix.lower() not in (".png", ".svg"):
        raise ConfigError(f"--output {target} must end in .png or .svg")
    plan = survey(settings)
    found = summary(plan)
    if target and found.buckets:
        from lora_lab.dataset.image import write_image

        by = f"buckets of {Path(given.folder).expanduser().resolve()}"
        refuse_to_overwrite([target], by)
        write_image(found.buckets, target)
        remember([target], by)
    errors = [item for item in plan.problems if item.severity == "error"]
    if given.json:
        told = {"checked_for": about(settings), "problems": [str(item) for item in plan.problems]}
        print_json(told | found.to_json())
        return 1 if errors else 0
    table = grid("bucket", "aspect", "images", "samples per epoch", "crop takes up to", right=_NUMBERS)
    for one in sorted(found.buckets, key=lambda bucket: bucket.width / bucket.height):
        shape = f"{one.width}x{one.height}"
        ratio = f"{one.width / one.height:.2f}"
        cut = f"{one.cut:.0%} ({escape(one.most_cut)})" if one.cut >= 0.005 else "0%"
        table.add_row(shape, ratio, str(one.images), str(one.draws), cut)
    out = console()
    out.print(f"for {escape(about(settings))}")
    out.print(table)
    for item in plan.problems:
        out.print(escape(str(item)), soft_wrap=True)
    if target and found.buckets:
        out.print(f"image: {escape(str(target))}", soft_wrap=True)
    return 1 if errors else 0


def balance(given: argparse.Namespace) -> int:
    """Print what balancing does to each folder, or bucket."""
    settings = settings_for(given.folder, given.overrides, given.config_dir)
    before = _groups(settings, given.by)
    settings.dataset.balance = given.by
    after = _groups(settings, given.by)
    rows = [(name, images, draws, after[name][1]) for name, (images, draws) in before.items()]
    word = f"dataset.balance={given.by}"
    if given.json:
        keys = ("name", "images", "samples", "balanced_samples")
        told = {"setting": word, "groups": [dict(zip(keys, row, strict=True)) for row in rows]}
        print_json(told)
        return 0
    heads = ("images", "samples now", "repeats", "samples balanced", "repeats balanced")
    table = grid(given.by[:-1], *heads, right=heads)
    for name, images, now, then in rows:
        cells = [str(images), str(now), _per_image(now, images), str(then), _per_image(then, images)]
        table.add_row(escape(name), *cells)
    out = console()
    out.print(table)
    shares = [then / images for _, images, _, then in rows]
    if shares and max(shares) >= OFTEN * min(shares):
        most = max(rows, key=lambda row: row[3] / row[1])
        out.print(
            f"[yellow]▲[/] each image of {escape(most[0])} is shown {max(shares) / min(shares):.0f} times as "
            "often as others: few images learnt by heart; more of them would help",
            soft_wrap=True,
        )
    out.print(f"a run computes the same with {word}", soft_wrap=True)
    return 0


def _per_image(draws: int, images: int) -> str:
    low, over = divmod(draws, images)
    return f"{low}" if not over else f"{low} or {low + 1}"


def _groups(settings: RunConfig, by: str) -> dict[str, tuple[int, int]]:
    """(images, samples an epoch) by folder or bucket; regularisation images are in none."""
    from lora_lab.data.image_set import refuse_errors

    plan = survey(settings)
    refuse_errors(plan.problems)
    called = names_apart(item.folder for item in plan.items)
    found: dict[str, tuple[int, int]] = {}
    for item, place in zip(plan.items, plan.assignments, strict=True):
        if not item.is_reg:
            name = called[item.folder] if by == "folders" else f"{place.bucket[0]}x{place.bucket[1]}"
            images, draws = found.get(name, (0, 0))
            found[name] = (images + 1, draws + item.repeats)
    return found


_NUMBERS = ("aspect", "images", "samples per epoch")
