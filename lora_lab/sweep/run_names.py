"""Names of rows: safe as folder names, short, and the same at every invocation."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from lora_lab.config import settings, unquoted
from lora_lab.store.layout import TAKEN

_SIGNS = ".=,+@-"
_LONGEST = 80
_MOST_BYTES = 100
"""A LoRA to pass on is called SWEEP-RUN-step00000200.safetensors, and written under a longer name first;
file systems take 255 bytes."""
_WINDOWS = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9\u00b9\u00b2\u00b3])(\..*)?", re.IGNORECASE)
_NUMBER = re.compile(r"([-+]?)(\d*\.?\d*(?:[eE][-+]?\d+)?)")


def name_problem(name: object) -> str | None:
    """Why a row or a sweep cannot have this name, or None.

    One rule for all: names are used for folders on any system, files, addresses of pages and LoRA
    names in prompts. YAML reads 03 as the number 3 and off as a boolean, so a name that is not text was not
    quoted.
    """
    if not isinstance(name, str):
        return f'name {name!r} is not text: put it in quotes, as in "{name}"'
    odd = [sign for sign in name if not (_is_letter(sign) or sign in _SIGNS or sign == " ")]
    if not name or odd or not _is_letter(name[0]) or name[-1] in ". ":
        return (
            f"name {name!r} cannot be a folder everywhere: use letters, digits and . _ = , + @ - after the "
            "first character, and no dot or blank at the end"
        )
    if len(name) > _LONGEST or len(name.encode()) > _MOST_BYTES:
        return (
            f"name {name!r} is too long for file names: at most {_LONGEST} characters and {_MOST_BYTES} "
            f"bytes, got {len(name)} and {len(name.encode())}"
        )
    return f"name {name!r} is reserved on Windows" if _WINDOWS.fullmatch(name) else None


def as_name(text: str) -> str:
    """A text as a name: signs that names cannot have are dashes, and it is no longer than names can be."""
    found = "".join(sign if _is_letter(sign) or sign in ".+@- " else "-" for sign in text)
    while found and not _is_letter(found[0]):
        found = found[1:]
    while len(found) > _LONGEST or len(found.encode()) > _MOST_BYTES:
        found = found[:-1]
    return found.rstrip(". -") or "lora"


def run_problem(name: object) -> str | None:
    """Why a run cannot have this name, or None: the rule for all, and nothing else in a sweep's folder."""
    if isinstance(name, str) and unicodedata.normalize("NFC", name).lower() in TAKEN:
        return f"name {name!r} is taken by the sweep's own {name}"
    return name_problem(name)


def same_folder(name: str) -> str:
    """What two names have in common that are one folder on a system that ignores case."""
    return unicodedata.normalize("NFC", name).casefold()


def _is_letter(sign: str) -> bool:
    """Whether a character is a letter, a mark upon one, a digit, or _ ."""
    return sign == "_" or unicodedata.category(sign)[0] in "LMN"


def split(override: str) -> tuple[str, str]:
    """Key and value text of an override; '+' and '~' in front of the key do not count."""
    key, _, value = override.partition("=")
    return key.strip().lstrip("+~"), value.strip()


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Each dotted key's last part, or the whole key where two share their last part."""
    tails = Counter(key.rsplit(".", 1)[-1] for key in keys)
    return {key: tail if tails[tail := key.rsplit(".", 1)[-1]] == 1 else key for key in keys}


def short_value(text: str, key: str = "") -> str:
    """A value's text as part of a folder name: without quotes and odd characters; of a path its stem.

    Numbers keep sign and point (.5 is 0.5, not 5). A text that loses characters ends in a hash, so that
    another one has another name.
    """
    plain = unquoted(text)
    known = settings().get(key)
    if (known.path if known else False) and ("/" in plain or "\\" in plain):
        stem = re.split(r"[/\\]", plain.rstrip("/\\"))[-1]
        stem = re.sub(r"\.(safetensors|ckpt|toml)$", "", stem)
        return _cleaned(stem) or "empty"
    number = _NUMBER.fullmatch(plain)
    if number and any(sign.isdigit() for sign in number[2]):
        digits = f"0{number[2]}" if number[2].startswith(".") else number[2]
        return ("-" if number[1] == "-" else "") + digits.rstrip(".")
    found = _cleaned(plain)
    lost = found != plain and plain.strip("[]{}'\"") != found
    return f"{found}-{_hash(plain, 4)}".lstrip("-") if lost and plain else found or "empty"


def _cleaned(text: str) -> str:
    kept = "".join(sign if _is_letter(sign) or sign in ".+-" else "-" for sign in text)
    return re.sub(r"-{2,}", "-", kept).strip("-.")


def _hash(text: str, letters: int) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:letters]


def joined(parts: Sequence[tuple[str, str]]) -> str:
    """A name such as 'optimizer=lion,network_alpha=16'; a long one is cut and ends in a hash."""
    short = short_keys([key for key, _ in parts])
    name = ",".join(f"{short[key]}={short_value(value, key)}" for key, value in parts)
    if len(name) <= _LONGEST and len(name.encode()) <= _MOST_BYTES:
        return name
    whole = ",".join(f"{key}={value}" for key, value in parts)
    return f"{_cut(name, 9)}-{_hash(whole, 8)}"


def _cut(name: str, room: int) -> str:
    """The beginning of a name, with room left behind it for as many letters."""
    start = name[: _LONGEST - room].encode()[: _MOST_BYTES - room].decode(errors="ignore")
    return start.rstrip(".,-= ")


def distinct(names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """The names; where two are one folder (case does not count), with a hash of their source behind them."""
    counts = Counter(map(same_folder, names))
    return [
        name if counts[same_folder(name)] == 1 else f"{_cut(name, 7)}-{_hash(source, 6)}"
        for name, source in zip(names, sources, strict=True)
    ]
