"""What a machine has for training: interpreter, torch, cards, disk, packages, and what follows from it.

Torch is asked in a process of its own: it may be missing, of the wrong kind, or end what imports it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from lora_lab.hardware import Card, cards
from lora_lab.models.families import FAMILIES

State = Literal["fine", "warning", "error", "absent"]
_GIB = 1024**3
LEAST_PYTHON = (3, 11)
LEAST_DISK = 10 * _GIB
"""A sweep of 20 runs with checkpoints and latents takes a few GB."""
CUDA_WHEELS = ("13.0", "12.8", "12.6")
"""CUDA versions that torch's wheels are made for (pytorch.org, previous versions, 2.9.1), newest first."""
ROCM_WHEELS = "rocm6.4"
INDEX = "https://download.pytorch.org/whl/"
_ASK_TORCH = """
import json, torch
gpu = torch.cuda.is_available()
devices = [[torch.cuda.get_device_name(i), torch.cuda.get_device_properties(i).total_memory] for i in
           range(torch.cuda.device_count())] if gpu else []
mps = bool(getattr(torch.backends, "mps", None) and torch.backends.mps.is_available())
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "hip": torch.version.hip,
                  "gpu": gpu, "mps": mps, "devices": devices,
                  "bf16": gpu and torch.cuda.is_bf16_supported()}))
"""
OPTIONAL = {
    "bitsandbytes": "8-bit and paged optimizers, base_model.nf4_base",
    "prodigyopt": "optimizer=prodigy",
    "dadaptation": "optimizer=dadaptation and its kin",
    "schedulefree": "optimizers without a schedule",
    "pyarrow": "lora-lab table -o FILE.parquet",
    "onnxruntime": "lora-lab dataset caption --tagger",
    "xformers": "train.attention=xformers; sdpa is as fast on current cards",
}
"""Packages that some choices need, and which."""
NEEDED = ("diffusers", "transformers", "safetensors", "peft", "hydra-core", "numpy", "pandas", "pillow")


@dataclass(frozen=True)
class Line:
    """One thing looked at: what, what was found, and what to do where it is not fine."""

    state: State
    what: str
    found: str
    way_out: str = ""


@dataclass(frozen=True)
class Examination:
    """All of it; `torch` is what torch says of itself, empty where it cannot be imported."""

    machine: tuple[Line, ...]
    packages: tuple[Line, ...]
    abilities: tuple[Line, ...]
    cards: tuple[Card, ...] = ()
    torch: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether a run can be trained."""
        return not any(line.state == "error" for line in (*self.machine, *self.packages))

    @property
    def install(self) -> list[str]:
        """Command lines that mend what is wrong."""
        lines = (*self.machine, *self.packages)
        wrong = [line.way_out for line in lines if line.state in ("error", "warning")]
        return list(dict.fromkeys(text for text in wrong if text.startswith("pip install")))


def examine_machine(place: Path | None = None) -> Examination:
    """Look at everything; nothing raises.

    Args:
        place: Where results would go; None is the current folder.
    """
    found, torch = tuple(cards()), ask_torch()
    machine = (_python(), _system(), *_cards(found), torch_line(torch, found), _disk(place or Path.cwd()))
    packages = (*map(_needed, NEEDED), *(_optional(*item) for item in OPTIONAL.items()))
    return Examination(machine, packages, tuple(_abilities(torch, found)), found, torch)


def ask_torch(python: str = sys.executable) -> dict[str, Any]:
    """What torch says of itself: version, cuda, hip, gpu, mps, devices, bf16; or {"error": why}."""
    if importlib.util.find_spec("torch") is None:
        return {"error": "not installed"}
    try:
        done = subprocess.run(
            [python, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=180, check=False
        )
        answer = done.stdout.strip().splitlines()[-1:] or ["{}"]
        told = json.loads(answer[0])
        if done.returncode == 0 and isinstance(told, dict) and told:
            return told
        last = done.stderr.strip().splitlines()[-1:] or [f"it ended with code {done.returncode}"]
        return {"error": f"cannot be imported: {last[0]}"}
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return {"error": f"cannot be asked: {error}"}


def torch_line(torch: Mapping[str, Any], found: Sequence[Card], system: str = platform.system()) -> Line:
    """Whether torch is there and of the kind that the cards need."""
    command = install_line(found, system)
    if "error" in torch:
        return Line("error", "torch", str(torch["error"]), command)
    kind = f"CUDA {torch['cuda']}" if torch["cuda"] else f"ROCm {torch['hip']}" if torch["hip"] else "CPU"
    version = str(torch["version"])
    if torch["gpu"] or torch["mps"]:
        extra = "" if torch["bf16"] or torch["mps"] else ", no bf16: train.mixed_precision=fp16"
        return Line("fine", "torch", f"{version} for {'MPS' if torch['mps'] else kind}{extra}")
    if not found:
        return Line("fine", "torch", f"{version} for {kind}; there is no GPU to use")
    if kind == "CPU":
        what = f"{version} is made for the CPU, and there is a GPU ({found[0].name})"
    else:
        what = f"{version} for {kind} does not find the GPU ({found[0].name}): its driver is older"
    return Line("warning", "torch", what, f"{command} --force-reinstall")


def install_line(found: Sequence[Card], system: str = platform.system()) -> str:
    """The pip command of the torch that the cards need.

    NVIDIA's drivers run what is made for their CUDA version or an older one; see `CUDA_WHEELS`.
    """
    if not found or found[0].kind == "mps":
        # PyPI's own wheels are for Apple's GPUs on a Mac, for the CPU on Windows; on Linux they bring CUDA.
        on_cpu = f" --index-url {INDEX}cpu" if not found and system == "Linux" else ""
        return f"pip install torch{on_cpu}"
    if found[0].kind == "rocm":
        return f"pip install torch --index-url {INDEX}{ROCM_WHEELS}"
    newest = _number(found[0].cuda)
    fits = [one for one in CUDA_WHEELS if not newest or _number(one) <= newest]
    chosen = fits[0] if fits else CUDA_WHEELS[-1]
    return f"pip install torch --index-url {INDEX}cu{chosen.replace('.', '')}"


def _number(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _python() -> Line:
    version = platform.python_version()
    if sys.version_info < LEAST_PYTHON:
        return Line("error", "Python", version, "Python 3.11 or newer is needed")
    where = "in an environment of its own" if sys.prefix != sys.base_prefix else "the system's own"
    return Line("fine", "Python", f"{version}, {where} ({sys.executable})")


def _system() -> Line:
    memory = _memory()
    told = f"{memory / _GIB:.0f} GB of memory" if memory else "memory not known"
    return Line("fine", "system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {told}")


def _memory() -> int:
    try:
        import psutil
    except ImportError:
        return 0
    return int(psutil.virtual_memory().total)


def _cards(found: Sequence[Card]) -> list[Line]:
    if not found:
        what = "none that a driver reports: runs train on the CPU, the demo in minutes, SDXL not in days"
        return [Line("warning", "GPU", what)]
    lines = []
    for card in found:
        driver = f", driver {card.driver}" if card.driver else ""
        cuda = f" (CUDA {card.cuda})" if card.cuda else ""
        old = card.cuda and _number(card.cuda) < _number(CUDA_WHEELS[-1])
        way_out = f"update its driver: torch needs CUDA {CUDA_WHEELS[-1]} or newer" if old else ""
        told = f"{card.name}, {card.gigabytes:.0f} GB{driver}{cuda}"
        lines.append(Line("warning" if old else "fine", "GPU", told, way_out))
    return lines


def _disk(place: Path) -> Line:
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Line("warning", "disk", f"{place} cannot be asked: {error.strerror or error}")
    told = f"{free / _GIB:.0f} GB free where results go ({place})"
    if free < LEAST_DISK:
        return Line("warning", "disk", told, "make room, or set results=FOLDER and cache=FOLDER elsewhere")
    return Line("fine", "disk", told)


def _needed(name: str) -> Line:
    version = _version(name)
    if version is None:
        return Line("error", name, "not installed", f"pip install {name}")
    return Line("fine", name, version)


def _optional(name: str, use: str) -> Line:
    version = _version(name)
    if version is None:
        return Line("absent", name, f"not installed; for {use}", f"pip install {name}")
    return Line("fine", name, f"{version}; for {use}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _abilities(torch: Mapping[str, Any], found: Sequence[Card]) -> list[Line]:
    """What can be trained here, family by family, and what not."""
    if "error" in torch:
        why = Line("error", "training", "not without torch")
        return [why, Line("fine", "reviewing", "plans, reviews and verdicts need no torch")]
    usable = torch["gpu"] or torch["mps"]
    sizes = [memory for _, memory in torch["devices"]] or [card.memory for card in found if usable]
    gigabytes = max(sizes, default=0) / _GIB
    lines = [Line("fine", "the demo", "lora-lab sweep sweeps/demo.yaml: minutes on any machine")]
    for family in FAMILIES.values():
        if not usable:
            lines.append(Line("warning", family.title, "on the CPU only: minutes a step, for trying out"))
            continue
        fits = [size for size in sorted(family.cards) if size <= gigabytes + 0.75]
        if fits:
            words = " ".join(family.cards[fits[-1]])
            lines.append(Line("fine", family.title, f"as for {fits[-1]} GB: {words}"))
        else:
            least = min(family.cards, default=0)
            what = f"{gigabytes:.0f} GB are less than the {least} GB that its settings are made for"
            lines.append(Line("warning", family.title, what))
    if torch["mps"]:
        lines.append(Line("absent", "8-bit base models", "base_model.fp8_base and nf4_base need CUDA"))
    return lines
