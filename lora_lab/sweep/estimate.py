"""What a plan will cost: seconds, memory and disk of every run and of the whole, from recorded timings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_lab.config import parse_resolution
from lora_lab.config.schema import BudgetConfig, RunConfig
from lora_lab.engines.slots import slots
from lora_lab.sweep.pack_size import memory_of
from lora_lab.sweep.timings import (
    Cost,
    Timing,
    closest,
    device_words,
    fitted,
    kinds_of,
    points_of,
    preview_kind,
    recorded,
    sweeps_in,
)

if TYPE_CHECKING:
    from lora_lab.sweep.plan import PlannedRun

START_SECONDS = 5.0
"""Until a worker has imported what it needs."""
BYTES_PER_PIXEL = 1.6
"""Of a PNG with an image in it, by the demo's and the photographs' previews."""
GB = 1e9
USUAL = Cost(0.5, 1.0, 0.5)
"""The pace of packs of which none was timed: a step of a pack takes half a sample's time of its own. That is
one CPU core at full size (3.3 s alone, 2.2 s each in a pack of 8); on a GPU more of it is the step's."""


@dataclass(frozen=True)
class RunEstimate:
    """A run's share: seconds in its pack, bytes that its worker holds, bytes that stay on the disk."""

    seconds: float
    memory: int | None
    disk: int | None


@dataclass(frozen=True)
class Estimate:
    """What a plan costs; times and memory are None where no run on this device tells.

    Attributes:
        steps: That are trained, and `samples` that are shown in them.
        seconds: From start to end, `low` to `high` by how far recorded runs lie from the estimate.
        memory: Bytes that the largest worker holds.
        disk: Bytes of checkpoints and previews.
        timed: Recorded runs that it rests on.
    """

    steps: int = 0
    samples: int = 0
    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    memory: int | None = None
    disk: int | None = None
    timed: int = 0
    device: str = ""
    runs: dict[str, RunEstimate] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; times in seconds, sizes in bytes."""
        own = {key: getattr(self, key) for key in ("steps", "samples", "seconds", "low", "high", "memory")}
        runs = {name: vars(one) for name, one in self.runs.items()}
        return {**own, "disk": self.disk, "timed": self.timed, "device": self.device, "runs": runs}


@dataclass(frozen=True)
class Device:
    """What a plan is made for: how many workers, the device as records name it, what was timed on it,
    and the bytes that a worker may hold."""

    workers: int = 1
    words: str = ""
    timings: Sequence[Timing] = ()
    memory: int | None = None


def known_of(base: RunConfig, kind: str) -> Device:
    """What is known of the device that a sweep would train on.

    Args:
        kind: cuda, cpu or mps.
    """
    found = slots(base.engine, base.device)
    words = device_words(kind, found[0].threads)
    timings = recorded(sweeps_in(Path(base.results), Path(base.cache).expanduser()), words)
    return Device(len(found), words, timings, memory_of(kind, len(found)))


def estimate(
    rows: Sequence[PlannedRun],
    packs: Sequence[Sequence[str]],
    device: Device,
    images: Mapping[str, int] | None = None,
) -> Estimate:
    """The cost of what a plan trains and renders.

    Args:
        images: Previews of LoRAs that were trained elsewhere, by their names: one more worker's.
    """
    timings, words = device.timings, device.words
    by_name = {row.name: row for row in rows}
    trained = [by_name[name] for pack in packs for name in pack]
    steps, samples = sum(row.steps_left for row in trained), sum(map(_samples_left, trained))
    costs = [_pack([by_name[name] for name in pack], rows, timings) for pack in packs]
    costs += [_elsewhere(images, rows[0], timings)] if images else []
    disk = [_disk(row, timings) for row in rows if row.to_do]
    known = [size for size in disk if size is not None]
    whole = sum(known) if known and len(known) == len(disk) else None
    made = [cost for cost in costs if cost is not None]
    if not made or len(made) < len(costs):
        return Estimate(steps, samples, disk=whole, timed=len(timings), device=words)
    seconds = makespan([cost.seconds for cost in made], device.workers)
    error = sum(cost.seconds * cost.error for cost in made) / sum(cost.seconds for cost in made)
    memories = [cost.memory for cost in made if cost.memory]
    return Estimate(
        steps,
        samples,
        seconds,
        seconds * (1 - error),
        seconds * (1 + error),
        memory=max(memories, default=None),
        disk=whole,
        timed=len(timings),
        device=words,
        runs={
            name: RunEstimate(value, cost.memory, _disk(by_name[name], timings) if name in by_name else None)
            for cost in made
            for name, value in cost.runs.items()
        },
    )


@dataclass(frozen=True)
class _PackCost:
    seconds: float
    error: float
    memory: int | None
    runs: dict[str, float]


def _pack(
    pack: Sequence[PlannedRun], rows: Sequence[PlannedRun], timings: Sequence[Timing]
) -> _PackCost | None:
    """The cost of a pack; None where nothing like it was timed."""
    found = [closest(timings, row.resolved) for row in pack]
    if not all(similar for similar, _ in found):
        return None
    paces = [fitted(list(points_of(similar)), spread) for similar, spread in found]
    known = [pace for pace in paces if pace is not None]
    trained, shares = training_seconds(pack, known)
    start = max(item.start for similar, _ in found for item in similar) + START_SECONDS
    rendering = {row.name: _rendering(row, rows, timings) for row in pack}
    memories = [(t.size, float(t.memory)) for similar, _ in found for t in similar if t.memory]
    memory = fitted(memories, 0.15)
    seconds = start + trained + sum(rendering.values())
    runs = {row.name: shares[row.name] + rendering[row.name] + start / len(pack) for row in pack}
    held = int(_held(memory, memories, len(pack))) if memory else None
    return _PackCost(seconds, max(pace.error for pace in known), held, runs)


def _elsewhere(images: Mapping[str, int], like: PlannedRun, timings: Sequence[Timing]) -> _PackCost | None:
    """The cost of rendering what was trained elsewhere; None where no preview was timed."""
    similar, spread = closest(timings, like.resolved)
    each = _per_image(like, timings)
    if not similar or not each:
        return None
    start = max(item.start for item in similar) + START_SECONDS
    runs = {name: count * each + start / len(images) for name, count in images.items()}
    return _PackCost(sum(runs.values()), spread, None, runs)


def _held(memory: Cost, points: Sequence[tuple[int, float]], size: int) -> float:
    """Memory of a pack. One size alone tells little of another: most of it is the base model."""
    sizes = {one for one, _ in points}
    return max(value for _, value in points) if len(sizes) == 1 else memory.of(size)


def training_seconds(pack: Sequence[PlannedRun], paces: Sequence[Cost]) -> tuple[float, dict[str, float]]:
    """Seconds of training until the longest run ends, and every run's share: the shorter ones leave it."""
    left = {row.name: row.steps_left for row in pack}
    per_step = {row.name: row.samples / max(1, row.total_steps) for row in pack}
    pace_of = {row.name: pace for row, pace in zip(pack, paces, strict=True)}
    shares = dict.fromkeys(left, 0.0)
    done = 0
    for end in sorted({steps for steps in left.values() if steps}):
        active = [name for name, steps in left.items() if steps >= end]
        for name in active:
            one = pace_of[name]
            shares[name] += (end - done) * per_step[name] * (one.fixed / len(active) + one.each)
        done = end
    return sum(shares.values()), shares


def paces_of(rows: Sequence[PlannedRun], timings: Sequence[Timing]) -> dict[str, Cost]:
    """The pace of every run, to compare packs by: as timed where all are, else `USUAL` for all."""
    found: dict[str, Cost] = {}
    for row in rows:
        pace = fitted(list(points_of(closest(timings, row.resolved)[0])), 0.0)
        if pace is None:
            return {one.name: USUAL for one in rows}
        found[row.name] = pace
    return found


def _rendering(row: PlannedRun, rows: Sequence[PlannedRun], timings: Sequence[Timing]) -> float:
    """Seconds for the previews of a run, and of those that take its weights on the way."""
    own = [one for one in rows if one is row or (one.follows and one.prefix_of == row.name)]
    return sum(one.to_render * _per_image(one, timings) for one in own)


def _samples_left(row: PlannedRun) -> int:
    return round(row.samples * row.steps_left / max(1, row.total_steps))


def _per_image(row: PlannedRun, timings: Sequence[Timing]) -> float:
    same = [t.image for t in timings if t.image is not None and t.preview == preview_kind(row.resolved)]
    found = same or [t.image for t in timings if t.image is not None]
    return sum(found) / len(found) if found else 0.0


def _disk(row: PlannedRun, timings: Sequence[Timing]) -> int | None:
    """Bytes of a run's checkpoints and previews; None where no LoRA of its kind was saved yet."""
    kind = _file_kind(row)
    sizes = [t.file for t in timings if t.file and _without_optimizer(t.kinds[0]) == kind]
    if not sizes:
        return None
    width, height = parse_resolution(row.resolved.preview.size or "512")
    files = len(row.checkpoints) * max(sizes) if row.steps_left else 0
    return int(files + row.to_render * width * height * BYTES_PER_PIXEL)


def _file_kind(row: PlannedRun) -> object:
    return _without_optimizer(kinds_of(row.resolved)[0])


def _without_optimizer(kind: Any) -> object:
    """What decides the size of a file: the model's family and the network."""
    return kind[0], kind[-5:-1]


def makespan(costs: Sequence[float], workers: int) -> float:
    """Seconds until the last worker is done, where each takes the next pack as soon as it is free."""
    free = [0.0] * max(1, workers)
    for cost in costs:
        free[free.index(min(free))] += cost
    return max(free)


def over_budget(found: Estimate, budget: BudgetConfig) -> list[str]:
    """Why a plan may not start, one line a limit."""
    wrong = []
    if budget.hours and found.seconds is not None and found.seconds > budget.hours * 3600:
        wrong.append(
            f"budget.hours={budget.hours:g}: the plan is expected to take {found.seconds / 3600:.2g} hours; "
            "take rows out with --only, shorten them, or allow more"
        )
    if budget.disk_gb and found.disk is not None and found.disk > budget.disk_gb * GB:
        wrong.append(
            f"budget.disk_gb={budget.disk_gb:g}: checkpoints and previews are expected to take "
            f"{found.disk / GB:.2g} GB; save less often, take rows out with --only, or allow more"
        )
    return wrong
