"""Where packs of runs are executed: one module per engine, one row each in `ENGINES`."""

from collections.abc import Callable

from lora_lab.config import EngineConfig
from lora_lab.engines.local import LocalEngine
from lora_lab.engines.pack import Engine, Event, Pack, Report

__all__ = ["ENGINES", "Engine", "Event", "LocalEngine", "Pack", "Report", "make_engine"]

ENGINES: dict[str, Callable[[EngineConfig], Engine]] = {"local": LocalEngine}


def make_engine(config: EngineConfig) -> Engine:
    """The engine that `engine.name` asks for; the schema has checked the name."""
    return ENGINES[config.name](config)
