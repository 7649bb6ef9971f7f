"""Copies of weight files with some tensors changed: one tensor in memory, the rest byte for byte."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from lora_lab.models.weight_headers import Header, TensorInfo, read_header
from lora_lab.models.weights import open_tensors

Change = Callable[[Tensor], Tensor]
"""Gives a tensor of the same shape; it is stored in the type that it had."""

_BLOCK = 1 << 24
_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip


def rewrite(
    source: Path, place: Path, changes: Mapping[str, Change], metadata: Mapping[str, str] | None = None
) -> None:
    """Write `source` to `place` as safetensors, with some tensors changed and metadata added.

    A pickle (.ckpt, .bin) becomes a safetensors file of the same tensors and types.

    Raises:
        ModelError: The source is damaged, or a pickle that holds more than tensors.
    """
    if source.suffix.lower() in (".safetensors", ".sft"):
        header = read_header(source)
        with open(source, "rb") as raw, open_tensors([source], source) as tensors:
            _write(place, header, metadata or {}, _Copier(raw, header, tensors.read, changes))
        return
    with open_tensors([source], source) as tensors:
        infos, end = {}, 0
        for name in sorted(tensors.names):
            tensor = tensors.read(name)
            infos[name] = TensorInfo(_NAMES[tensor.dtype], tuple(tensor.shape), end, tensor.nbytes)
            end += tensor.nbytes
        header = Header(infos, {"format": "pt"})
        _write(place, header, metadata or {}, _Copier(None, header, tensors.read, changes))


class _Copier:
    """Where the bytes of a copy come from."""

    def __init__(
        self,
        raw: IO[bytes] | None,
        header: Header,
        read: Callable[[str], Tensor],
        changes: Mapping[str, Change],
    ) -> None:
        self._raw, self._header, self._read, self._changes = raw, header, read, changes

    def put(self, name: str, out: IO[bytes]) -> None:
        """Append one tensor's bytes."""
        change = self._changes.get(name)
        if change is not None or self._raw is None:
            tensor = self._read(name)
            changed = tensor if change is None else change(tensor).reshape(tensor.shape).to(tensor.dtype)
            if changed.numel():
                out.write(changed.contiguous().flatten().view(torch.uint8).numpy().data)
            return
        info = self._header.tensors[name]
        self._raw.seek(info.start)
        left = info.nbytes
        while left:
            block = self._raw.read(min(left, _BLOCK))
            out.write(block)
            left -= len(block)


def _write(place: Path, header: Header, metadata: Mapping[str, str], copier: _Copier) -> None:
    order = sorted(header.tensors, key=lambda name: (header.tensors[name].start, name))
    entries: dict[str, object] = {"__metadata__": {**header.metadata, **metadata}}
    end = 0
    for name in order:
        info = header.tensors[name]
        entries[name] = {
            "dtype": info.dtype,
            "shape": list(info.shape),
            "data_offsets": [end, end + info.nbytes],
        }
        end += info.nbytes
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(place, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            copier.put(name, out)
