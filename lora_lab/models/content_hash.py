"""Which base model this is, by content: the same bytes under another name are the same model."""

import hashlib
import json
import os
from pathlib import Path

from lora_lab.files import read_lines
from lora_lab.models import folder as folders
from lora_lab.models.families import FAMILIES
from lora_lab.models.identify import identify, locate
from lora_lab.models.weight_headers import refuse_non_weights

_BLOCK = 1 << 22
_WORTH_REMEMBERING = 1 << 24


def identity(path: str | Path) -> str:
    """SHA-256 of a model's content, as 64 hex digits.

    For one file it is the file's SHA-256, which other tools show, too. For a folder it is the hash over the
    names and hashes of the files that loading reads: configs, weights, tokenizers, schedule. Hashes of
    unchanged files (path, size, modification time in nanoseconds) are kept in the user's cache folder.

    Raises:
        ModelError: There is no base model at `path`.
    """
    path = locate(path)
    if not path.is_dir():
        return file_hash(path)
    entries = [(file.relative_to(path).as_posix(), file_hash(file)) for file in _model_files(path)]
    return hashlib.sha256(json.dumps(sorted(entries)).encode()).hexdigest()


def _model_files(path: Path) -> list[Path]:
    family = FAMILIES[identify(path).family]
    files = [path / "model_index.json"]
    for name in [family.denoiser.component, "vae", *(encoder.component for encoder in family.encoders)]:
        part = folders.component(path, name)
        files += [part.config_file, *part.weights]
    for encoder in family.encoders:
        files += folders.tokenizer_files(path, encoder.tokenizer)
    schedule = folders.scheduler_file(path)
    return files + ([schedule] if schedule.is_file() else [])


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, remembered while path, size and modification time stay the same.

    Raises:
        ModelError: The file is missing, empty or no weights.
    """
    refuse_non_weights(path)
    status = path.stat()
    key: list[str | int] = [str(path.resolve()), status.st_size, status.st_mtime_ns]
    if status.st_size < _WORTH_REMEMBERING:
        return _hashed(path)
    for line in reversed(read_lines(_memory())):
        if line.get("file") == key and isinstance(line.get("sha256"), str):
            return line["sha256"]
    digest = _hashed(path)
    _remember(key, digest)
    return digest


def _hashed(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _memory() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "lora_lab" / "file_hashes.jsonl"


def _remember(key: list[str | int], digest: str) -> None:
    memory = _memory()
    line = (json.dumps({"file": key, "sha256": digest}) + "\n").encode()
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with open(memory, "ab", buffering=0) as file:
            file.write(line)
    except OSError:
        pass  # only a convenience: an unwritable cache folder must not stop a run
