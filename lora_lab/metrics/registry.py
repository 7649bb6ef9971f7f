"""The known metrics by name; adding one is a function and a row here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from PIL import Image

from lora_lab.errors import ConfigError
from lora_lab.metrics import basic

Numbers = dict[str, float | None]


@dataclass
class Measured:
    """What all chosen metrics say of one preview."""

    numbers: Numbers = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)


def _likeness(image: Image.Image, _base: Image.Image | None) -> Numbers:
    from lora_lab.demo.likeness import score

    return {"likeness": score([image])}


METRICS: Mapping[str, Callable[[Image.Image, Image.Image | None], Numbers]] = {
    "basic": basic.numbers,
    "likeness": _likeness,
}


def metric_names(names: list[str]) -> list[str]:
    """The names, checked.

    Raises:
        ConfigError: One of them is not in the registry.
    """
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise ConfigError(f"unknown metric.names {unknown[0]!r}; known: {', '.join(METRICS)}")
    return names


def measure(image: Image.Image, base: Image.Image | None, strength: float, names: list[str]) -> Measured:
    """Apply the named metrics to one preview; flags are always looked for.

    Args:
        image: The preview.
        base: The bare base model's picture of the same prompt and seed, or None.
        strength: LoRA strength it was rendered with; at 0 it is meant to equal the base.
        names: Keys of `METRICS`.
    """
    found = Measured()
    for name in metric_names(names):
        found.numbers.update(METRICS[name](image, base))
    distance = basic.numbers(image, base)["base_distance"]
    found.flags = basic.flags(image, distance, strength)
    return found
