"""What a sweep will be able to say: which rows differ in one setting, and which settings never move alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from lora_lab.effective.differences import differing

SEED = "train.seed"


@dataclass(frozen=True)
class Comparison:
    """A setting that pairs of rows differ in alone; `pairs` name the rows, `values` are all that occur."""

    key: str
    values: tuple[Any, ...]
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Comparisons:
    """What pairs of rows can decide.

    Attributes:
        settings: Those that some pair of rows differs in alone, most pairs first.
        aliased: Groups of settings that always change together, so that no pair tells them apart.
        replicates: Pairs that differ in the seed alone: the noise floor.
    """

    settings: tuple[Comparison, ...]
    aliased: tuple[tuple[str, ...], ...]
    replicates: tuple[tuple[str, str], ...]


def compare(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Comparisons:
    """Match every pair of rows by their acting settings; rows that are one experiment are given once."""
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    values: dict[str, dict[str, Any]] = defaultdict(dict)
    together: set[frozenset[str]] = set()
    for (name, one), (other_name, other) in combinations(rows, 2):
        found = differing(one, other)
        if len(found) == 1:
            ((key, both),) = found.items()
            pairs[key].append((name, other_name))
            values[key].update({repr(value): value for value in both})
        elif found:
            together.add(frozenset(found))
    replicates = tuple(pairs.pop(SEED, []))
    settings = [Comparison(key, _sorted(values[key]), tuple(rows)) for key, rows in pairs.items()]
    settings.sort(key=lambda item: (-len(item.pairs), item.key))
    return Comparisons(tuple(settings), _aliased(together, set(pairs) | {SEED}), replicates)


def _sorted(values: dict[str, Any]) -> tuple[Any, ...]:
    try:
        return tuple(sorted(values.values()))
    except TypeError:
        return tuple(values[key] for key in sorted(values))


def _aliased(together: set[frozenset[str]], alone: set[str]) -> tuple[tuple[str, ...], ...]:
    """Settings that never move alone, grouped by the company they are always in."""
    company: dict[str, frozenset[str]] = {}
    for group in together:
        for key in group - alone:
            company[key] = company[key] & group if key in company else group
    groups = {tuple(sorted(others)) for others in company.values() if len(others) > 1}
    return tuple(sorted(groups))
