"""Previews of a pack's checkpoints: what to render, rendering it in one batch, measuring and recording it."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lora_lab.anchors import anchor_name
from lora_lab.config import parse_resolution
from lora_lab.data.buckets import Assignment
from lora_lab.data.image_set import CaptionedImage
from lora_lab.data.pixels import load_pixels
from lora_lab.effective.previews import drawn, wanted_shots
from lora_lab.files import replacing, write_json, write_text
from lora_lab.metrics import measure
from lora_lab.metrics.sets import COPY_FLAGS
from lora_lab.models import BaseModel
from lora_lab.networks.pack import Pack
from lora_lab.preview import RenderSettings, Shot, parameters_text, render, save_png
from lora_lab.preview.samplers import SAMPLERS
from lora_lab.resolved import PreviewBase, Resolved, digest
from lora_lab.store import Checkpoint, Preview, RunFolder, SweepFolder, preview_name
from lora_lab.store.layout import lora_name
from lora_lab.training_data import TrainingData

ANCHOR_IMAGES = 6
"""Training images that are copied beside the previews."""
DRAWN = "drawn.json"
"""Beside the base model's images: what draws each of them."""
SEEN_ON_PREVIEWS = ("black", "flat", "same as base", *COPY_FLAGS)
"""Flags of a checkpoint that come from its previews."""


@dataclass(frozen=True)
class Wanted:
    """One preview to be made of a checkpoint that lies in `slot`."""

    folder: RunFolder
    resolved: Resolved
    checkpoint: Checkpoint
    slot: int
    prompt: int
    seed: int
    strength: float
    drawn: str

    @property
    def on(self) -> PreviewBase | None:
        """The further base model that it is on; None is the run's own."""
        return self.resolved.shown_on(self.prompt)

    @property
    def path(self) -> Path:
        """Where the image goes; a prompt that has got another number keeps its files, so a name may be
        taken."""
        path = self.folder.previews(self.checkpoint.tag) / preview_name(self.prompt, self.seed, self.strength)
        file = str(path.relative_to(self.folder.path))
        taken = any(item.file == file and item.drawn != self.drawn for item in self.checkpoint.previews)
        return path.with_stem(f"{path.stem}-{self.drawn[:8]}") if taken else path


def anchors_of(folder: RunFolder, resolved: Resolved) -> Path:
    """Where the base model's images of this run's prompts and seeds lie, shared within the sweep."""
    return SweepFolder(folder.path.parent).anchors / resolved.anchors


def render_settings(resolved: Resolved, on: PreviewBase | None = None) -> RenderSettings:
    """What all previews of a run on one base model share; a further one is what it says of itself."""
    own = resolved.preview
    return RenderSettings(
        own.steps,
        own.guidance_scale,
        own.sampler,
        parse_resolution(own.size or ""),
        own.batch_size,
        resolved.base_model.max_token_length,
        None if on else resolved.loss.zero_terminal_snr,
        "" if on else resolved.prediction_type,
        own.flow_shift,
    )


def wanted_of(folder: RunFolder, resolved: Resolved, checkpoint: Checkpoint, slot: int) -> list[Wanted]:
    """The previews that a checkpoint should have and has not, on every base model."""
    have = {item.drawn for item in checkpoint.previews}
    return [
        Wanted(folder, resolved, checkpoint, slot, *shot, drawn_by)
        for drawn_by, shot in wanted_shots(resolved).items()
        if drawn_by not in have
    ]


def on_base(wanted: Sequence[Wanted], path: str = "") -> list[Wanted]:
    """Those of the previews that are on the further base model of a path; '' is the runs' own."""
    return [item for item in wanted if (item.on.path if item.on else "") == path]


def make_previews(base: BaseModel, pack: Pack | None, wanted: Sequence[Wanted]) -> Iterator[float]:
    """Render previews that are on one base model, save them, measure them, add them to their checkpoints.

    All that share settings go through the U-Net together, whichever run they belong to. Yields, for each
    preview when it is there, the seconds that its metrics took.
    """
    groups: dict[RenderSettings, list[Wanted]] = {}
    for item in wanted:
        groups.setdefault(render_settings(item.resolved, item.on), []).append(item)
    for settings, members in groups.items():
        shots = [
            Shot(
                item.slot,
                item.resolved.shown_text(item.prompt),
                item.seed,
                item.strength,
                item.resolved.preview.clip_skip or 1,
                item.resolved.preview.negative_prompt,
            )
            for item in members
        ]
        for item, shot, image in zip(members, shots, render(base, pack, shots, settings), strict=True):
            yield _keep(item, shot, image, base)


def _keep(item: Wanted, shot: Shot, image: Image.Image, base: BaseModel) -> float:
    lora = f"{lora_name(item.folder.name)}-{item.checkpoint.tag}"
    path = item.path
    save_png(
        image, path, _parameters(shot, item.resolved, base, lora, image.size, further=item.on is not None)
    )
    started = time.perf_counter()
    preview = Preview(
        str(path.relative_to(item.folder.path)),
        item.prompt,
        item.seed,
        item.strength,
        shot.prompt,
        drawn=item.drawn,
        base_model=item.on.name if item.on else "",
    )
    measure_preview(preview, image, item.folder, item.resolved)
    item.checkpoint.previews.append(preview)
    return time.perf_counter() - started


def measure_preview(preview: Preview, image: Image.Image, folder: RunFolder, resolved: Resolved) -> None:
    """Set the numbers and flags of one preview that need no others beside it."""
    anchor = anchors_of(folder, resolved) / anchor_name(preview.prompt, preview.seed)
    bare = Image.open(anchor) if anchor.is_file() else None
    measured = measure(image, bare, preview.strength, resolved.metric.names)
    preview.flags, preview.metrics = measured.flags, measured.numbers


def _parameters(
    shot: Shot, resolved: Resolved, base: BaseModel, lora: str, size: tuple[int, int], *, further: bool
) -> str:
    own = resolved.preview
    vae = None if further else resolved.base_model.vae
    terminal_zero = base.zero_terminal_snr if further else resolved.loss.zero_terminal_snr
    return parameters_text(
        shot.prompt,
        shot.negative_prompt,
        f"{lora}:{shot.strength:g}" if lora else "",
        {
            "Steps": own.steps,
            "Sampler": SAMPLERS[own.sampler].label,
            **dict(SAMPLERS[own.sampler].notes),
            "CFG scale": own.guidance_scale,
            "Seed": shot.seed,
            "Size": f"{size[0]}x{size[1]}",
            "Model": base.name,
            "VAE": Path(vae).name if vae else "None",
            "Clip skip": shot.clip_skip,
            "RNG": "CPU",
            **({"Noise Schedule": "Zero Terminal SNR"} if terminal_zero else {}),
            "Version": "lora_lab",
        },
    )


def in_order(checkpoint: Checkpoint, resolved: Resolved) -> None:
    """Put a checkpoint's previews in the order of the settings; some may be older than the others."""
    order = {drawn_by: number for number, drawn_by in enumerate(wanted_shots(resolved))}
    checkpoint.previews.sort(key=lambda item: order.get(item.drawn, len(order)))


def summarise(checkpoint: Checkpoint, strengths: Sequence[float]) -> None:
    """Set a checkpoint's numbers to the means over its previews, and its flags to what most of them show.

    Likeness and the like are taken at the strength nearest 1, at which a LoRA is meant to be used.
    """
    if not checkpoint.previews:
        return
    at = min(strengths, key=lambda strength: abs(strength - 1))
    shown = [item for item in checkpoint.previews if item.strength == at] or checkpoint.previews
    names = dict.fromkeys(name for item in shown for name in item.metrics)
    for name in names:
        values = [value for item in shown if (value := item.metrics.get(name)) is not None]
        checkpoint.metrics[name] = sum(values) / len(values) if values else None
    counts = {flag: sum(flag in item.flags for item in shown) for item in shown for flag in item.flags}
    flags = [flag for flag, count in counts.items() if 2 * count > len(shown)]
    checkpoint.flags = [flag for flag in checkpoint.flags if flag not in SEEN_ON_PREVIEWS] + flags


def make_anchors(
    base: BaseModel, pack: Pack | None, folder: RunFolder, resolved: Resolved, path: str = ""
) -> Iterator[Path]:
    """Render the bare base model for a run's prompts and seeds, where that is missing; yields each file.

    What the sweep's runs with other prompts or seeds have of it is taken from there.

    Args:
        path: Of the further base model that `base` is; '' is the run's own.
    """
    own = resolved.preview
    if not own.anchors:
        return
    target = anchors_of(folder, resolved)
    names = _anchors_drawn(resolved, _own_identity(target, None if path else base))
    write_json(target / DRAWN, names)
    on = next((item for item in resolved.facts.preview_bases if item.path == path), None)
    missing = [
        (prompt, seed)
        for prompt in resolved.shown_prompts
        for seed in own.seeds
        if resolved.shown_on(prompt) == on
        and not (target / anchor_name(prompt, seed)).is_file()
        and not _taken_from_beside(target / anchor_name(prompt, seed), names[anchor_name(prompt, seed)])
    ]
    shots = [
        Shot(-1, resolved.shown_text(prompt), seed, 0.0, own.clip_skip or 1, own.negative_prompt)
        for prompt, seed in missing
    ]
    images = render(base, pack, shots, render_settings(resolved, on))
    for (prompt, seed), shot, image in zip(missing, shots, images, strict=True):
        file = target / anchor_name(prompt, seed)
        save_png(image, file, _parameters(shot, resolved, base, "", image.size, further=bool(path)))
        yield file


def _anchors_drawn(resolved: Resolved, identity: str) -> dict[str, str]:
    """What draws each of the base model's images, by file name: more than a run's previews, since a sweep may
    be on several base models."""
    network, model = resolved.network, resolved.base_model
    merged = [network.base_weights, network.base_weights_multiplier]
    made_of = [identity, merged, model.fp8_base, model.nf4_base]
    return {
        anchor_name(prompt, seed): digest([drawn(resolved, prompt, seed, 0.0), *made_of])
        for prompt in resolved.shown_prompts
        for seed in resolved.preview.seeds
    }


def _taken_from_beside(path: Path, drawn_by: str) -> bool:
    """Copy an image of the base model from another folder of the sweep, if one has the very same."""
    for beside in sorted(path.parent.parent.glob(f"base-*/{DRAWN}")):
        try:
            names: dict[str, str] = json.loads(beside.read_text(encoding="utf-8"))
            found = next(name for name, other in names.items() if other == drawn_by)
            copied = (beside.parent / found).read_bytes()
        except (OSError, ValueError, AttributeError, StopIteration):
            continue
        with replacing(path) as temporary:
            temporary.write_bytes(copied)
        return True
    return False


def _own_identity(folder: Path, base: BaseModel | None) -> str:
    """The identity of the runs' own base model, as it is kept beside its images; those of one that has been
    replaced under its own name are dropped.

    Args:
        base: That model, where it is in memory.
    """
    mark = folder / "base.txt"
    known = mark.read_text(encoding="utf-8") if mark.is_file() else ""
    if base is None:
        return known
    identity = f"{base.identity} {base.vae_identity}"
    if known and known != identity:
        for image in folder.glob("*.png"):
            image.unlink()
    write_text(mark, identity)
    return identity


def images_of(folder: RunFolder, training_data: TrainingData) -> Path:
    """Where a few training images of a run lie, shared within the sweep."""
    return SweepFolder(folder.path.parent).anchors / f"pictures-{training_data.identity[:8]}"


def copy_images(folder: RunFolder, training_data: TrainingData) -> None:
    """Put a few training images beside the previews, cut as they are trained on."""
    target = images_of(folder, training_data)
    own = [
        pair
        for pair in zip(training_data.items, training_data.assignments, strict=True)
        if not pair[0].is_reg
    ]
    stride = max(len(own) // ANCHOR_IMAGES, 1)
    for number, (item, place) in enumerate(own[::stride][:ANCHOR_IMAGES]):
        path = target / f"{number}.png"
        if not path.is_file():
            with replacing(path) as temporary:
                cut_image(item, place).save(temporary, "PNG")


def cut_image(item: CaptionedImage, place: Assignment) -> Image.Image:
    """A training image as it is trained on."""
    pixels_CHW = (load_pixels(item, place) + 1) * 127.5
    return Image.fromarray(pixels_CHW.round().clip(0, 255).astype("uint8").transpose(1, 2, 0))
