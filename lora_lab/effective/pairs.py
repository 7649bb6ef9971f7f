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
    """A setting that pairs of experiments differ in alone; `values` are all that occur.

    An experiment that was repeated with other seeds stands in `pairs` by its first row: a seed is no setting.
    """

    key: str
    values: tuple[Any, ...]
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Comparisons:
    """What rows can decide.

    Attributes:
        settings: Those that some pair of experiments differs in alone, most pairs first.
        aliased: Groups of settings that always change together, so that no pair tells them apart.
        replicates: Groups of rows that differ in the seed alone: the noise floor.
    """

    settings: tuple[Comparison, ...]
    aliased: tuple[tuple[str, ...], ...]
    replicates: tuple[tuple[str, ...], ...]


def compare(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Comparisons:
    """Match every pair of experiments by their acting settings; rows that are one run are given once."""
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    values: dict[str, dict[str, Any]] = defaultdict(dict)
    together: set[frozenset[str]] = set()
    groups = _by_experiment(rows)
    for (names, one), (other_names, other) in combinations(groups, 2):
        found = differing(one, other)
        if len(found) == 1:
            ((key, both),) = found.items()
            pairs[key].append((names[0], other_names[0]))
            values[key].update({repr(value): value for value in both})
        elif found:
            together.add(frozenset(found))
    replicates = tuple(tuple(names) for names, _ in groups if len(names) > 1)
    settings = [Comparison(key, _sorted(values[key]), tuple(rows)) for key, rows in pairs.items()]
    settings.sort(key=lambda item: (-len(item.pairs), item.key))
    return Comparisons(tuple(settings), _aliased(together, set(pairs)), replicates)


def _by_experiment(
    rows: Sequence[tuple[str, Mapping[str, Any]]],
) -> list[tuple[list[str], Mapping[str, Any]]]:
    """Rows whose settings are the same but for the seed, in the order of their first ones."""
    found: dict[str, tuple[list[str], Mapping[str, Any]]] = {}
    for name, settings in rows:
        own = {key: value for key, value in settings.items() if key != SEED}
        key = repr(sorted((key, repr(value)) for key, value in own.items()))
        found.setdefault(key, ([], own))[0].append(name)
    return list(found.values())


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
