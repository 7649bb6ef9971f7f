"""What a weight file says about itself, read without its weights and without torch."""

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lab.errors import ModelError

_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a safetensors file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    """Its first byte, counted from the start of the file."""
    nbytes: int


@dataclass(frozen=True)
class Header:
    """The header of a safetensors file."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


_WEB_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<!--", b"<head", b"<body")
_PICKLES = (b"PK\x03\x04", *(bytes([0x80, protocol]) for protocol in range(2, 6)))
_OTHERS = {
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"7z\xbc\xaf": "a 7-Zip archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"\xfd7zXZ": "an xz archive: unpack it",
    b"\x89PNG": "a PNG image: give the weights that belong to it",
    b"\xff\xd8\xff": "a JPEG image: give the weights that belong to it",
    b"RIFF": "a WebP image: give the weights that belong to it",
    b"\x89HDF": "an HDF5 file, which is not read here: give a .safetensors file",
}
"""Beginnings of files that people take for weights, what they are and what to do."""


def refuse_no_safetensors(path: Path, start: bytes) -> None:
    """Refuse by its first bytes a file that only is called so, and say what it is.

    Raises:
        ModelError: It is a pickle, an archive, an image, or the text that a server answered with.
    """
    if start[8:9] == b"{":  # a header; its length before it may look like anything
        return
    if start.startswith(_PICKLES):
        raise ModelError(
            f"{path} is a pickle or a zip archive (.pt, .ckpt, .bin), which could run code; only "
            ".safetensors files are read here"
        )
    for mark, what in _OTHERS.items():
        if start.startswith(mark):
            raise ModelError(f"{path} is {what}")
    if len(start) >= 8 and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        shown = start.decode("ascii").split("\n")[0].strip()[:40]
        raise ModelError(f"{path} is text, not weights: it begins with {shown!r}; download it again")


def refuse_non_weights(path: Path) -> int:
    """The size of a file in bytes, after the checks that hold for every weight file.

    Raises:
        ModelError: It is missing, not a file, unreadable, empty, a git-lfs pointer, GGUF, or a web page.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(64)
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist; {_neighbours(path)}") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None
    if size == 0:
        raise ModelError(f"{path} is empty (0 bytes); download it again")
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(
            f"{path} is a git-lfs pointer of {size} bytes, not the weights; fetch them with `git lfs pull` "
            "or download the file itself"
        )
    if start.startswith(b"GGUF"):
        raise ModelError(
            f"{path} is a GGUF file, quantised for other programs, and is not read here; give the "
            ".safetensors file that it was made of"
        )
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_WEB_PAGES):
        raise ModelError(f"{path} is a web page, not weights; the download needs a login or another address")
    return size


def read_header(path: str | Path) -> Header:
    """The names, types and shapes in a safetensors file, and its metadata.

    Raises:
        ModelError: The file cannot be read, is no safetensors file, or has fewer bytes than its header says.
    """
    path = Path(path)
    size = refuse_non_weights(path)
    with open(path, "rb") as file:
        start = file.read(64)
        refuse_no_safetensors(path, start)
        start = start[:8]
        file.seek(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= _LONGEST_HEADER:
            raise ModelError(f"{path} is not a safetensors file (no header at its start); download it again")
        if 8 + length > size:
            raise ModelError(_truncated(path, 8 + length, size))
        raw = file.read(length)
    try:
        entries = json.loads(raw)
        if not isinstance(entries, dict) or not _is_texts(entries.get("__metadata__") or {}):
            raise ValueError("no metadata of texts")
        metadata = {str(key): str(value) for key, value in (entries.pop("__metadata__", None) or {}).items()}
        tensors = {name: _tensor_info(entry, 8 + length) for name, entry in entries.items()}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        raise ModelError(
            f"{path} is not a safetensors file (its header is damaged); download it again"
        ) from None
    if 8 + length + end > size:
        raise ModelError(_truncated(path, 8 + length + end, size))
    if 8 + length + end < size:
        raise ModelError(
            f"{path} is damaged: it has {size:,} bytes, {size - 8 - length - end:,} more than its header "
            "says; download it again"
        )
    return Header(tensors, metadata)


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _tensor_info(entry: Mapping[str, Any], data_start: int) -> TensorInfo:
    start, end = (int(offset) for offset in entry["data_offsets"])
    shape = tuple(int(side) for side in entry["shape"])
    if start < 0 or end < start or any(side < 0 for side in shape):
        raise ValueError("negative size")
    return TensorInfo(str(entry["dtype"]), shape, data_start + start, end - start)


def _truncated(path: Path, expected: int, size: int) -> str:
    return (
        f"{path} is truncated: its header asks for {expected:,} bytes, the file has {size:,}; "
        "the download or copy was cut off, fetch it again"
    )


def _neighbours(path: Path) -> str:
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return f"{os.fspath(folder)} holds {listing(folder)}"


def listing(folder: Path, most: int = 6) -> str:
    """A few names of a folder's content, for messages."""
    try:
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    except OSError as error:
        return f"(unreadable: {error.strerror})"
    names = [name for name in names if not name.startswith(".")]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or "nothing"
