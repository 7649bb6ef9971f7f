"""What Hydra and OmegaConf say of a file or a value, in our words: key, value and way out."""

import re
from pathlib import Path

from hydra.errors import MissingConfigException
from omegaconf.errors import GrammarParseError

from lora_lab.config.inspect import settings, unknown_setting

_FILE = re.compile(r"In '([^']+)'")
_KEY = re.compile(r"full_key: ?(\S.*)")
_VALUE = re.compile(r"Value '(.*?)' of type|Cannot assign (\S+)|Incompatible value '(.*?)'", re.DOTALL)
_REFERENCE = re.compile(r"Interpolation key '(.+?)' not found|Environment variable '(.+?)' not found")
_LINES = "`key: value` lines"


def in_our_words(error: Exception, file: Path | None = None) -> str:
    """One line for an error of Hydra's or OmegaConf's; what is not known is its own first lines.

    Args:
        file: Where the values stand, where that is known; else what the error itself names.
    """
    text = str(error)
    named = _FILE.search(text)
    where = f"{file}: " if file else f"{named[1]}.yaml: " if named and named[1] != "config" else ""
    return where + (_said(error, text, named[1] if named else "") or one_line(error))


def one_line(error: Exception) -> str:
    """What another library says, without its line breaks and remarks; of YAML the place and what is wrong."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark and problem:
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:3])


def _said(error: Exception, text: str, named: str) -> str:
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"there is no {group} {name!r}: it needs a file {group}/{name}.yaml"
    if "defaults must be a list" in text:
        return "defaults must be a list, as in `defaults: [override /optimizer: lion]`"
    if "ListConfig" in text and "merge" in text or "Merge error: list" in text:
        return f"it is a list, and has to hold {_LINES}"
    if "Invalid loaded object type" in text:
        return f"it has to hold {_LINES}"
    found = _KEY.search(text)
    key = found[1].strip() if found else ""
    if "' not in '" in text or "is not a subclass" in text:
        if key == named.partition("/")[0] and key not in settings():
            return "without `# @package _global_` as its first line it can set nothing"
        return unknown_setting(key)
    if reference := _REFERENCE.search(text):
        named = reference[1] or f"oc.env:{reference[2]}"
        return f"{key}: ${{{named}}} refers to no setting; as text it is \\${{{named}}}"
    if isinstance(error, GrammarParseError):
        return f"{key}: cannot read the reference in it; write ${{other.setting}}, or \\${{ for the text ${{"
    if not key:
        return ""
    value = _VALUE.search(text)
    if value and key in settings():
        given = next((item for item in value.groups() if item is not None), "")
        kind = settings()[key].type.replace("dict[str, typing.Any]", "`name: value` lines")
        return f"{key} must be of type {kind}, got {given!r}"
    return f"{key}: {one_line(error)}" if "Interpolation" in text or "interpolation" in text else ""
