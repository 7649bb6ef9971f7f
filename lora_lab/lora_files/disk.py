"""LoRA files: safetensors with metadata, written whole or not at all, read with clear refusals."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lora_lab.errors import ModelError
from lora_lab.files import replacing
from lora_lab.lora_files.not_a_lora import refuse_not_a_lora
from lora_lab.models.weight_headers import read_header

_MIB = 1 << 20
_SEAL = "lora_lab.seal"


def save_lora(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """Write a LoRA file and return its full metadata, `sshs_model_hash` and `sshs_legacy_hash` included.

    The file appears under its name complete and synced, or not at all. Equal weights and metadata give equal
    bytes.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = save(plain, {key: value for key, value in metadata.items() if key.startswith("ss_")})
    body = 8 + struct.unpack("<Q", data[:8])[0]
    whole = {**metadata, **_content_hashes(data, body)}
    whole[_SEAL] = _seal(plain, whole)
    with replacing(Path(path)) as temporary, open(temporary, "wb") as file:
        file.write(_header(data[8:body], whole))
        file.write(memoryview(data)[body:])
    return whole


def _header(entries: bytes, metadata: Mapping[str, str]) -> bytes:
    """A file's start up to its tensors, with other metadata, sorted (the library writes any order)."""
    found = {**json.loads(entries), "__metadata__": dict(sorted(metadata.items()))}
    header = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header


def _content_hashes(data: bytes, body: int) -> dict[str, str]:
    """`sshs_model_hash` and `sshs_legacy_hash`, by which A1111-family programs know a LoRA again.

    Both are taken of the file with the `ss_*` metadata only, whose tensors start at `body`: SHA-256 of all
    bytes behind the header, and the first 8 digits of SHA-256 of 64 KiB at 1 MiB (of nothing, for smaller
    files). Source: sd-scripts `precalculate_safetensors_hashes`.
    """
    legacy = hashlib.sha256(memoryview(data)[_MIB : _MIB + 0x10000]).hexdigest()[:8]
    model = hashlib.sha256(memoryview(data)[body:]).hexdigest()
    return {"sshs_model_hash": model, "sshs_legacy_hash": legacy}


def _seal(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 over what the content hash does not cover: names, types, shapes, and all other metadata."""
    kinds = sorted((name, str(tensor.dtype), list(tensor.shape)) for name, tensor in tensors.items())
    rest = sorted((key, value) for key, value in metadata.items() if key != _SEAL)
    return hashlib.sha256(json.dumps([kinds, rest]).encode()).hexdigest()


def read_lora(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a LoRA file.

    A file of our own is checked against its seal and its content hash. Raises `ModelError`: missing, not
    safetensors, truncated, damaged, or not a LoRA.
    """
    path = Path(path)
    read_header(path)  # says in our words what is wrong with most files
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            names = list(file.keys())
            refuse_not_a_lora(path, names, metadata)
            # Copied out of the mapping: a file that is written over later must not reach into memory here.
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except SafetensorError:
        raise ModelError(f"{path} is damaged: its header does not fit its content; {_AGAIN}") from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise ModelError(f"{path} cannot be read: {error}; {_AGAIN}") from None
    sealed = _SEAL in metadata
    if sealed and _seal(tensors, metadata) != metadata[_SEAL]:
        raise ModelError(
            f"{path} is damaged: its names or metadata are not those that were written; {_AGAIN}"
        )
    if sealed or metadata.get("modelspec.implementation_version", "").startswith("lora_lab/"):
        _check_content(path, metadata)
    return tensors, metadata


_AGAIN = "copy or download it again"


def _check_content(path: Path, metadata: Mapping[str, str]) -> None:
    with open(path, "rb") as file:
        file.seek(8 + struct.unpack("<Q", file.read(8))[0])
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != metadata.get("sshs_model_hash"):
        raise ModelError(
            f"{path} is damaged: its content does not match its own hash (sshs_model_hash); {_AGAIN}"
        )
