"""`lora-lab copier`: the difference of two images as a LoRA."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lora_lab import config
from lora_lab.cli.as_json import print_json
from lora_lab.cli.ending import INTERRUPTED
from lora_lab.cli.start import carry_out
from lora_lab.copier import pair as pairs
from lora_lab.errors import ConfigError
from lora_lab.files import write_json
from lora_lab.outputs import owner, refuse_to_overwrite, remember
from lora_lab.resolved import Resolved
from lora_lab.store import SweepFolder
from lora_lab.sweep.run_names import name_problem
from lora_lab.training_data import gather

if TYPE_CHECKING:
    from lora_lab.sweep import Plan
    from lora_lab.sweep.launch import Outcome
    from lora_lab.sweep.plan import PlannedRun


def copier(given: argparse.Namespace) -> int:
    """Train both LoRAs, subtract them, render and measure."""
    strengths = pairs.check_strengths(given.strengths)
    words, paths = _sorted_out(given.words)
    if len(paths) != 2:
        raise ConfigError(f"give two images, A.png and its edited twin B.png; got {len(paths)}")
    if any(word.startswith("dataset.path=") for word in words):
        raise ConfigError("dataset.path is set by the command: its images are A.png and B.png")
    if given.new_rank < 1:
        raise ConfigError(f"--new-rank must be at least 1, got {given.new_rank}")
    pair = pairs.read_pair(*paths)
    name = given.name or pairs.default_name(*paths)
    if problem := name_problem(name):
        raise ConfigError(f"--name: {problem}")
    asked = config.compose(words, given.config_dir, checked=False)
    folder = SweepFolder(Path(asked.results).expanduser() / name)
    output = Path(given.output) if given.output else folder.path / f"{name}.safetensors"
    if output.suffix != ".safetensors":
        raise ConfigError(f"--output {output} must end in .safetensors")
    by = owner("copier", folder.path, output)
    refuse_to_overwrite([output], by, home=folder.path)
    recipe = [f"recipe={pairs.recipe_for(asked)}"]
    plan, outcome = _train(given, (name, recipe, pairs.place_images(folder, pair)), words, folder)
    if outcome.interrupted or len(outcome.of("done")) < len(outcome.statuses):
        sys.stderr.write("no copier was made: both LoRAs are needed; the same command goes on from here\n")
        return INTERRUPTED if outcome.interrupted else 1
    _finish(given, plan.row("A"), (name, pair, strengths), folder, output)
    remember([output], by)
    return 0


def _sorted_out(words: list[str]) -> tuple[list[str], list[Path]]:
    """Settings, and files: a word with '=' in it is a file only if there is one of that name."""
    files = [word for word in words if "=" not in word or Path(word).is_file()]
    return [word for word in words if word not in files], [Path(word).expanduser() for word in files]


def _train(
    given: argparse.Namespace,
    made_of: tuple[str, list[str], tuple[Path, Path]],
    words: list[str],
    folder: SweepFolder,
) -> tuple[Plan, Outcome]:
    """Both runs in one pack; with merged-base first A, then B on a base that holds it."""
    both = pairs.rows(*made_of)
    if given.method == "difference":
        return carry_out(both, words, folder, given)
    from lora_lab.copier.subtract import last_file

    first = replace(both, rows=both.rows[:1])
    plan, outcome = carry_out(first, words, folder, given)
    if outcome.of("done") != ["A"]:
        return plan, outcome
    return carry_out(pairs.rows(*made_of, merged=last_file(folder, "A").resolve()), words, folder, given)


def _shown(row: PlannedRun) -> Resolved:
    """A's settings with previews of the size that its image is trained at, unless another was asked for."""
    width, height = gather(row.config).assignments[0].bucket
    size = row.config.preview.size or f"{width}x{height}"
    return replace(row.resolved, preview=replace(row.resolved.preview, size=size))


def _finish(
    given: argparse.Namespace,
    row: PlannedRun,
    about: tuple[str, pairs.Pair, list[float]],
    folder: SweepFolder,
    output: Path,
) -> None:
    # Torch comes in only now: wrong images and settings are answered at once.
    from lora_lab.copier import report
    from lora_lab.copier.show import Files
    from lora_lab.copier.subtract import last_file, subtract

    name, pair, strengths = about
    result = subtract(folder, output, given.new_rank, given.precision, given.method)
    own = [last_file(folder, row) for row in ("A", "B")]
    if given.method == "merged-base":
        own[1] = output  # B alone is nothing: it was trained on a base that holds A
    files = Files(own[0], own[1], output, dict(result.modules))
    place = folder.path / "copier"
    found, rendered = report.make(_shown(row), row.config.device, (pair, files), strengths, place)
    sheet = folder.path / "copier.png"
    report.draw(sheet, name, pair, rendered, strengths)
    told = {
        "name": name, "method": given.method, "lora": str(output), "new_rank": given.new_rank,
        "retained_energy": result.share, "images_of": [str(path) for path in pair.paths],
    }  # fmt: skip
    told |= found.to_json()
    write_json(folder.path / "copier.json", told)
    if given.json:
        print_json(told)
        return
    print("\n".join(report.lines(found, result, given.new_rank)))
    print(f"LoRA: {output}\nimages: {sheet}\nnumbers: {folder.path / 'copier.json'}")
