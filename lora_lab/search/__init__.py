"""Beyond the grid: which settings to train next, by everything that was scored so far. Without torch."""

from lora_lab.search.ask import Observation, Proposal, best, propose
from lora_lab.search.samplers import SAMPLERS, next_round
from lora_lab.search.space import Choices, Range, Space, read_space

__all__ = [
    "SAMPLERS",
    "Choices",
    "Observation",
    "Proposal",
    "Range",
    "Space",
    "best",
    "next_round",
    "propose",
    "read_space",
]
