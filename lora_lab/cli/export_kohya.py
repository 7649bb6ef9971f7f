"""`export-kohya`: what a run was trained with, as arguments of sd-scripts."""

from __future__ import annotations

import argparse
from pathlib import Path

from lora_lab.cli.as_json import print_json
from lora_lab.config import flat
from lora_lab.config import settings as config_settings
from lora_lab.errors import RunFolderError
from lora_lab.files import write_text
from lora_lab.kohya import Arguments, arguments, toml_text
from lora_lab.models.families import ASSUMED, FAMILIES
from lora_lab.outputs import folder_for, owner, refuse_to_overwrite, remember
from lora_lab.resolved import GROUPS, Resolved
from lora_lab.store import SweepFolder
from lora_lab.store.layout import lora_name
from lora_lab.store.reading import Run, read_sweep_folder

PRECISION = ("train.mixed_precision", "train.full_bf16", "train.full_fp16", "train.attention")
"""What a device may have had to do in another way than asked for."""


def export_arguments(given: argparse.Namespace) -> int:
    """Write what a run was trained with as arguments of sd-scripts."""
    run = _run(Path(given.run), given.results)
    made = _arguments_of(run)
    if given.json:
        told = {"script": made.script, "arguments": made.values, "prompts": made.prompts}
        print_json({**told, "notes": made.notes})
        return 0
    folder = folder_for(given.output) if given.output else run.folder.path.parent / "exports"
    target, prompts = (folder / f"{made.values['output_name']}.{end}" for end in ("toml", "prompts.txt"))
    files = [target, *([prompts] if made.prompts else [])]
    by = owner("export-kohya", run.folder.path, target)
    refuse_to_overwrite(files, by)
    if made.prompts:
        made.values["sample_prompts"] = str(prompts.resolve())
        write_text(prompts, "\n".join(made.prompts) + "\n")
    write_text(target, toml_text(made.values, f"{run.name}, for: python {made.script} --config_file FILE"))
    remember(files, by)
    for file in files:
        print(file)
    for note in made.notes:
        print(f"note: {note}")
    print(f"train it there:  accelerate launch {made.script} --config_file {target}")
    return 0


def _run(path: Path, root: str | None) -> Run:
    """The run of a folder, or of a name such as demo/lion.

    Raises:
        RunFolderError: There is no such run, or its settings cannot be read.
    """
    where = Path(root or config_settings()["results"].default)
    for folder in (path, where / path):
        if not folder.is_dir() or not SweepFolder(folder.parent).is_sweep():
            continue
        found = read_sweep_folder(folder.parent).called(folder.name)
        if found is not None and found.record.external:
            raise RunFolderError(
                f"{folder} was trained elsewhere, and not all of its settings are known: go back to the "
                "files of its own trainer"
            )
        if found is not None and found.config is not None:
            return found
        if found is not None:
            raise RunFolderError(f"{folder}: {found.problem}")
    raise RunFolderError(f"there is no run {path}: give its folder, such as results/demo/lion, or demo/lion")


def _arguments_of(run: Run) -> Arguments:
    """The arguments of a run, by what acted in it; a run that was never resolved, by its config.

    The precision is the one asked for: what ran may be a CPU's way round it.
    """
    config, plain = run.config, run.record.resolved
    assert config is not None
    values, without, family = flat(config), set[str](), config.base_model.family
    if plain:
        resolved = Resolved.from_plain(plain)
        for group in GROUPS:
            values |= {f"{group}.{key}": value for key, value in vars(getattr(resolved, group)).items()}
        precision = {key: value for key, value in flat(config).items() if key in PRECISION}
        values, without, family = values | precision, set(resolved.no_effect), resolved.facts.family
    known = FAMILIES.get(family) or FAMILIES[ASSUMED]
    return arguments(values, known, lora_name(run.known_as), without)
