"""The compare view: two or more previews with one zoom, their difference, and how their settings differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lora_lab.review.browse.beside import box
from lora_lab.review.browse.differences import differences
from lora_lab.review.browse.matrix import Tile, tile
from lora_lab.review.browse.runs import Sweep
from lora_lab.review.web.gallery import gallery_of, page
from lora_lab.words import stage

BASE = "base"
"""In place of a checkpoint's tag: the bare base model's image of that run's prompt and seed."""
MOST = 12
LONGEST = 1024


@dataclass(frozen=True)
class Pane:
    """One image of a comparison; `without` is the address of the comparison that lacks it."""

    tile: Tile
    label: str
    size: tuple[int, int]
    base: bool
    without: str = ""


def compare(request: Request) -> Response:
    """Previews side by side."""
    sweep = gallery_of(request).read(request.path_params["sweep"])
    asked = request.query_params.getlist("pane")[:MOST]
    shown = [pane_of(sweep, text) for text in asked]
    here = f"/sweep/{quote(sweep.name)}/look"
    panes = [
        replace(pane, without=_address(here, [text for j, text in enumerate(asked) if j != number]))
        for number, pane in enumerate(shown)
    ]
    runs = list({pane.tile.run.name: pane.tile.run for pane in panes if not pane.base}.values())
    values = {
        "sweep": sweep,
        "tab": "compare",
        "panes": panes,
        "runs": runs,
        "table": differences(runs) if len(runs) > 1 else [],
        "steps": _steps(sweep, here, shown),
        "open": lambda item: f"{here}/view?{urlencode(item.query)}",
        "back": here,
        "most": MOST,
    }
    return page(request, "look_compare.html", values)


def _address(here: str, panes: Sequence[str]) -> str:
    return f"{here}/compare?{urlencode([('pane', pane) for pane in panes])}"


def pane_of(sweep: Sweep, text: str) -> Pane:
    """The image of `run:checkpoint:prompt:seed:strength`, as `Tile.pane` writes it.

    Raises:
        HTTPException: There is no such run (404), or a number is none (400).
    """
    parts = text.rsplit(":", 4)
    if len(parts) != 5 or parts[0] not in sweep.runs:
        raise HTTPException(404, f"there is no image {text!r} in this sweep")
    run, tag = sweep.runs[parts[0]], parts[1]
    try:
        place = dict(zip(("prompt", "seed", "strength"), parts[2:], strict=True))
        made = tile(run, {"checkpoint": tag, **place})
    except ValueError:
        raise HTTPException(400, "prompt, seed and strength are numbers") from None
    if tag == BASE:
        found = {(prompt, seed): item for prompt, seed, item, file in run.base_images() if file.is_file()}
        image = found.get((made.prompt, made.seed), "")
        kind, words = ("image", ()) if image else ("none", ("no image of the base model",))
        made = replace(made, kind=kind, image=image, words=words)
        return Pane(made, "without a LoRA", box(run, max(*run.size, LONGEST)), True)
    label = stage(tag)
    return Pane(made, label, box(run, max(*run.size, LONGEST)), False)


def _steps(sweep: Sweep, here: str, panes: Sequence[Pane]) -> list[tuple[str, str, str]]:
    """Key, label and address of the same comparison at the prompt (or seed) before and after."""
    if not panes:
        return []
    places = sorted({(prompt, seed) for pane in panes for _, prompt, seed, _ in pane.tile.run.previews})
    now = (panes[0].tile.prompt, panes[0].tile.seed)
    if now not in places:
        return []
    found = []
    for key, label, number in (
        ("ArrowLeft", "← prompt", places.index(now) - 1),
        ("ArrowRight", "prompt →", places.index(now) + 1),
    ):
        if 0 <= number < len(places):
            prompt, seed = places[number]
            texts = [_moved(pane, prompt, seed) for pane in panes]
            found.append((key, label, _address(here, texts)))
    return found


def _moved(pane: Pane, prompt: int, seed: int) -> str:
    return replace(pane.tile, prompt=prompt, seed=seed).pane
