"""The GPUs of this machine, asked of their drivers and not of torch, which may be missing."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass

_SECONDS = 20
_GIB = 1024**3


@dataclass(frozen=True)
class Card:
    """One GPU.

    Attributes:
        kind: cuda, rocm or mps.
        memory: Bytes; of an Apple GPU what it shares with the CPU; 0 where nothing says.
        driver: What the driver says of itself; '' where it says nothing.
        cuda: The newest CUDA that an NVIDIA driver takes, such as 12.8; '' elsewhere.
    """

    kind: str
    name: str
    memory: int = 0
    driver: str = ""
    cuda: str = ""

    @property
    def gigabytes(self) -> float:
        """Memory in GiB, as cards are sold."""
        return self.memory / _GIB


def cards() -> list[Card]:
    """All GPUs that a driver reports, NVIDIA's first."""
    return [*_nvidia(), *_amd(), *_apple()]


def _nvidia() -> list[Card]:
    query = "--query-gpu=name,memory.total,driver_version"
    text = _answer("nvidia-smi", query, "--format=csv,noheader,nounits")
    if not text:
        return []
    newest = re.search(r"CUDA Version:\s*([\d.]+)", _answer("nvidia-smi"))
    found = []
    for line in text.splitlines():
        name, memory, driver = (part.strip() for part in [*line.split(","), "", ""][:3])
        mib = int(memory) if memory.isdigit() else 0
        found.append(Card("cuda", name, mib * 1024**2, driver, newest[1] if newest else ""))
    return found


def _amd() -> list[Card]:
    text = _answer("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--csv")
    rows = [line.split(",") for line in text.splitlines() if line.strip()]
    if len(rows) < 2:
        return []
    heads = [head.strip().lower() for head in rows[0]]
    found = []
    for row in rows[1:]:
        values = dict(zip(heads, (cell.strip() for cell in row), strict=False))
        memory = next((v for k, v in values.items() if "total memory" in k and v.isdigit()), "0")
        name = values.get("card series") or values.get("card model") or "AMD GPU"
        found.append(Card("rocm", name, int(memory)))
    return found


def _apple() -> list[Card]:
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return []
    memory = _answer("sysctl", "-n", "hw.memsize").strip()
    name = _answer("sysctl", "-n", "machdep.cpu.brand_string").strip() or "Apple GPU"
    return [Card("mps", name, int(memory) if memory.isdigit() else 0)]


def _answer(*command: str) -> str:
    """What a program prints; '' where it is not there, fails or hangs."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
