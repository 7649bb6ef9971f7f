"""From a sweep file's rows to checked configs; every mistake of every row in one message."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lora_lab.config import RunConfig, check, compose, flat, key_of
from lora_lab.config.assigning import DICT_KEYS
from lora_lab.config.compose import SEVERAL
from lora_lab.errors import ConfigError, LoraLabError
from lora_lab.sweep.file import RowSpec, SweepFile
from lora_lab.sweep.places import anchored, with_places
from lora_lab.sweep.run_names import split

OF_THE_SWEEP = ("results", "cache", "name", "sweep", "engine", "budget")
"""Settings, and groups of them, that all rows of a sweep share."""
NAMES = ("name", "sweep")


def is_of_the_sweep(key: str) -> bool:
    """Whether all rows of a sweep share this setting, or this choice."""
    return key in OF_THE_SWEEP or key.split(".")[0] in OF_THE_SWEEP


T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Composed:
    """A row as a config; `overrides` are all it was composed from, the command line's last."""

    name: str
    overrides: tuple[str, ...]
    config: RunConfig


def compose_rows(
    sweep: SweepFile, extra: Sequence[str] = (), conf_dirs: Sequence[str] = ()
) -> tuple[RunConfig, list[Composed]]:
    """Compose and check all rows. Paths become absolute, so that a row is the whole job.

    Args:
        extra: Overrides for every row; they win.
        conf_dirs: Folders with further group files.

    Returns:
        The base, which need not be complete where every row completes it, and the rows.

    Raises:
        ConfigError: Every mistake of every row, with the rows that share it.
    """
    where = str(sweep.path or sweep.name)
    _refuse_names(sweep, where)
    _hold_extra(extra, conf_dirs)
    try:
        base = compose([*sweep.base, *extra], conf_dirs, checked=False)
    except ConfigError as error:
        raise ConfigError(_lines(where, "base", str(error))) from None

    shared = {key: value for key, value in flat(base).items() if is_of_the_sweep(key) and key not in NAMES}

    def one(row: RowSpec) -> Composed:
        overrides = [*sweep.base, *row.overrides, *extra]
        if row.replicate > 1:
            overrides.append(f"train.seed={base.train.seed + row.replicate - 1}")
        config = compose(overrides, conf_dirs, checked=False)
        config.name, config.sweep = row.name, sweep.name
        check(config)
        _same_place(config, shared)
        whole = anchored(config)
        return Composed(row.name, tuple(with_places(overrides, whole)), whole)

    return anchored(base), for_all(sweep.rows, one, where, [row.name for row in sweep.rows])


def overruled(sweep: SweepFile, extra: Sequence[str], conf_dirs: Sequence[str] = ()) -> list[str]:
    """What rows set themselves and overrides for every row set otherwise, in words: the axis is gone.

    Keys alone do not tell: a choice (`optimizer=lion`) sets what `optimizer.name=adamw` then replaces.
    """
    if not extra:
        return []
    base = _alone(sweep.base, conf_dirs)
    lost = {row.name: _lost(base, sweep.base, row.overrides, extra, conf_dirs) for row in sweep.rows}
    found = []
    for text in extra:
        key = key_of(text)
        names = [
            row.name
            for row in sweep.rows
            if key in map(key_of, row.overrides)
            or any(one == key or one.startswith(f"{key}.") for one in lost[row.name])
        ]
        if names:
            told = ", ".join(names)
            found.append(f"{text} is given for all rows, and replaces what these set: {told}")
    return found


def _lost(
    base: Mapping[str, Any],
    shared: Sequence[str],
    own: Sequence[str],
    extra: Sequence[str],
    conf_dirs: Sequence[str],
) -> list[str]:
    """The settings that a row changes by itself, and that are otherwise once `extra` is laid over it."""
    if not own:
        return []
    alone = _alone([*shared, *own], conf_dirs)
    last = _alone([*shared, *own, *extra], conf_dirs)
    return [key for key, value in alone.items() if value != base.get(key) and value != last.get(key)]


def _alone(overrides: Sequence[str], conf_dirs: Sequence[str]) -> dict[str, Any]:
    """What overrides come to; nothing where they need others to be a whole."""
    try:
        return _values(compose(overrides, conf_dirs, checked=False))
    except ConfigError:
        return {}


def _values(config: RunConfig) -> dict[str, Any]:
    """All settings by their keys, arguments of optimizer and scheduler one by one."""
    found = flat(config)
    for key in DICT_KEYS:
        found |= {f"{key}.{name}": value for name, value in (found.pop(key) or {}).items()}
    return found


def _hold_extra(extra: Sequence[str], conf_dirs: Sequence[str]) -> None:
    """Hold what the command adds to the settings by itself, so that no file is blamed for it.

    Raises:
        ConfigError: Every mistake in it.
    """
    try:
        compose(extra, conf_dirs, checked=False)
    except ConfigError as error:
        text = str(error).replace(SEVERAL, f"{SEVERAL}: write them under grid: in the sweep file")
        raise ConfigError("\n".join(f"command line: {line}" for line in text.splitlines())) from None


def _refuse_names(sweep: SweepFile, where: str) -> None:
    """Refuse names where they would do nothing.

    Raises:
        ConfigError: The base or a row holds `sweep=` or `name=`.
    """
    held = {"base": sweep.base, **{f"row {row.name!r}": row.overrides for row in sweep.rows}}
    ways_out = {
        "sweep": "a sweep's folder is called as its file: rename the file, or add sweep=... to the command",
        "name": "a row is called as in `patterns`: rename it there",
    }
    keys = [(place, split(text)[0]) for place, texts in held.items() for text in texts]
    wrong = [
        f"{where}: {place}: {key}=... has no effect here; {ways_out[key]}"
        for place, key in keys
        if key in ways_out
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))


def for_all(items: Iterable[T], act: Callable[[T], U], where: str, names: Sequence[str]) -> list[U]:
    """Do something with every row; what is wrong with any of them ends in one error.

    Raises:
        ConfigError: One line per mistake, with the rows that make it.
    """
    done: list[U] = []
    wrong: dict[str, list[str]] = {}
    for name, item in zip(names, items, strict=True):
        try:
            done.append(act(item))
        except LoraLabError as error:
            # A report of many lines stays together; lists of single mistakes are told apart.
            lines = str(error).splitlines() if isinstance(error, ConfigError) else [str(error)]
            for line in lines:
                wrong.setdefault(line, []).append(name)
    if wrong:
        raise ConfigError(
            "\n".join(_lines(where, _rows(rows, len(names)), line) for line, rows in wrong.items())
        )
    return done


def _rows(rows: list[str], total: int) -> str:
    if len(rows) == total and total > 1:
        return "every row"
    shown = ", ".join(map(repr, rows[:12])) + (f" and {len(rows) - 12} more" if len(rows) > 12 else "")
    return f"row {shown}" if len(rows) == 1 else f"rows {shown}"


def _lines(where: str, rows: str, text: str) -> str:
    return "\n".join(f"{where}: {rows}: {line}" for line in text.splitlines()[:1]) + (
        "\n" + "\n".join(text.splitlines()[1:]) if "\n" in text else ""
    )


def _same_place(config: RunConfig, shared: Mapping[str, Any]) -> None:
    here = flat(config)
    wrong = [
        f"{key} is shared by all rows of a sweep: set it in base or on the command line"
        for key, value in shared.items()
        if here[key] != value
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))
