"""Tensors from files into networks: one tensor at a time, so that memory stays near one copy.

A network is made without memory (on the meta device), then every tensor is read, checked, converted to the
asked type on the asked device, and assigned.
"""

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from lora_lab.counts import counted
from lora_lab.errors import ModelError
from lora_lab.models.pickles import Leftover, scan_pickle
from lora_lab.models.weight_headers import TensorInfo, read_header

Change = Callable[[Tensor], Tensor]

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Tensors:
    """The tensors of one or several files, read when asked."""

    where: str
    """The file or folder, for messages."""
    names: frozenset[str]
    read: Callable[[str], Tensor]
    """Gives a tensor of its own memory."""


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
        readers: dict[str, Callable[[], Tensor]] = {}
        for file in files:
            if file.suffix.lower() in {".safetensors", ".sft"}:
                entries = read_header(file).tensors
                stream = stack.enter_context(open(file, "rb", buffering=0))
                readers.update({name: partial(_read_tensor, stream, name, entries[name]) for name in entries})
            else:
                tensors = _read_pickle(file)
                readers.update({name: tensors[name].clone for name in tensors})
        yield Tensors(str(where), frozenset(readers), lambda name: readers[name]())


def _read_tensor(stream: IO[bytes], name: str, info: TensorInfo) -> Tensor:
    """One tensor of a safetensors file.

    Read, not mapped: no second copy counts against memory, and a file that is replaced under a long run can
    neither change nor crash it.
    """
    dtype = _DTYPES.get(info.dtype)
    if dtype is None or info.nbytes != dtype.itemsize * math.prod(info.shape):
        raise ModelError(
            f"{stream.name}: {name} has the type {info.dtype} and {info.nbytes} bytes, not readable"
        )
    tensor = torch.empty(info.nbytes, dtype=torch.uint8)
    stream.seek(info.start)
    room = tensor.numpy().data
    while room:
        count = stream.readinto(room)  # type: ignore[attr-defined]
        if not count:
            raise ModelError(f"{stream.name} is truncated; fetch it again")
        room = room[count:]
    return tensor.view(dtype).reshape(info.shape)


def _read_pickle(file: Path) -> dict[str, Tensor]:
    scan = scan_pickle(file)
    if scan.code:
        raise ModelError(
            f"{file} holds code ({', '.join(scan.code[:3])}), which is never executed here; "
            "use a .safetensors file of the same model, or save its tensors alone"
        )
    with open(file, "rb") as start:
        mappable = start.read(2) == b"PK"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The reader itself calls nothing that it does not know; these names become stand-ins for it.
            with torch.serialization.safe_globals([(Leftover, name) for name in scan.leftovers]):
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
            f"{tensors.where}: the {target.what} lacks {len(missing)} of "
            f"{counted(len(target.sources), 'tensor')} ({', '.join(missing[:3])}); "
            "the file is incomplete, or of another architecture"
        )
    filled = {}
    for key, empty in network.state_dict().items():
        name, change = target.sources[key]
        tensor = tensors.read(name)
        if change:  # in memory of its own, so that the rest is freed
            tensor = change(tensor).clone(memory_format=torch.contiguous_format)
        if tensor.shape != empty.shape:
            tensor = _reshaped(tensor, empty, f"{tensors.where}: {name}")
        filled[key] = tensor.to(device=device, dtype=dtype).contiguous()
    network.load_state_dict(filled, assign=True)
    for key, buffer in network.named_buffers():
        if buffer.is_meta:
            _refill_buffer(network, key, buffer, device)


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
