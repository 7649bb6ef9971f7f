"""The full view of one preview: the image, what is known of it, and where the keys lead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lora_lab.axes import axis, show, show_setting
from lora_lab.review.browse.beside import beside, box
from lora_lab.review.browse.matrix import (
    CHECKPOINT,
    LAST,
    PROMPT,
    SEED,
    STRENGTH,
    Tile,
    tile,
)
from lora_lab.review.browse.runs import Run, Sweep
from lora_lab.review.web.gallery import gallery_of, page
from lora_lab.store import PHASES
from lora_lab.words import stage

LONGEST = 1024
"""Long side in pixels at which the full view reserves room for an image that is no larger."""


@dataclass(frozen=True)
class Step:
    """Where a key leads: a label, what stands there in words, and the tile."""

    key: str
    label: str
    words: str
    tile: Tile | None


def view(request: Request) -> Response:
    """One preview at full size."""
    sweep = gallery_of(request).read(request.path_params["sweep"])
    shown = asked_tile(sweep, request.query_params)
    run = shown.run
    place = {PROMPT: str(shown.prompt), SEED: str(shown.seed)}
    checkpoint = run.checkpoints.get(shown.tag)
    preview = run.previews.get((shown.tag, shown.prompt, shown.seed, shown.strength))
    here = f"/sweep/{quote(sweep.name)}/look"
    values = {
        "sweep": sweep,
        "tab": "view",
        "tile": shown,
        "run": run,
        "checkpoint": checkpoint,
        "preview": preview,
        "label": stage(shown.tag),
        "steps": {step.key: step for step in steps(sweep, shown)},
        "strengths": strengths(shown),
        "beside": beside(sweep, [run], place),
        "numbers": list(facts(shown)),
        "timings": [(phase, run.record.seconds.get(phase, 0.0)) for phase in PHASES],
        "box": box(run, max(max(run.size), LONGEST)),
        "open": lambda item: f"{here}/view?{urlencode(item.query)}",
        "back": f"{here}?{urlencode({**place, STRENGTH: f'{shown.strength:g}'})}",
        "compare": comparisons(sweep, shown),
        "show": show,
    }
    return page(request, "look_view.html", values)


def asked_tile(sweep: Sweep, query: Any) -> Tile:
    """The place that an address names; what it leaves out is the first there is.

    Raises:
        HTTPException: There is no such run (404), or a number is none (400).
    """
    run = sweep.runs.get(query.get("run", next(iter(sweep.runs))))
    if run is None:
        raise HTTPException(404, f"there is no run {query['run']!r} in this sweep")
    first = next(iter(run.previews), ("", 0, 0, 1.0))
    place = {
        CHECKPOINT: query.get(CHECKPOINT, LAST),
        PROMPT: query.get(PROMPT, str(first[1])),
        SEED: query.get(SEED, str(first[2])),
        STRENGTH: query.get(STRENGTH, f"{first[3]:g}"),
    }
    try:
        return tile(run, place)
    except ValueError:
        raise HTTPException(400, "prompt, seed and strength are numbers") from None


def steps(sweep: Sweep, shown: Tile) -> Iterator[Step]:
    """Where each key leads from a preview; nowhere at an end."""
    run = shown.run
    there = sorted(
        {(prompt, seed) for tag, prompt, seed, _ in run.previews if tag == shown.tag}
        or {(shown.prompt, shown.seed)}
    )
    pairs = [("ArrowLeft", -1), ("ArrowRight", 1)]
    seeds = len({seed for _, seed in there}) > 1
    for key, way in pairs:
        found = _next(there, (shown.prompt, shown.seed), way)
        words = f"prompt {found[0] + 1}" + (f", seed {found[1]}" if seeds else "") if found else ""
        other = at(run, shown, prompt=found[0], seed=found[1]) if found else None
        yield Step(key, "prompt", words, other)
    saved = [item for item in run.record.checkpoints if item.previews]
    tags = [item.tag for item in saved]
    labels = {item.tag: stage(item.tag) for item in saved}
    for key, way in (("ArrowUp", 1), ("ArrowDown", -1)):
        tag = _next(tags, shown.tag, way) or (tags[-1] if tags and shown.tag not in labels else None)
        yield Step(key, "epoch", labels[tag] if tag else "", at(run, shown, tag=tag) if tag else None)
    names = list(sweep.runs)
    for key, way in (("PageUp", -1), ("PageDown", 1)):
        name = _next(names, run.name, way)
        yield Step(key, "run", name or "", at(sweep.runs[name], shown) if name else None)
    levels = sorted({place[3] for place in run.previews})
    for key, way in (("[", -1), ("]", 1)):
        level = _next(levels, shown.strength, way)
        words = f"strength {level:g}" if level is not None else ""
        yield Step(key, "strength", words, None if level is None else at(run, shown, strength=level))


def _next(values: Sequence[Any], now: Any, way: int) -> Any:
    """The value before or after the present one, None at the ends."""
    place = values.index(now) + way if now in values else -1
    return values[place] if 0 <= place < len(values) else None


def at(run: Run, shown: Tile, **changed: Any) -> Tile:
    """The place of `run` that corresponds to a tile, in some respects another one.

    A run that has not the checkpoint gives the last one that is no later than it, else its last.
    """
    tag = changed.get("tag", shown.tag)
    if tag not in run.checkpoints:
        epoch = shown.run.checkpoints[tag].epoch if tag in shown.run.checkpoints else 0
        earlier = [item.tag for item in run.record.checkpoints if item.previews and item.epoch <= epoch]
        tag = earlier[-1] if earlier else LAST
    place = {
        CHECKPOINT: tag,
        PROMPT: str(changed.get("prompt", shown.prompt)),
        SEED: str(changed.get("seed", shown.seed)),
        STRENGTH: f"{changed.get('strength', shown.strength):g}",
    }
    return tile(run, place)


def strengths(shown: Tile) -> list[tuple[float, Tile]]:
    """The strengths at which this preview was rendered; none where there is only one."""
    run = shown.run
    levels = sorted(
        {
            level
            for tag, prompt, seed, level in run.previews
            if (tag, prompt, seed) == (shown.tag, shown.prompt, shown.seed)
        }
    )
    return [(level, at(run, shown, strength=level)) for level in levels] if len(levels) > 1 else []


def facts(shown: Tile) -> Iterator[tuple[str, str]]:
    """What was measured on the preview, the checkpoint and the run: label and text."""
    run, record = shown.run, shown.run.record
    checkpoint = run.checkpoints.get(shown.tag)
    preview = run.previews.get((shown.tag, shown.prompt, shown.seed, shown.strength))
    if checkpoint:
        yield "step", f"{checkpoint.step} of {record.total_steps}"
        if checkpoint.loss is not None:
            yield "loss", f"{checkpoint.loss:.4f}"
        yield "samples seen", f"{checkpoint.samples}"
        yield "trained for", duration(checkpoint.seconds)
        yield "file", size_text(checkpoint.size_bytes)
    for name, value in (preview.metrics if preview else {}).items():
        if value is not None:
            yield name.replace("_", " "), _rounded(value)
    for key in ("network.network_dim", "network.network_alpha", "optimizer.name", "optimizer.learning_rate"):
        if key in run.settings:
            yield axis(key).label, show_setting(key, run.settings[key])


def _rounded(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time as people say it: 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def size_text(count: int) -> str:
    """A file's size in kB or MB of a thousand."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def comparisons(sweep: Sweep, shown: Tile) -> list[tuple[str, str]]:
    """What a preview is most often compared with: label and address."""
    here = f"/sweep/{quote(sweep.name)}/look/compare"
    if shown.kind != "image":
        return []
    base = f"{shown.run.name}:base:{shown.prompt}:{shown.seed}:0"
    found = [("the base model without LoRA", base)]
    by_key: dict[str, Step] = {step.key: step for step in steps(sweep, shown)}
    labels: dict[str, Callable[[Step], str]] = {
        "ArrowDown": lambda step: step.words,
        "PageUp": lambda step: f"run {step.words}",
        "PageDown": lambda step: f"run {step.words}",
    }
    for key, text in labels.items():
        other = by_key[key].tile
        if other is not None and other.kind == "image":
            found.append((text(by_key[key]), other.pane))
    return [(label, f"{here}?{urlencode([('pane', shown.pane), ('pane', pane)])}") for label, pane in found]
