"""Which previews of an earlier worker stay: what the settings of now would draw, and all that was judged."""

from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from PIL import Image

from lora_lab.config import load
from lora_lab.effective.previews import wanted_shots
from lora_lab.errors import LoraLabError
from lora_lab.resolved import Resolved
from lora_lab.run.previews import SEEN_ON_PREVIEWS, measure_preview
from lora_lab.store import Checkpoint, RunFolder, RunRecord, SweepFolder, preview_name, read_scores


def forget_stale(folder: RunFolder, record: RunRecord, resolved: Resolved) -> set[str]:
    """Take previews that other settings drew out of the record, and delete files that no record names.

    What the settings of now would draw just so stays, under the number that its prompt has now. Images that
    somebody judged are kept for ever: they go to a folder of their own, named by the settings that they were
    rendered with.

    Args:
        resolved: The settings as they are now.

    Returns:
        The tags of checkpoints whose previews stay, and whose numbers as a whole have to be found again.
    """
    earlier = record.preview_fingerprint
    changed = earlier != resolved.preview_fingerprint
    # Without their LoRA files nothing can be rendered anew: those previews stay as they are.
    renewable = [item for item in record.checkpoints if not item.discarded]
    judged, unmeasured = judged_previews(folder), set()
    for checkpoint in renewable:
        seen = judged.get(checkpoint.tag, set())
        kept = {Path(item.file).name for item in checkpoint.previews if item.drawn in seen} | seen
        _keep_wanted(folder, checkpoint, resolved, changed=changed)
        named = {folder.path / item.file for item in checkpoint.previews}
        for file in folder.previews(checkpoint.tag).glob("*.png"):
            if file in named:
                continue
            if file.name in kept:
                _keep_judged(file, earlier)
            else:
                file.unlink(missing_ok=True)
        if changed:
            _measure_again(folder, checkpoint, resolved)
            unmeasured |= {checkpoint.tag} if checkpoint.previews else set()
    record.preview_fingerprint = resolved.preview_fingerprint
    return unmeasured


def _keep_wanted(folder: RunFolder, checkpoint: Checkpoint, resolved: Resolved, *, changed: bool) -> None:
    """Leave the previews in a checkpoint that it is to have, and that are there."""
    wanted = wanted_shots(resolved)
    drawn_by = {shot: drawn for drawn, shot in wanted.items()}
    kept = []
    for item in checkpoint.previews:
        if not item.drawn and not changed:
            # Of a version that did not say what drew it; the settings are the ones of then.
            item.drawn = drawn_by.get((item.prompt, item.seed, item.strength), "")
        if item.drawn in wanted and (folder.path / item.file).is_file():
            item.prompt, item.seed, item.strength = wanted[item.drawn]
            kept.append(item)
    checkpoint.previews = kept


def _measure_again(folder: RunFolder, checkpoint: Checkpoint, resolved: Resolved) -> None:
    """Measure what was kept by the settings of now; the numbers of a whole checkpoint wait for the rest."""
    checkpoint.metrics = {}
    checkpoint.flags = [flag for flag in checkpoint.flags if flag not in SEEN_ON_PREVIEWS]
    for item in checkpoint.previews:
        with Image.open(folder.path / item.file) as opened:
            measure_preview(item, opened.convert("RGB"), folder, resolved)


def judged_previews(folder: RunFolder) -> dict[str, set[str]]:
    """The previews of a run that somebody scored or compared, by checkpoint: what drew them, and the file
    names that they have as a rule. A log that cannot be read is an error: nothing may be deleted on a guess.

    Raises:
        RunFolderError: The log of scores cannot be read.
    """
    log = read_scores(SweepFolder(folder.path.parent))
    names = {folder.name}
    with suppress(LoraLabError):
        # Its folder may have been renamed since it was judged.
        names.add(load(folder.config_file, checked=False).name)
    found: dict[str, set[str]] = defaultdict(set)
    for item in log.scores:
        for run, tag in item.places:
            if run in names:
                found[tag] |= {preview_name(*shot) for shot in item.shots} | set(item.drawn)
    for pair in log.pairs:
        for (run, tag), drawn in zip((pair.left, pair.right), pair.drawn, strict=True):
            if run in names:
                found[tag] |= {preview_name(*shot) for shot in pair.shots} | set(drawn)
    return found


def _keep_judged(file: Path, fingerprint: str) -> None:
    """Move an image that was judged beside the new ones; another that is there under its name stays, too."""
    place = file.parent / f"judged-{fingerprint[:8] or 'before'}"
    place.mkdir(exist_ok=True)
    target, number = place / file.name, 2
    while target.exists():
        target, number = place / f"{file.stem}-{number}{file.suffix}", number + 1
    file.rename(target)
