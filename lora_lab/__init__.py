"""A parameter-sweep harness for Stable Diffusion LoRA training.

What programs use stands in `lora_lab.api` and can be called from here, too, as `lora_lab.plan(...)`.
"""

from typing import Any

__version__ = "0.1.0"

_OF_THE_API = ("evidence", "judge", "launch", "plan", "table", "train_run")


def __getattr__(name: str) -> Any:
    # The command line needs the version alone, at once: nothing is imported before it is asked for.
    if name in _OF_THE_API:
        from lora_lab import api

        return getattr(api, name)
    raise AttributeError(f"module 'lora_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_OF_THE_API])
