"""What recorded runs tell of costs: seconds a sample by the size of the pack, memory, bytes of a LoRA file.

A pack of K runs takes a + b K seconds for a sample of each, so that each has a share of a / K + b. The same
form describes the memory of a worker.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lora_lab.errors import RunFolderError
from lora_lab.resolved import Resolved
from lora_lab.store import RunFolder, RunRecord, SweepFolder, read_or_failed

MOST = 400
"""Runs that are read: the newest ones of all sweeps."""
FEWEST_STEPS = 15
"""Runs of fewer steps say more of their beginning than of their pace."""
CALIBRATION = "calibration"
"""The folder in the cache whose runs were trained to be timed."""


@dataclass(frozen=True)
class Timing:
    """What one recorded run tells.

    Attributes:
        kinds: What its pace depends on, from all of it to the least: see `kinds_of`.
        size: Runs that trained together.
        sample: Seconds a sample, its share of the pack's.
        start: Seconds of the worker for loading and caching, all runs of the pack together.
        image: Seconds for rendering, measuring and saving, a preview; None without previews.
        memory: Most bytes that the worker held.
        file: Bytes of a checkpoint.
    """

    kinds: tuple[Hashable, ...]
    size: int
    sample: float
    start: float
    image: float | None
    preview: Hashable
    memory: int
    file: int


def kinds_of(resolved: Resolved) -> tuple[Hashable, ...]:
    """What decides the seconds a sample takes: all of it; without optimizer and size of the network; the
    least without which times cannot be compared at all."""
    model, train, data, net = resolved.base_model, resolved.train, resolved.dataset, resolved.network
    base = (
        resolved.facts.family,
        resolved.identities.get("base_model", ""),
        str(resolved.facts.in_force("dataset.resolution", data.resolution)),
        train.mixed_precision,
        model.fp8_base or model.nf4_base,
    )
    way = (train.gradient_checkpointing, resolved.trains_text_encoder, resolved.trains_unet, train.attention)
    batch = (train.train_batch_size,)
    network = (net.type, net.network_dim, net.conv_dim, net.preset, resolved.optimizer.name)
    return (*base, *way, *batch, *network), (*base, *way), base


def preview_kind(resolved: Resolved) -> Hashable:
    """What decides the seconds that a preview takes."""
    own = resolved.preview
    base = resolved.facts.family, resolved.identities.get("base_model", ""), resolved.train.mixed_precision
    return (*base, own.size, own.steps, own.guidance_scale > 1, tuple(resolved.metric.names))


def recorded(places: Iterable[SweepFolder], device: str) -> list[Timing]:
    """The timings of finished runs on a device, the newest first.

    Args:
        device: As `device_words` has it.
    """
    found = []
    for folder in _newest(places):
        record = read_or_failed(folder)
        here = record.status == "done" and bool(record.device) and _same_device(record.device, device)
        if here and (timing := _timing(folder, record)):
            found.append(timing)
    return found


def sweeps_in(results: Path, cache: Path) -> list[SweepFolder]:
    """Where runs may have been timed: all sweeps, and the calibrations."""
    found: list[SweepFolder] = []
    for root in (results, cache / CALIBRATION):
        try:
            found += [SweepFolder(path) for path in sorted(root.iterdir()) if path.is_dir()]
        except OSError:
            continue
    return found


def _newest(places: Iterable[SweepFolder]) -> list[RunFolder]:
    dated: list[tuple[float, RunFolder]] = []
    for sweep in places:
        try:
            for run in sweep.runs():
                dated.append((run.path.stat().st_mtime, run))
        except (OSError, RunFolderError):
            continue
    dated.sort(key=lambda pair: (-pair[0], str(pair[1].path)))
    return [run for _, run in dated[:MOST]]


def _timing(folder: RunFolder, record: RunRecord) -> Timing | None:
    seconds, steps = record.seconds, record.step
    if record.prefix_of or steps < FEWEST_STEPS or not seconds.get("train") or not record.samples:
        return None
    try:
        resolved = Resolved.from_plain(record.resolved)
    except RunFolderError:
        return None
    mates = [read_or_failed(SweepFolder(folder.path.parent).run(name)) for name in record.pack]
    size = 1 + sum(not mate.prefix_of for mate in mates)
    shown = sum(len(item.previews) for item in record.checkpoints)
    rendered = sum(seconds.get(phase, 0.0) for phase in ("preview", "metric", "save"))
    sizes = [item.size_bytes for item in record.checkpoints if item.size_bytes]
    return Timing(
        kinds_of(resolved),
        size,
        seconds["train"] / record.samples,
        (seconds.get("load", 0.0) + seconds.get("cache", 0.0)) * (1 + len(record.pack)),
        rendered / shown if shown else None,
        preview_kind(resolved),
        record.peak_memory_bytes,
        sizes[-1] if sizes else 0,
    )


def device_words(kind: str, threads: int) -> str:
    """The device as records name it, without asking torch: 'cpu (x86_64), 2 threads', or a GPU's name."""
    if kind == "cuda":
        return _gpu_name()
    name = platform.processor() or platform.machine()
    return f"{kind} ({name}), {threads} threads"


@lru_cache(maxsize=1)
def _gpu_name() -> str:
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return (listed.splitlines() or [""])[0].strip()


def _same_device(recorded_as: str, device: str) -> bool:
    return recorded_as == device or bool(device) and f"({device})" in recorded_as


@dataclass(frozen=True)
class Cost:
    """A cost of a + b K for a pack of K, with the relative error of what it was fitted to."""

    fixed: float
    each: float
    error: float

    def of(self, size: float) -> float:
        """The cost of a pack of a size."""
        return self.fixed + self.each * size


def fitted(points: Sequence[tuple[int, float]], spread: float) -> Cost | None:
    """The cost that fits (size, cost of the pack) best with neither part below 0; None without points.

    Args:
        spread: The least relative error that is believed.
    """
    if not points:
        return None
    sizes = sorted({size for size, _ in points})
    means = {s: statistics.fmean(value for size, value in points if size == s) for s in sizes}
    if len(sizes) == 1:
        # One size tells nothing of another: as if twice as many took twice as long.
        cost = Cost(0.0, means[sizes[0]] / sizes[0], spread)
    else:
        x, y = statistics.fmean(sizes), statistics.fmean(means.values())
        each = sum((s - x) * (means[s] - y) for s in sizes) / sum((s - x) ** 2 for s in sizes)
        each = min(max(each, 0.0), max(means[s] / s for s in sizes))
        cost = Cost(max(y - each * x, 0.0), each, spread)
    errors = [abs(value - cost.of(size)) / value for size, value in points if value > 0]
    return Cost(cost.fixed, cost.each, max(spread, *errors) if len(errors) > 1 else spread)


def closest(timings: Sequence[Timing], resolved: Resolved) -> tuple[list[Timing], float]:
    """The timings of the most similar runs, and the least relative error that they deserve."""
    for level, (kind, spread) in enumerate(zip(kinds_of(resolved), (0.15, 0.35, 0.6), strict=True)):
        found = [item for item in timings if item.kinds[level] == kind]
        if found:
            return found, spread
    return [], 1.0


def points_of(timings: Iterable[Timing]) -> Iterator[tuple[int, float]]:
    """(size of the pack, seconds that one sample of each of its runs takes)."""
    return ((item.size, item.sample * item.size) for item in timings)
