"""How many runs train together where nobody says it: as many as the memory holds, by what was measured."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lora_lab.resolved import Resolved
from lora_lab.sweep.timings import Timing, closest, fitted

AUTO = "auto"
USUAL, MOST = 8, 16
"""Where nothing was measured; and at most, since larger packs gain little."""
ROOM = 0.85
"""The share of the memory that is used: what was measured is no promise."""
MEMORY_INFO = Path("/proc/meminfo")


def pack_size(asked: str, runs: Sequence[Resolved], timings: Sequence[Timing], memory: int | None) -> int:
    """The most runs of a pack.

    The memory of a worker is taken as a + b K for a pack of K, after finished runs that are most like each;
    one size of pack alone tells nothing of another.

    Args:
        asked: A number, or `AUTO`.
        memory: Bytes that one worker may hold; None is not known.
    """
    if asked != AUTO:
        return int(asked)
    sizes = [USUAL if memory is None else _that_fit(one, timings, memory) for one in runs]
    return min(sizes, default=USUAL)


def _that_fit(resolved: Resolved, timings: Sequence[Timing], memory: int) -> int:
    points = [(item.size, float(item.memory)) for item in closest(timings, resolved)[0] if item.memory]
    cost = fitted(points, 0.0)
    if cost is None or len({size for size, _ in points}) < 2:
        return USUAL
    room = memory * ROOM - cost.fixed
    return MOST if cost.each <= 0 else min(MOST, max(1, int(room // cost.each)))


def memory_of(kind: str, workers: int) -> int | None:
    """Bytes that one worker of a device may hold: the smallest GPU's, or a share of the machine's.

    It is the whole memory, not what is free at the moment, so that a plan is the same tomorrow.
    """
    if kind == "cuda":
        with suppress(OSError, subprocess.SubprocessError, ValueError):
            listed = subprocess.run(
                ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
                capture_output=True, text=True, timeout=20, check=True,
            ).stdout  # fmt: skip
            return min(int(line) for line in listed.split()) << 20
        return None
    with suppress(OSError, ValueError, StopIteration):
        text = MEMORY_INFO.read_text(encoding="ascii")
        line = next(line for line in text.splitlines() if line.startswith("MemTotal:"))
        return int(line.split()[1]) * 1024 // max(1, workers)
    return None
