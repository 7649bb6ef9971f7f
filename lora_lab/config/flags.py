"""Settings that are written as options, as people write them who come from sd-scripts."""

from __future__ import annotations

from collections.abc import Sequence

from lora_lab.config.inspect import nearest, peers_name, settings, why_no_setting
from lora_lab.config.peers import OTHER_NAMES

_WRITTEN = "settings are written without dashes, as key=value"


def as_setting(flag: str, words: Sequence[str]) -> str:
    """What to write in place of an option that there is not.

    Args:
        flag: The option, with its value where `=` stands between them: `--network_dim=16`.
        words: All words of the command line; what follows the option may be its value.
    """
    option, _, value = flag.partition("=")
    name = option.lstrip("-").replace("-", "_")
    for key in () if name in OTHER_NAMES else settings():
        if name in (key, key.rsplit(".", 1)[-1]):
            return f"{option}: {_WRITTEN}: {key}={value or _value_after(flag, words) or _switched_on(key)}"
    if key := peers_name(name):
        # The value may be called otherwise, too: Lion is lion.
        return f"{option} is called {key} here, and {_WRITTEN}; `lora-lab import` translates whole presets"
    if reason := why_no_setting(name):
        return f"{option}: {reason}"
    if hint := nearest(name, settings()):
        return f"{option} is no setting{hint} S{_WRITTEN[1:]}"
    return f"{option} is neither an option nor a setting: `lora-lab settings` lists the settings"


def _value_after(flag: str, words: Sequence[str]) -> str:
    """The word behind an option, where it may be its value."""
    if "=" in flag or flag not in words:
        return ""
    after = [*words, "--"][words.index(flag) + 1]
    return "" if after.startswith("--") or "=" in after else after


def _switched_on(key: str) -> str:
    return "true" if settings()[key].type == "bool" else "VALUE"
