r"""Hydra's own multirun: comma lists to rows. Hydra expands them; starting them is `sweep`'s.

Hydra 1.3 takes launchers only from the `hydra_plugins` namespace; the one there hands its rows to `collect`.
Texts never go through Hydra's grammar: it multiplies stand-ins, which become the texts again in the rows.
Commas part the values of a text, too; those in quotes or brackets do not, and `\,` is a comma of the text.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from unittest.mock import patch

import hydra
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from lora_lab.config.assigning import DICT_KEYS, read_override
from lora_lab.config.compose import (
    check_folders,
    compose,
    groups,
    register,
    search_path,
)
from lora_lab.config.hydras_words import in_our_words
from lora_lab.config.shipped import CONF_DIR
from lora_lab.config.text import TEXTS, key_of, kind, repeated, split_at_commas, unquoted
from lora_lab.errors import ConfigError

_collected: list[tuple[str, ...]] = []

_QUIET = (
    "hydra/launcher=lora_lab",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)

_CHOICE = re.compile(r"choice\((.*)\)", re.DOTALL)
_COMMA = "\0"
"""Stands for a comma of the text while the others part values; no argument of a program can hold it."""


@dataclass(frozen=True)
class _Axis:
    """The values of one setting: as rows say them, and as Hydra is told them."""

    key: str
    rows: tuple[str, ...]
    told: tuple[str, ...]

    @property
    def word(self) -> str:
        """What Hydra is given; `++` since arguments of an optimizer are in no schema."""
        sign = "++" if self.key.startswith(tuple(f"{name}." for name in DICT_KEYS)) else ""
        return f"{sign}{self.key}={','.join(self.told)}"


def collect(rows: Sequence[Sequence[str]]) -> None:
    """Take the rows of a multirun; called by the launcher plugin."""
    _collected.extend(tuple(row) for row in rows)


def expand(overrides: Sequence[str], conf_dirs: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """The rows of `-m` with comma lists, each a list of plain overrides, in Hydra's order.

    Raises:
        ConfigError: A key, choice or value is unknown or wrong, stands twice, or there is none; all at once.
    """
    check_folders(conf_dirs)
    axes = _axes(overrides, conf_dirs)
    texts = {
        f"{axis.key}={told}": f"{axis.key}={row}"
        for axis in axes
        for told, row in zip(axis.told, axis.rows, strict=True)
    }
    _collected.clear()
    register()
    try:
        _multiply([*(axis.word for axis in axes), *search_path(conf_dirs)])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(in_our_words(error)) from error
    rows = [tuple(text.lstrip("+") for text in row) for row in _collected]
    return [tuple(texts.get(text, text) for text in row) for row in rows]


def _multiply(words: Sequence[str]) -> None:
    # Hydra writes multirun.yaml somewhere; the sweep's own sweep.yaml says the same and more.
    with tempfile.TemporaryDirectory(prefix="lora-lab-") as scratch:
        place = [f"hydra.sweep.dir='{scratch}'", f"hydra.run.dir='{scratch}'"]
        line = ["lora-lab", "--multirun", *words, *_QUIET, *place]
        # Without the variable, Hydra prints its errors and ends the program.
        with patch.object(sys, "argv", line), patch.dict(os.environ, HYDRA_FULL_ERROR="1"):
            hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="config")(_nothing)()


def _nothing(_config: object) -> None:
    """Stands where Hydra expects the application; the launcher starts none."""


def _axes(overrides: Sequence[str], conf_dirs: Sequence[str]) -> list[_Axis]:
    """The values of every setting, held to the settings: Hydra's own messages name no way out."""
    wrong = [
        f"{key} stands more than once: write its values in one list, as in {key}=A,B"
        for key in repeated(overrides)
    ]
    axes: list[_Axis] = []
    unread: list[str] = []
    for text in overrides:
        try:
            axes.append(_axis(text, conf_dirs))
        except ConfigError as error:
            wrong.append(str(error))
        except HydraException:
            unread.append(text)
    wrong += _problems(axes, unread, conf_dirs)
    if wrong:
        raise ConfigError("\n".join(dict.fromkeys(wrong)))
    return axes


def _problems(axes: Sequence[_Axis], unread: Sequence[str], conf_dirs: Sequence[str]) -> list[str]:
    """What is wrong with any single value, in the words of `compose`; it also says what cannot be read."""
    words = [[f"{axis.key}={row}" for row in axis.rows] for axis in axes]
    trials = [[*unread, *(values[0] for values in words)]]
    trials += [[value] for values in words for value in values[1:]]
    wrong: list[str] = []
    for trial in trials:
        try:
            compose(trial, conf_dirs, checked=False)
        except ConfigError as error:
            wrong += str(error).splitlines()
    return wrong


def _axis(text: str, conf_dirs: Sequence[str]) -> _Axis:
    """The values of one override.

    Raises:
        ConfigError: It gives no value, or no values that could be counted.
        HydraException: It cannot be read.
    """
    key = key_of(text)
    if kind(key) and "=" in text and not text.startswith("~"):
        items = _texts(key, text.partition("=")[2].strip())
        told = [f"[text{n}]" if kind(key) == TEXTS else f"text{n}" for n in range(len(items))]
        return _Axis(key, tuple(items), tuple(told))
    item = read_override(text.lstrip("+"))
    if item.is_delete():
        raise ConfigError(f"cannot delete {key}: set it to its off value")
    values = _values(item, text, conf_dirs)
    if not values:
        raise ConfigError(f"{text} gives no value: give at least one, as in {key}=A,B")
    return _Axis(key, values, values)


def _values(item: Override, text: str, conf_dirs: Sequence[str]) -> tuple[str, ...]:
    if not item.is_sweep_override():
        return (item.get_value_element_as_str(),)
    key, value = item.get_key_element(), item.value()
    if isinstance(value, Glob):
        known = groups(conf_dirs).get(key)
        if known is None:
            raise ConfigError(f"{text}: glob is for choices, such as optimizer=glob(a*); write {key}=A,B")
        found = tuple(value.filter(known))
        if not found:
            raise ConfigError(f"{text}: no {key} is called so; known: {', '.join(known)}")
        return found
    if item.is_interval_sweep():
        raise ConfigError(
            f"{text} is a range without steps: write its values, as in {key}=A,B or range(A,B,STEP)"
        )
    return tuple(item.sweep_string_iterator())


def _texts(key: str, raw: str) -> list[str]:
    choice = _CHOICE.fullmatch(raw)
    items = split_at_commas((choice[1] if choice else raw).replace("\\,", _COMMA)) or [""]
    return [_with_commas(key, item.strip()) for item in items]


def _with_commas(key: str, item: str) -> str:
    """The text with its commas; in quotes, and in a list of texts, a backslash before them is a letter."""
    stands = kind(key) == TEXTS or unquoted(item) != item
    return item.replace(_COMMA, "\\," if stands else ",")
