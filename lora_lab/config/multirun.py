"""Hydra's own multirun: comma lists to rows. Hydra expands them; starting them is `sweep`'s.

Hydra 1.3 takes launchers only from the `hydra_plugins` namespace; the one there hands its rows to `collect`.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from lora_lab.config.compose import CONF_DIR, compose, register
from lora_lab.errors import ConfigError

_collected: list[tuple[str, ...]] = []

_QUIET = (
    "hydra/launcher=lora_lab",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)


def collect(rows: Sequence[Sequence[str]]) -> None:
    """Take the rows of a multirun; called by the launcher plugin."""
    _collected.extend(tuple(row) for row in rows)


def expand(overrides: Sequence[str], conf_dirs: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """The rows of `-m` with comma lists, each a list of plain overrides, in Hydra's order.

    Raises:
        ConfigError: A key, choice or value is unknown or wrong; all of them at once.
    """
    _check(overrides, conf_dirs)
    _collected.clear()
    register()
    folders = [str(Path(folder).resolve()) for folder in conf_dirs]
    search = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders)}]"] if folders else []
    # Hydra writes multirun.yaml somewhere; the sweep's own sweep.yaml says the same and more.
    with tempfile.TemporaryDirectory(prefix="lora-lab-") as scratch:
        place = [f"hydra.sweep.dir='{scratch}'", f"hydra.run.dir='{scratch}'"]
        words = ["lora-lab", "--multirun", *overrides, *_QUIET, *place, *search]
        with patch.object(sys, "argv", words):
            hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="config")(_nothing)()
    return list(_collected)


def _nothing(_config: object) -> None:
    """Stands where Hydra expects the application; the launcher starts none."""


def _check(overrides: Sequence[str], conf_dirs: Sequence[str]) -> None:
    """Hold every single value to the settings first: Hydra's own messages name no way out."""
    plain: list[str] = []
    lists: list[list[str]] = []
    parser = OverridesParser.create()
    for text in overrides:
        try:
            item = parser.parse_override(text)
            values = [f"{item.get_key_element()}={value}" for value in item.sweep_string_iterator()]
            lists.append(values)
        except HydraException:
            # Not a list of values: one value, or nothing that can be read; `compose` tells them apart.
            plain.append(text)
    wrong: list[str] = []
    trials = [[values[0] for values in lists]]
    trials += [[value] for values in lists for value in values[1:]]
    for trial in trials:
        try:
            compose([*plain, *trial], conf_dirs, checked=False)
        except ConfigError as error:
            wrong += [line for line in str(error).splitlines() if line not in wrong]
    if wrong:
        raise ConfigError("\n".join(wrong))
