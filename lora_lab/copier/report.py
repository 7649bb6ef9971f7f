"""What a copier did: numbers, a sheet and a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lora_lab.contact_sheets import Line, sheet
from lora_lab.copier.measure import Edit, Moved, Pixels, edit_of, moved
from lora_lab.copier.pair import Pair
from lora_lab.copier.show import COPIER, LORA_A, LORA_B, Files, keep, shots, show
from lora_lab.loras.merge import Result
from lora_lab.preview import Shot
from lora_lab.resolved import Resolved


@dataclass(frozen=True)
class Rendered:
    """One image with what it shows."""

    shot: Shot
    path: Path
    pixels: Pixels


@dataclass(frozen=True)
class Report:
    """What was found. `copies` maps 'base', 'A' and 'B' to the mean difference (0 to 255) from image A
    (base, A) and B (B) at the empty prompt; `strengths` maps a strength to the mean over all prompts and
    seeds.
    """

    edit: Edit
    copies: dict[str, float]
    strengths: dict[float, Moved]
    images: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "rule_of_colours_explains": self.edit.explained,
            "copies": self.copies,
            "strengths": [
                {"strength": strength, **_values(item)} for strength, item in self.strengths.items()
            ],
            "images": self.images,
        }


def make(
    resolved: Resolved, device: str, shown: tuple[Pair, Files], strengths: Sequence[float], place: Path
) -> tuple[Report, list[Rendered]]:
    """Render everything into `place` and measure it.

    Args:
        resolved: A's settings: base model and previews.
        device: Where to render, as `device` of a config.
        shown: The two images and the LoRA files.
        strengths: 0 first.
        place: A folder, made where it is missing.
    """
    pair, files = shown
    merged = files.b == files.copier
    wanted = shots(resolved, strengths, merged)
    rendered = []
    for shot, image in zip(wanted, show(resolved, device, files, wanted), strict=True):
        path = keep(image, place / _name(shot, resolved.preview.prompts))
        rendered.append(Rendered(shot, path, np.asarray(image, dtype=np.float64)))
    size = (rendered[0].pixels.shape[1], rendered[0].pixels.shape[0])
    edit = edit_of(_fitted(pair.before, size), _fitted(pair.after, size))
    return _measured(edit, rendered, len(strengths), 2 if merged else 3), rendered


def _measured(edit: Edit, rendered: Sequence[Rendered], strengths: int, alone: int) -> Report:
    names, aims = ("base", "A", "B"), (edit.before, edit.before, edit.after)
    copies = {
        name: float(np.abs(item.pixels - aim).mean())
        for name, aim, item in zip(names, aims, rendered[:alone], strict=False)
    }
    images, by_strength = [], {}  # type: list[dict[str, Any]], dict[float, list[Moved]]
    shown = rendered[alone:]
    for start in range(0, len(shown), strengths):
        base = shown[start]
        for item in shown[start : start + strengths]:
            found = moved(edit, base.pixels, item.pixels)
            by_strength.setdefault(item.shot.strength, []).append(found)
            words = {"file": item.path.name, "prompt": item.shot.prompt, "seed": item.shot.seed}
            images.append({**words, "strength": item.shot.strength, **_values(found)})
    means = {strength: _mean(found) for strength, found in by_strength.items() if strength}
    return Report(edit, copies, means, images)


def _values(found: Moved) -> dict[str, float]:
    return {"towards_b": found.towards, "anything_else": found.else_, "distance": found.distance}


def _mean(found: Sequence[Moved]) -> Moved:
    rows = np.array([(item.towards, item.else_, item.distance) for item in found])
    return Moved(*map(float, rows.mean(axis=0)))


def _fitted(pixels: Any, size: tuple[int, int]) -> Pixels:
    image = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.float64)


def _name(shot: Shot, texts: Sequence[str]) -> str:
    alone = {LORA_A: "lora-a.png", LORA_B: "lora-b.png"}
    if shot.slot in alone:
        return alone[shot.slot]
    if shot.slot != COPIER and shot.prompt == "" and "" not in texts:
        return "bare.png"
    return f"p{list(texts).index(shot.prompt)}-s{shot.seed}-w{shot.strength:g}.png"


def draw(path: Path, name: str, pair: Pair, rendered: Sequence[Rendered], strengths: Sequence[float]) -> None:
    """The sheet: the two images and their LoRAs on top, then a line for every strength."""
    alone = {item.shot.slot: item for item in rendered if item.shot.slot in (LORA_A, LORA_B)}
    head: list[Path | None] = [*pair.paths, *(item.path for item in alone.values())]
    shown = [item for item in rendered if item.shot.slot not in alone][1:]
    lines = [Line("the images", "A, B, and what\ntheir LoRAs render\nwithout a prompt", head)]
    for strength in strengths:
        tiles = [item.path for item in shown if item.shot.strength == strength]
        lines.append(Line(f"strength {strength:g}", "the copier" if strength else "without it", tiles))
    heads = [f"s{item.shot.seed} {item.shot.prompt}" for item in shown if item.shot.strength == 0]
    columns = max(len(heads), len(head))
    sheet(path, f"{name}: from A to B", heads + [""] * (columns - len(heads)), lines)


def lines(report: Report, result: Result, new_rank: int) -> list[str]:
    """The report in words."""
    copies = report.copies
    text = [
        f"rank {new_rank} holds {100 * result.share:.1f} % of the difference",
        f"A's LoRA copies A to {copies['A']:.1f} of 255 (without LoRA: {copies['base']:.1f})"
        + (f", B's LoRA copies B to {copies['B']:.1f}" if "B" in copies else ""),
    ]
    share = 100 * report.edit.explained
    if report.edit.is_rule:
        text.append(f"A to B is a change of colours ({share:.0f} % of it): it is expected of every image")
    else:
        text.append(
            f"a change of colours explains {share:.0f} % of A to B: it is expected where B differs from A, "
            "and nowhere else"
        )
    text.append("strength   towards B   anything else   distance from strength 0 (of 255)")
    for strength, found in report.strengths.items():
        shares = f"{100 * found.towards:>7.0f} %   {100 * found.else_:>11.0f} %"
        text.append(f"{strength:>8g}   {shares}   {found.distance:>8.1f}")
    return text
