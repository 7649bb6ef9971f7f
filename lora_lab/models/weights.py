"""Tensors from files into networks: one tensor at a time, so that memory stays near one copy.

A network is made without memory (on the meta device), then every tensor is read, checked, converted to the
asked type on the asked device, and assigned.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lora_lab.errors import ModelError
from lora_lab.models.headers import read_header
from lora_lab.models.pickles import scan_pickle

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tensors:
    """The tensors of one or several files, read when asked."""

    where: str
    """The file or folder, for messages."""
    names: frozenset[str]
    read: Callable[[str], Tensor]


@dataclass(frozen=True)
class Target:
    """What a network should be filled with: how its parameters are called in the file."""

    what: str
    """The part's name in messages, such as `U-Net`."""
    sources: Mapping[str, tuple[str, Change | None]]
    """Parameter name to the file's tensor name and what has to be done to that tensor."""


@contextmanager
def open_tensors(files: Iterable[Path], where: Path) -> Iterator[Tensors]:
    """Open weight files together; `.safetensors` by their headers, others by torch's weights-only reader.

    Raises:
        ModelError: A file is damaged, or a pickle holds more than tensors. Code in it is never executed.
    """
    with ExitStack() as stack:
        readers: dict[str, Callable[[str], Tensor]] = {}
        for file in files:
            if file.suffix in {".safetensors", ".sft"}:
                read_header(file)
                try:
                    handle = stack.enter_context(safe_open(file, framework="pt", device="cpu"))
                except (SafetensorError, OSError) as error:
                    raise ModelError(f"{file} cannot be read: {error}") from None
                readers.update(dict.fromkeys(handle.keys(), handle.get_tensor))
            else:
                tensors = _read_pickle(file)
                readers.update(dict.fromkeys(tensors, tensors.__getitem__))
        yield Tensors(str(where), frozenset(readers), lambda name: readers[name](name))


def _read_pickle(file: Path) -> dict[str, Tensor]:
    code = scan_pickle(file).code
    if code:
        raise ModelError(
            f"{file} holds code ({', '.join(code[:3])}), which is never executed here; "
            "use a .safetensors file of the same model, or save its tensors alone"
        )
    with open(file, "rb") as start:
        mappable = start.read(2) == b"PK"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=mappable)
    except Exception as error:  # torch raises many kinds for damaged and for refused pickles
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{file} cannot be read as plain tensors: {reason}; use a .safetensors file"
        ) from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise ModelError(f"{file} holds a {type(content).__name__}, not tensors by name")
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def fill(network: nn.Module, tensors: Tensors, target: Target, dtype: torch.dtype, device: str) -> None:
    """Give a network made on the meta device its weights.

    Raises:
        ModelError: Tensors are missing, or have other shapes than the network.
    """
    missing = [name for name, _ in target.sources.values() if name not in tensors.names]
    if missing:
        raise ModelError(
            f"{tensors.where}: the {target.what} lacks {len(missing)} of {len(target.sources)} tensors "
            f"({', '.join(missing[:3])}); the file is incomplete, or of another architecture"
        )
    filled = {}
    for key, empty in network.state_dict().items():
        name, change = target.sources[key]
        tensor = tensors.read(name)
        tensor = change(tensor) if change else tensor
        if tensor.shape != empty.shape:
            tensor = _reshaped(tensor, empty, f"{tensors.where}: {name}")
        filled[key] = _converted(tensor, dtype, device)
    network.load_state_dict(filled, assign=True)
    for key, buffer in network.named_buffers():
        if buffer.is_meta:
            _refill_buffer(network, key, buffer, device)


def _converted(tensor: Tensor, dtype: torch.dtype, device: str) -> Tensor:
    # copy: what safetensors and mmap give is backed by the file, which may be replaced under a long run
    return tensor.to(device=device, dtype=dtype, copy=True, memory_format=torch.contiguous_format)


def _reshaped(tensor: Tensor, empty: Tensor, name: str) -> Tensor:
    """A 1x1 convolution for a linear layer or the reverse: the same numbers in another shape."""
    if [side for side in tensor.shape if side != 1] != [side for side in empty.shape if side != 1]:
        raise ModelError(
            f"{name} has shape {tuple(tensor.shape)} instead of {tuple(empty.shape)}: another architecture"
        )
    return tensor.reshape(empty.shape)


def _refill_buffer(network: nn.Module, key: str, buffer: Tensor, device: str) -> None:
    """Buffers that files leave out, since they follow from the config: only CLIP's position ids."""
    owner, _, name = key.rpartition(".")
    if name != "position_ids":
        raise ModelError(f"the buffer {key} of {type(network).__name__} has no value")
    module = network.get_submodule(owner)
    module.register_buffer(name, torch.arange(buffer.shape[-1], device=device)[None], persistent=False)


def tensors_identity(networks: Iterable[nn.Module], configs: Any) -> str:
    """SHA-256 over all tensors of networks (name, type, shape, bytes) and their configs, as 64 hex digits."""
    digest = hashlib.sha256(json.dumps(configs, sort_keys=True, default=str).encode())
    for network in networks:
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
