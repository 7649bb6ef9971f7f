"""Where packs of runs are executed: one module per backend, one row each in `BACKENDS`."""

from collections.abc import Callable

from lora_lab.config import EngineConfig
from lora_lab.engines.backend import Backend, Ending, Work
from lora_lab.engines.local import Local
from lora_lab.engines.pack import Engine, Event, Pack, Report
from lora_lab.engines.ray import Ray
from lora_lab.engines.slurm import Slurm
from lora_lab.engines.supervisor import Supervisor

__all__ = [
    "BACKENDS", "Backend", "Ending", "Engine", "Event", "Local", "Pack", "Report", "Supervisor", "Work",
    "make_engine",
]  # fmt: skip

BACKENDS: dict[str, Callable[[EngineConfig], Backend]] = {"local": Local, "ray": Ray, "slurm": Slurm}


def make_engine(config: EngineConfig) -> Engine:
    """The engine that `engine.name` asks for; the schema has checked the name."""
    return Supervisor(BACKENDS[config.name](config), rounds=config.rounds)
