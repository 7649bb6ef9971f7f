"""The block `search:` of a sweep file: what is searched, in how many rounds, and who judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lora_lab.errors import ConfigError
from lora_lab.metrics.registry import PEOPLE
from lora_lab.search.samplers import SAMPLERS
from lora_lab.search.space import Space, read_space

KEYS = ("space", "rounds", "per_round", "judge", "sampler", "seed")


@dataclass(frozen=True)
class SearchSpec:
    """What a search does; `source` is the block as it stands in the file."""

    space: Space
    source: Mapping[str, Any]
    rounds: int = 5
    per_round: int = 5
    judge: str = PEOPLE
    sampler: str = "gp"
    seed: int = 0


def read_search(value: Any) -> SearchSpec:
    """The block of a sweep file.

    Raises:
        ConfigError: Every mistake at once.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"search must be a block with space: and rounds:, got {value!r}")
    wrong = [f"search: unknown key {key!r}; known: {', '.join(KEYS)}" for key in value if key not in KEYS]
    for key, least in (("rounds", 1), ("per_round", 1), ("seed", 0)):
        given = value.get(key, least)
        if isinstance(given, bool) or not isinstance(given, int) or given < least:
            wrong.append(f"search: {key} must be a whole number of at least {least}, got {given!r}")
    sampler, judge = value.get("sampler", "gp"), value.get("judge", PEOPLE)
    if sampler not in SAMPLERS:
        wrong.append(f"search: sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
    if not isinstance(judge, str) or not judge:
        wrong.append(f"search: judge must be {PEOPLE} or a metric such as likeness, got {judge!r}")
    space = None
    try:
        space = read_space(value.get("space"), "search: space")
    except ConfigError as error:
        wrong += str(error).splitlines()
    if wrong or space is None:
        raise ConfigError("\n".join(wrong))
    plain = {key: item for key, item in value.items() if key != "space"}
    return SearchSpec(space, dict(value), **plain)
