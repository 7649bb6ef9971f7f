"""Caches of what the frozen models make of images and captions, shared by every run of every sweep.

An entry's name is the hash of everything that its content depends on, and the entry repeats it in full: a
stale hit would need the same image bytes, sizes, cut, mirror, weights and number type, and then it is not
stale. Entries carry a checksum; a damaged one is as good as none and is made anew. Writing is to a
temporary name, then a rename, so that any number of processes may write the same entry. A cache that cannot
be written to costs time, never the run: `write_error` says why."""

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from lora_lab.data.buckets import Assignment
from lora_lab.data.image_set import CaptionedImage
from lora_lab.files import temporary_beside

Arrays = dict[str, np.ndarray]
# Part of every key: raise it when `images`, `resize` or `pixels` make other numbers of the same image.
_FORMAT = 1
_MEMORY_BYTES = 1 << 30


@dataclass(frozen=True)
class LatentKey:
    """Everything that an image's latent depends on; sizes are (width, height), `dtype` is the VAE's.

    `vae` is the identity (hash) of the VAE's weights and configuration.
    """

    image_sha256: str
    bucket: tuple[int, int]
    resized: tuple[int, int]
    crop_left_top: tuple[int, int]
    flip: bool
    vae: str
    dtype: str
    resize_interpolation: str | None = None


@dataclass(frozen=True)
class TextKey:
    """Everything that a caption's hidden states depend on.

    `encoder` is the identity of weights and tokenizer; `weighted`: `(word:1.3)` is read as a weight.
    """

    encoder: str
    caption: str
    clip_skip: int
    max_token_length: int
    dtype: str
    weighted: bool = False


def latent_key(
    item: CaptionedImage, assignment: Assignment, *, flip: bool, vae: str, dtype: str
) -> LatentKey:
    """The key of one image's latent."""
    return LatentKey(
        item.sha256,
        assignment.bucket,
        assignment.resized,
        assignment.crop_left_top,
        flip,
        vae,
        dtype,
        item.settings.resize_interpolation,
    )


@dataclass
class ArrayCache:
    """Named arrays by key, in memory (the most recently used, up to `memory_bytes`) and in a folder.

    Args:
        folder: None keeps entries in memory only.
    """

    folder: Path | None
    memory_bytes: int = _MEMORY_BYTES
    write_error: str | None = None
    _memory: "OrderedDict[str, Arrays]" = field(default_factory=OrderedDict, repr=False)
    _held: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get(self, key: Any) -> Arrays | None:
        """The arrays stored under a key (a dataclass), or None; arrays are read-only."""
        name = _name(key)
        with self._lock:
            if name in self._memory:
                self._memory.move_to_end(name)
                return dict(self._memory[name])
        arrays = self._read(name, key)
        if arrays is not None:
            self._keep(name, arrays)
        return arrays

    def put(self, key: Any, arrays: Mapping[str, np.ndarray]) -> None:
        """Store arrays; they are copied."""
        name = _name(key)
        copied = {label: np.array(array, order="C") for label, array in arrays.items()}
        self._write(name, key, copied)
        self._keep(name, copied)

    def get_or_make(self, key: Any, make: Callable[[], Mapping[str, np.ndarray]]) -> Arrays:
        """What is stored under a key, made and stored now if there is nothing."""
        arrays = self.get(key)
        if arrays is None:
            self.put(key, make())
            arrays = self.get(key)
            assert arrays is not None
        return arrays

    def path(self, key: Any) -> Path | None:
        """The file of an entry, whether it is there or not."""
        return None if self.folder is None else self._path(_name(key))

    def _path(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / name[:2] / f"{name}.safetensors"

    def _keep(self, name: str, arrays: Arrays) -> None:
        for array in arrays.values():
            array.flags.writeable = False
        with self._lock:
            if name in self._memory:
                self._held -= _bytes(self._memory.pop(name))
            self._memory[name] = dict(arrays)
            self._held += _bytes(arrays)
            while self._held > self.memory_bytes and len(self._memory) > 1:
                self._held -= _bytes(self._memory.popitem(last=False)[1])

    def _read(self, name: str, key: Any) -> Arrays | None:
        if self.folder is None:
            return None
        try:
            data = self._path(name).read_bytes()
        except OSError:
            return None
        return _unpack(data, key)

    def _write(self, name: str, key: Any, arrays: Arrays) -> None:
        if self.folder is None:
            return
        path = self._path(name)
        temporary: Path | None = None
        try:
            temporary = temporary_beside(path)
            temporary.write_bytes(_pack(arrays, key))
            os.replace(temporary, path)
        except OSError as error:
            self.write_error = f"the cache {self.folder} cannot be written to: {error.strerror or error}"
            if temporary:
                with suppress(OSError):
                    temporary.unlink()


@dataclass
class LatentCache:
    """Mean and log-variance of images' latents, float32 (4, H/8, W/8) each."""

    arrays: ArrayCache

    def get(self, key: LatentKey) -> tuple[np.ndarray, np.ndarray] | None:
        """(mean, logvar), or None; read-only."""
        found = self.arrays.get(key)
        return None if found is None else (found["mean"], found["logvar"])

    def put(self, key: LatentKey, mean: np.ndarray, logvar: np.ndarray) -> None:
        """Store a latent's distribution; numbers are kept as float32."""
        self.arrays.put(key, {"mean": mean.astype(np.float32), "logvar": logvar.astype(np.float32)})


@dataclass
class TextCache:
    """Captions' states by name, such as `hidden` (T, D) and `pooled` (D,), in the number type given."""

    arrays: ArrayCache

    def get(self, key: TextKey) -> Arrays | None:
        """The states, or None; read-only."""
        return self.arrays.get(key)

    def put(self, key: TextKey, states: Mapping[str, np.ndarray]) -> None:
        """Store a caption's states."""
        self.arrays.put(key, states)


def open_latents(folder: Path | None, memory_bytes: int = _MEMORY_BYTES) -> LatentCache:
    """The latent cache under a cache folder; None keeps it in memory."""
    return LatentCache(ArrayCache(folder and folder / "latents", memory_bytes))


def open_texts(folder: Path | None, memory_bytes: int = _MEMORY_BYTES) -> TextCache:
    """The cache of text states under a cache folder; None keeps it in memory."""
    return TextCache(ArrayCache(folder and folder / "texts", memory_bytes))


def _full(key: Any) -> str:
    """A key in full, with its kind and the format's number."""
    return json.dumps([_FORMAT, type(key).__name__, asdict(key)], sort_keys=True)


def _name(key: Any) -> str:
    return hashlib.sha256(_full(key).encode()).hexdigest()


def _bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


def _checksum(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for label, array in sorted(arrays.items()):
        digest.update(f"{label} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _pack(arrays: Arrays, key: Any) -> bytes:
    return save_tensors(arrays, metadata={"key": _full(key), "sha256": _checksum(arrays)})


def _unpack(data: bytes, key: Any) -> Arrays | None:
    """The arrays of an entry, or None when it is damaged or another key's."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header["__metadata__"]
        arrays = load_tensors(data)
    except Exception:  # a damaged file may break the reader anywhere; it is then made anew
        return None
    if metadata.get("key") != _full(key) or metadata.get("sha256") != _checksum(arrays):
        return None
    return dict(arrays)
