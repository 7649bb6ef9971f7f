"""`lora-lab dataset prepare` and `caption`: the verbs that write."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from lora_lab.cli.as_json import print_json
from lora_lab.cli.dataset import progress
from lora_lab.cli.show import console
from lora_lab.counts import counted
from lora_lab.data.image_set import readable
from lora_lab.dataset import edits
from lora_lab.dataset.edits import Change, Edit
from lora_lab.errors import ConfigError, DataError
from lora_lab.models.families import quality_tags

SHOWN = 12
"""Changes that a preview shows one by one."""


def prepare(given: argparse.Namespace) -> int:
    """Copy a plain folder into kohya's form."""
    from lora_lab.dataset.prepare import Wish
    from lora_lab.dataset.prepare import prepare as make

    if given.repeats < 1:
        raise ConfigError(f"--repeats must be at least 1, got {given.repeats}")
    extension = "." + given.caption_extension.lstrip(".")
    wish = Wish(given.trigger, given.class_word, given.repeats, extension, given.link)
    target = Path(given.output)
    done = make(Path(given.folder), target, wish)
    if given.json:
        rows = [asdict(item) | {"problems": [str(p) for p in item.problems]} for item in done]
        print_json({"path": str(target), "folders": rows}, default=str)
        return 0
    out = console()
    for item in done:
        what = f"{counted(item.images, 'image')}, {counted(item.captions, 'caption')}"
        out.print(f"{escape(readable(str(item.folder)))}: {what}", soft_wrap=True)
        for problem in item.problems:
            out.print(escape(str(problem)), soft_wrap=True)
    out.print(f"train on them with dataset.path={escape(str(target))}", soft_wrap=True)
    return 0


def caption(given: argparse.Namespace) -> int:
    """Show, write, or take back a change of all captions."""
    folder = Path(given.folder).expanduser()
    if given.undo:
        return _undo(folder, given)
    extension = "." + given.caption_extension.lstrip(".")
    images = edits.images_below(folder, extension)
    edit, wrong = _edit(given, images)
    changes = edits.plan(images, edit, extension)
    kept = edits.write(folder, changes) if given.write and changes else None
    if given.json:
        rows = [
            {"image": str(one.image), "file": str(one.file), "before": one.before, "after": one.after}
            for one in changes
        ]
        told = {"images": len(images), "changes": rows, "not_tagged": wrong, "written": kept is not None}
        print_json(told)
        return 0
    _show(changes, len(images), folder)
    out = console()
    for text in wrong:
        out.print(f"[yellow]▲[/] not tagged: {escape(readable(text))}", soft_wrap=True)
    if kept:
        out.print(
            f"written; `lora-lab dataset caption {escape(str(folder))} --undo` takes it back", soft_wrap=True
        )
    elif changes:
        out.print("nothing is written yet: --write does it", soft_wrap=True)
    return 0


def _edit(given: argparse.Namespace, images: Sequence[Path]) -> tuple[Edit, list[str]]:
    """What the options ask for, and the images that a tagger could not read."""
    asked = (
        given.add, given.add_first, given.remove, given.replace, given.first, given.sort, given.unique,
        given.spaces, given.quality, given.tagger,
    )  # fmt: skip
    if not any(asked):
        raise ConfigError(
            "say what to change: --add, --remove, --replace, --first, --tagger, ... (see --help)"
        )
    known = quality_tags()
    if given.quality and given.quality not in known:
        raise ConfigError(f"--quality {given.quality}: unknown; known: {', '.join(known)}")
    if clash := [text for text in given.replace if not text.partition("=")[0].strip() or "=" not in text]:
        raise ConfigError(f"--replace {clash[0]!r}: write OLD=NEW, such as 'red hat=red beret'")
    pairs = (text.partition("=") for text in given.replace)
    tagged, wrong = _tagged(given, images) if given.tagger else ({}, [])
    edit = Edit(
        tagged=tagged,
        keep=given.existing,
        spaces=given.spaces,
        remove=tuple(given.remove),
        replace={old.strip(): new.strip() for old, _, new in pairs},
        add_first=(*given.add_first, *known.get(given.quality or "", ())),
        add=tuple(given.add),
        first=tuple(given.first),
        sort=given.sort,
        unique=given.unique,
    )
    return edit, wrong


def _tagged(given: argparse.Namespace, images: Sequence[Path]) -> tuple[dict[Path, list[str]], list[str]]:
    from lora_lab.dataset.tagger import Tagger, Thresholds, tag_all

    for name in ("threshold", "character_threshold"):
        if not 0 <= getattr(given, name) <= 1:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} must be between 0 and 1, got {getattr(given, name)}")
    thresholds = Thresholds(given.threshold, given.character_threshold)
    return tag_all(Tagger(Path(given.tagger).expanduser()), images, thresholds, progress)


def _show(changes: Sequence[Change], images: int, folder: Path) -> None:
    out = console()
    for one in changes[:SHOWN]:
        name = one.file.relative_to(folder) if one.file.is_relative_to(folder) else one.file
        out.print(f"[bold]{escape(readable(str(name)))}[/]", soft_wrap=True)
        before = "(no caption)" if one.before is None else one.before
        out.print(f"  [red]-[/] {escape(readable(before))}", soft_wrap=True)
        out.print(f"  [green]+[/] {escape(readable(one.after))}", soft_wrap=True)
    if len(changes) > SHOWN:
        out.print(f"and {len(changes) - SHOWN} more")
    out.print(f"{len(changes)} of {counted(images, 'caption changes', 'captions change')}")


def _undo(folder: Path, given: argparse.Namespace) -> int:
    back, changed = edits.undo(folder)
    if given.json:
        told = {"undone": list(map(str, back)), "changed_since": list(map(str, changed))}
        print_json(told)
        return 1 if changed else 0
    print(f"{counted(len(back), 'caption is as it was', 'captions are as they were')} before")
    if changed:
        names = ", ".join(readable(file.name) for file in changed)
        raise DataError(f"changed by somebody since, and left alone: {names}")
    return 0
