"""A chosen LoRA as a file to pass on: how it was judged stands in it and on a card beside it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lab.config import flat as flat_config
from lora_lab.config.places import text_without_places, without_places
from lora_lab.errors import ModelError, RunFolderError
from lora_lab.files import replacing, write_json, write_text
from lora_lab.outputs import is_marked, refuse_to_overwrite, remember
from lora_lab.plots import Subject
from lora_lab.report.card import UNKNOWN_LICENSE, Exported, card, shown_by_webui
from lora_lab.report.images import chosen_shots
from lora_lab.report.recommended import OF_MACHINES
from lora_lab.report.runs import ReportData, report_data
from lora_lab.report.webui import Strength, strength_of
from lora_lab.store import Checkpoint, Preview
from lora_lab.store.layout import lora_name
from lora_lab.store.normal_names import find_tag
from lora_lab.verdict.evidence import SCORE, CheckpointEvidence, RunEvidence

WHOSE = ("lora_lab.sweep", "lora_lab.run", "lora_lab.checkpoint", "lora_lab.fingerprint")
"""What tells whose a file is."""


@dataclass(frozen=True)
class Choice:
    """The checkpoint to export; `advised` tells whether the scores chose it, and not the user."""

    run: RunEvidence
    checkpoint: Checkpoint
    judged: CheckpointEvidence
    source: Path
    advised: bool


def export(subject: Subject, folder: Path, chosen: str = "", license: str = UNKNOWN_LICENSE) -> list[Path]:
    """Write a checkpoint with its score into a folder, with a model card, previews, and what A1111 shows.

    Returns the files: the LoRA, its card, then the others.

    Args:
        subject: The sweep.
        folder: Where the files go.
        chosen: RUN or RUN:TAG; '' is the recommended run.
        license: As the Hub calls it, for the card.

    Raises:
        RunFolderError: There is no such run or checkpoint, or no recommendation.
        ModelError: The LoRA file is missing or damaged.
    """
    # Reading and writing LoRA files needs torch, which the rest of the report does without.
    from lora_lab.lora_files.disk import save_lora
    from lora_lab.lora_files.reading import read
    from lora_lab.loras.writing import portable

    data = report_data(subject, "en")
    choice = _choice(data, chosen)
    file = read(choice.source)
    metadata = file.metadata
    _refuse_another(data, choice, metadata)
    name = file_name(metadata.get("ss_output_name") or f"{data.folder.name}-{choice.source.stem}")
    shots = chosen_shots(choice.checkpoint.previews)
    target, text, webui, image = (folder / f"{name}.{end}" for end in ("safetensors", "md", "json", "png"))
    facts = _metadata(data, choice, metadata)
    # A sweep and its runs may be renamed with what was exported into their own folder.
    inside = folder.resolve().is_relative_to(data.folder.path.resolve())
    by = "export of " + " ".join(facts[key] for key in (WHOSE[2:] if inside else WHOSE))
    # Versions that left no marks wrote nothing for A1111: what is there is the user's own.
    earlier = [target, text, *(folder / name / Path(item.file).name for item in shots)]
    replaced = is_marked(folder) or not _is_of(target, facts)
    refuse_to_overwrite([webui, image, *(earlier if replaced else ())], by)
    whole = save_lora(target, portable(file), {**metadata, **facts})
    images = _images(data, choice, shots, folder / name)
    shown = [(shot, copy) for shot, copy in zip(shots, images, strict=True) if copy]
    about = Exported(
        name=name,
        run=choice.run,
        judged=choice.judged,
        advised=choice.advised,
        config=_config(data, choice.run),
        metadata=whole,
        strength=_strength(data, choice),
        license=license,
    )
    write_text(text, card(data, about, shown))
    write_json(webui, shown_by_webui(data, about))
    if shown:
        _copy(shown[0][1], image)
    made = [target, text, webui, *([image] if shown else ()), *(file for _, file in shown)]
    remember(made, by)
    return made


def _refuse_another(data: ReportData, choice: Choice, metadata: Mapping[str, str]) -> None:
    """Refuse a file that is not the one that the run saved and people judged, be it put there by hand.

    Raises:
        RunFolderError: It is of another experiment, of another step, or a verb made it.
    """
    from lora_lab.loras.writing import MADE

    record = data.worker(choice.run).record
    if record.external:
        return
    own = {record.fingerprint, str(record.resolved.get("fingerprint_1", "")), ""}
    other = metadata.get("lora_lab.fingerprint", "")
    step = metadata.get("ss_steps") or str(choice.checkpoint.step)
    what = ""
    if MADE in metadata:
        what = "a verb of `lora-lab lora` made it"
    elif other not in own:
        what = "it is of another experiment"
    elif step != str(choice.checkpoint.step):
        what = f"it is of step {step}, and the checkpoint of step {choice.checkpoint.step}"
    if what:
        raise RunFolderError(
            f"{choice.source} is not what run {choice.run.name} saved and people judged: {what}; put "
            "the run's own file back, or train the run again (`lora-lab sweep ... --redo`)"
        )


def _is_of(file: Path, facts: Mapping[str, str]) -> bool:
    """Whether a file says itself that it is this very checkpoint's, as versions without marks left it."""
    from lora_lab.lora_files.reading import read

    if not file.is_file():
        return False
    try:
        found = read(file).metadata
    except ModelError:
        return False
    return all(found.get(key) == facts[key] for key in WHOSE)


def _choice(data: ReportData, chosen: str) -> Choice:
    name, _, tag = chosen.partition(":")
    advice = data.verdict.recommendation
    if not name and advice is None:
        raise RunFolderError(
            f"{data.folder.name} has no recommended run, as nobody has scored it: name one, as in "
            f"`lora-lab export {data.folder.name} {data.evidence.own[0].name}`"
        )
    if not name and advice:
        name, tag = advice.run, advice.tag
    run = next((item for item in data.evidence.runs if item.name == name), None)
    if run is None:
        known = ", ".join(item.name for item in data.evidence.runs)
        raise RunFolderError(f"{data.folder.name} has no run {name!r}; there are: {known}")
    judged = _judged(run, tag)
    worker = data.worker(run)
    record = worker.record.checkpoint(judged.tag)
    source = worker.file(record) if record else None
    if record is None or source is None:
        raise RunFolderError(f"run {run.name} names no file of checkpoint {judged.tag} in its own folder")
    if not source.is_file():
        gone, again = (
            ("given up for room by `lora-lab gc`", " with --redo")
            if record.discarded
            else ("deleted or moved", "")
        )
        raise RunFolderError(
            f"{source} is not there, it was {gone}: put it back, name another checkpoint, or start the sweep "
            f"again{again}, which trains the run anew"
        )
    return Choice(run, record, judged, source, not chosen)


def _judged(run: RunEvidence, tag: str) -> CheckpointEvidence:
    """The checkpoint of a tag; without one, the one that stands for the run, else its last."""
    if not run.checkpoints:
        raise RunFolderError(f"run {run.name} has no checkpoint to export ({run.reason or run.status})")
    wanted = tag or run.chosen or run.checkpoints[-1].tag
    meant = find_tag(wanted, [item.tag for item in run.checkpoints])
    found = run.checkpoint(meant) if meant is not None else None
    if found is None:
        known = ", ".join(item.tag for item in run.checkpoints)
        raise RunFolderError(f"run {run.name} has no checkpoint {tag!r}; there are: {known}")
    return found


def _strength(data: ReportData, choice: Choice) -> Strength:
    """At which strength the checkpoint was judged."""
    sweep = data.subject.sweep
    scored = choice.judged.human is not None
    return strength_of(sweep.scores(), data.worker(choice.run).name, choice.checkpoint, scored)


def _metadata(data: ReportData, choice: Choice, metadata: Mapping[str, str]) -> dict[str, str]:
    """What is known of the checkpoint beyond its training, as `lora_lab.*`."""
    judged, record = choice.judged, data.worker(choice.run).record
    found = {
        "lora_lab.sweep": data.folder.name,
        "lora_lab.run": choice.run.name,
        "lora_lab.checkpoint": judged.tag,
        "lora_lab.fingerprint": metadata.get("lora_lab.fingerprint") or record.fingerprint,
        "lora_lab.preview_seeds": json.dumps(sorted({item.seed for item in choice.checkpoint.previews})),
        "lora_lab.raters": str(len(judged.raters)),
        "lora_lab.score_count": str(judged.judgements),
    }
    if judged.human is not None:
        found["lora_lab.score"] = f"{judged.human:.1f}"
    elif judged.score is not None and data.evidence.criterion != SCORE:
        found[f"lora_lab.metric.{data.evidence.criterion}"] = f"{judged.score:.4g}"
    if "lora_lab.config" in metadata:
        found["lora_lab.config"] = text_without_places(metadata["lora_lab.config"], OF_MACHINES)
    return found


def file_name(name: str) -> str:
    """A name that files may have everywhere and that `<lora:name:1>` can hold."""
    return re.sub(r"[^\w.\-+]+", "_", lora_name(name)).strip("._") or "lora"


def _config(data: ReportData, run: RunEvidence) -> dict[str, Any]:
    """All settings of a run by key; none where its config cannot be read.

    Of a LoRA that was trained elsewhere those that are known; its own job is only how it was rendered.
    """
    worker = data.worker(run)
    if worker.config is None:
        return {}
    values = flat_config(worker.config)
    if worker.record.external:
        known = {key: value for key, value in worker.settings.items() if key in values}
        values = {
            key: value if key.startswith("preview.") else known.get(key) for key, value in values.items()
        }
    return without_places(values)


def _images(data: ReportData, choice: Choice, shots: list[Preview], folder: Path) -> list[Path | None]:
    """The previews as they were rendered, with the settings that are written in them."""
    found: list[Path | None] = []
    for shot in shots:
        source = data.worker(choice.run).file(shot)
        if source is None or not source.is_file():
            found.append(None)
            continue
        target = folder / source.name
        _copy(source, target)
        found.append(target)
    return found


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
