"""Names of rows: safe as folder names, short, and the same at every invocation."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

RESERVED = ("anchors",)
"""Names that a sweep's folder uses for other things."""

_SAFE = re.compile(r"\w[\w.=,+@-]*")
_LONGEST = 80


def name_problem(name: object) -> str | None:
    """Why a row cannot have this name, or None.

    YAML reads 03 as the number 3 and off as a boolean, so a name that is not text was not quoted.
    """
    if not isinstance(name, str):
        return f'name {name!r} is not text: put it in quotes, as in "{name}"'
    if not _SAFE.fullmatch(name) or name.endswith("."):
        return (
            f"name {name!r} cannot be a folder: use letters, digits and . _ = , + - after the first character"
        )
    if len(name) > _LONGEST:
        return f"name {name!r} is longer than {_LONGEST} characters"
    if name.lower() in RESERVED:
        return f"name {name!r} is taken by the sweep's own folder {name}/"
    return None


def split(override: str) -> tuple[str, str]:
    """Key and value text of an override; '+' and '~' in front of the key do not count."""
    key, _, value = override.partition("=")
    return key.strip().lstrip("+~"), value.strip()


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Each dotted key's last part, or the whole key where two share their last part."""
    tails = Counter(key.rsplit(".", 1)[-1] for key in keys)
    return {key: tail if tails[tail := key.rsplit(".", 1)[-1]] == 1 else key for key in keys}


def short_value(text: str) -> str:
    """A value's text as part of a folder name: a path's stem, without quotes and odd characters."""
    plain = text.strip("'\"")
    if "/" in plain or "\\" in plain:
        stem = re.split(r"[/\\]", plain.rstrip("/\\"))[-1]
        plain = re.sub(r"\.(safetensors|ckpt|toml)$", "", stem)
    return re.sub(r"[^\w.+-]+", "-", plain).strip("-.") or "empty"


def joined(parts: Sequence[tuple[str, str]]) -> str:
    """A name such as 'optimizer=lion,network_alpha=16'; a long one is cut and ends in a hash."""
    short = short_keys([key for key, _ in parts])
    name = ",".join(f"{short[key]}={short_value(value)}" for key, value in parts)
    if len(name) <= _LONGEST:
        return name
    whole = ",".join(f"{key}={value}" for key, value in parts)
    return f"{name[: _LONGEST - 9].rstrip('.,-=')}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def distinct(names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """The names, where two are the same (or differ in case only) with a hash of their source behind them."""
    counts = Counter(name.lower() for name in names)
    return [
        name
        if counts[name.lower()] == 1
        else f"{name[: _LONGEST - 7]}-{hashlib.sha256(source.encode()).hexdigest()[:6]}"
        for name, source in zip(names, sources, strict=True)
    ]
