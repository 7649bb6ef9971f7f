"""What a run's record says of the machine, and how a failure is put into words."""

import platform
import sys
import traceback
from importlib import metadata

import torch

from lora_lab import __version__, system
from lora_lab.errors import LoraLabError

PACKAGES = ("torch", "diffusers", "transformers", "bitsandbytes", "prodigyopt", "dadaptation")


def device_name(device: torch.device) -> str:
    """The device in words: 'cpu (AMD EPYC), 2 threads' or 'cuda:0 (NVIDIA GeForce RTX 3090)'."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({platform.processor() or platform.machine()}), {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    found = {"lora_lab": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_memory() -> int:
    """Most bytes held so far: on the GPU where there is one, else by the process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return system.peak_memory()


def describe_failure(error: BaseException) -> str:
    """One line for the table; the traceback of an unexpected error goes to standard error, the log."""
    if isinstance(error, LoraLabError):
        return " ".join(str(error).split())
    traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, torch.cuda.OutOfMemoryError) or "not enough memory" in str(error):
        return (
            "out of memory: lower engine.pack_size or train.train_batch_size, "
            "or set train.gradient_checkpointing=true"
        )
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": ")
