"""Files that a command writes where the user says: only what it wrote itself is ever replaced or deleted.

A folder that was written to holds `MARK`: the name of each file of ours, who wrote it, and a hash of what was
written. A file that is not in it, was written of something else, or was changed since is somebody's own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lora_lab.errors import RunFolderError
from lora_lab.files import write_json

MARK = ".lora_lab.json"
FILES = (".safetensors", ".toml", ".json", ".md", ".png", ".txt", ".zip")
"""Endings of what lies in a folder that is written: nobody calls the folder so."""
MOST_NAMED = 3
"""Files that a refusal names one by one."""


def owner(kind: str, source: Path, target: Path) -> str:
    """Who writes to `target`: what is made of it, and of which folder, unless it lies in that very folder.

    A sweep's folder may be moved with what was made of it inside.
    """
    own = source.resolve()
    return kind if target.resolve().is_relative_to(own) else f"{kind} of {own}"


def folder_for(given: str) -> Path:
    """The folder that `-o` names, for commands that write several files.

    Raises:
        RunFolderError: It is a file, or is named like one.
    """
    folder = Path(given)
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is a file: give a folder with -o")
    if folder.suffix.lower() in FILES and not folder.is_dir():
        raise RunFolderError(
            f"-o {folder}: several files are written, so give a folder, such as -o {folder.with_suffix('')}"
        )
    return folder


def contents(folder: Path) -> list[Path]:
    """All files below a folder but marks, and folders without any: what goes away with it.

    Raises:
        RunFolderError: It is no folder, or cannot be read.
    """
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is a file: give a folder with -o")
    try:
        found = sorted(folder.rglob("*"))
        return [
            item
            for item in found
            if item.name != MARK and (not item.is_dir() or item.is_symlink() or not any(item.iterdir()))
        ]
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be read: {error.strerror or error}") from error


def refuse_to_overwrite(files: Iterable[Path], by: str, *, home: Path | None = None) -> None:
    """Refuse to replace or delete files that were not written by the same.

    Args:
        files: What will be written, or goes away.
        by: What `owner` says, or any text that names the source for good.
        home: A folder that only we write to: versions that kept no marks left none in it.

    Raises:
        RunFolderError: One of them is there and is not ours, or a folder lies in its place.
    """
    if home is not None and not is_marked(home):
        files = [file for file in files if file.parent != home]
    found = [(file, reason) for file in files if (reason := _foreign(file, by))]
    if found:
        named = ", ".join(f"{file} ({reason})" for file, reason in found[:MOST_NAMED])
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        raise RunFolderError(
            f"not overwritten: {named}{more}; move what is there away, or say where else with -o"
        )


def _foreign(file: Path, by: str) -> str:
    """Why a file is somebody's own, or ''."""
    if not file.exists() and not file.is_symlink():
        return ""
    if not file.is_file():
        return "it is no file"
    noted = _marks(file.parent).get(file.name)
    if noted is None:
        return "lora-lab did not write it"
    if noted.get("by") != by:
        return f"it was written as {noted.get('by')}"
    return "" if noted.get("sha256") == _hash(file) else "it was changed since it was written"


def remember(files: Iterable[Path], by: str) -> None:
    """Note files as written by us, each in its folder's mark.

    Raises:
        RunFolderError: The mark cannot be written.
    """
    by_folder: dict[Path, dict[str, Any]] = {}
    for file in files:
        by_folder.setdefault(file.parent, {})[file.name] = {"by": by, "sha256": _hash(file)}
    for folder, noted in by_folder.items():
        kept = {name: item for name, item in _marks(folder).items() if (folder / name).is_file()}
        write_json(folder / MARK, {"written by lora-lab": {**kept, **noted}})


def is_marked(folder: Path) -> bool:
    """Whether anything in a folder is noted as ours."""
    return bool(_marks(folder))


def _marks(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads((folder / MARK).read_text(encoding="utf-8"))
        items = found.get("written by lora-lab") if isinstance(found, dict) else None
        if isinstance(items, dict):
            return {name: item for name, item in items.items() if isinstance(item, dict)}
    return {}


def _hash(file: Path) -> str:
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise RunFolderError(f"{file} cannot be read: {error.strerror or error}") from error
