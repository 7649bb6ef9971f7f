"""What a sweep will be able to say: which rows differ in one setting, and which settings never move alone."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lora_lab.effective.differences import owner_of

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
    groups = _by_experiment(rows)
    names = [own[0] for own, _ in groups]
    experiments = [settings for _, settings in groups]
    columns = _columns(experiments)
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    values: dict[str, dict[str, Any]] = defaultdict(dict)
    for place, one in enumerate(experiments):
        later = -1 << (place + 1)
        for key, others in _alone({key: column.unlike(place) & later for key, column in columns.items()}):
            for other in _places(others):
                pairs[key].append((names[place], names[other]))
                both = (one.get(key), experiments[other].get(key))
                values[key].update({repr(value): value for value in both})
    replicates = tuple(tuple(names) for names, _ in groups if len(names) > 1)
    settings = [Comparison(key, _sorted(values[key]), tuple(rows)) for key, rows in pairs.items()]
    settings.sort(key=lambda item: (-len(item.pairs), item.key))
    return Comparisons(tuple(settings), _aliased(columns, set(pairs), len(groups)), replicates)


class _Column:
    """One setting of all experiments: by a value, the experiments that have it, as bits of a number.

    Thousands of rows make millions of pairs; a number with a bit for each row tells a row from all others in
    one operation.
    """

    def __init__(self, key: str, experiments: Sequence[Mapping[str, Any]]) -> None:
        self._values = [_hashable(own[key]) if key in own else _ABSENT for own in experiments]
        self._rows = _bits_of(self._values)
        self._present = sum(rows for value, rows in self._rows.items() if value is not _ABSENT)
        owner = owner_of(key) or ""
        self._owners = [_hashable(own[owner]) if owner in own else _ABSENT for own in experiments]
        self._of_owner = _bits_of(self._owners)

    @property
    def differs(self) -> bool:
        """Whether not all experiments are the same in it."""
        return len(self._rows) > 1

    def unlike(self, place: int) -> int:
        """The experiments that differ from this one in the setting, by the rule of `differing`."""
        value, owner = self._values[place], self._owners[place]
        of_owner = self._of_owner[owner] if owner is not _ABSENT else 0
        if value is _ABSENT:
            return of_owner & self._present & ~self._rows.get(None, 0)
        unlike = self._present & ~self._rows[value]
        absent = self._rows.get(_ABSENT, 0)
        return unlike | (absent & of_owner if value is not None else 0)


_ABSENT = object()


def _hashable(value: Any) -> Any:
    """A stand-in for a value that is equal to others' where the values are."""
    if isinstance(value, list | tuple):
        return (type(value).__name__, *map(_hashable, value))
    if isinstance(value, Mapping):
        return ("mapping", frozenset((key, _hashable(item)) for key, item in value.items()))
    return value


def _bits_of(values: Sequence[Any]) -> dict[Any, int]:
    rows: dict[Any, int] = defaultdict(int)
    for place, value in enumerate(values):
        rows[value] |= 1 << place
    return dict(rows)


def _columns(experiments: Sequence[Mapping[str, Any]]) -> dict[str, _Column]:
    """The settings in which not all experiments are the same."""
    keys = sorted({key for own in experiments for key in own})
    columns = {key: _Column(key, experiments) for key in keys}
    return {key: column for key, column in columns.items() if column.differs}


def _alone(unlike: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """The experiments that differ in this setting and in no other."""
    some = several = 0
    for rows in unlike.values():
        several |= some & rows
        some |= rows
    for key, rows in unlike.items():
        if rows & ~several:
            yield key, rows & ~several


def _places(rows: int) -> Iterator[int]:
    """The bits of a number that are set, ascending."""
    while rows:
        lowest = rows & -rows
        yield lowest.bit_length() - 1
        rows ^= lowest


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


def _aliased(columns: Mapping[str, _Column], alone: set[str], count: int) -> tuple[tuple[str, ...], ...]:
    """Settings that never move alone, grouped by the company they are always in."""
    groups = set()
    for key in columns.keys() - alone:
        moves = [(place, rows) for place in range(count) if (rows := columns[key].unlike(place))]
        company = [
            other
            for other, column in columns.items()
            if all(not rows & ~column.unlike(place) for place, rows in moves)
        ]
        if moves and len(company) > 1:
            groups.add(tuple(sorted(company)))
    return tuple(sorted(groups))
