"""Looking into a `.ckpt` without unpickling it: only opcodes are read, nothing is ever executed."""

import io
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lora_lab.errors import ModelError
from lora_lab.models.weight_headers import refuse_non_weights

_DATA_ROOTS = {"torch", "collections", "numpy", "_codecs"}
"""Modules whose names a plain state dict mentions; torch's weights-only reader has the last word."""
_LEFTOVER_ROOTS = {
    "pytorch_lightning", "lightning", "lightning_fabric", "lightning_lite", "lightning_utilities",
    "omegaconf", "argparse",
}  # fmt: skip
"""Modules whose objects training tools leave in checkpoints; stand-ins that do nothing take their places."""
_LEGACY_PICKLES = 4
_MOST_OPCODES = 20_000_000


@dataclass(frozen=True)
class PickleScan:
    """Strings (tensor names among them) and importable names that a pickle mentions."""

    strings: frozenset[str]
    code: tuple[str, ...]
    """Names such as `posix.system` that are not plain tensor data."""
    leftovers: tuple[str, ...] = ()
    """Names of training tools' classes, such as `pytorch_lightning.callbacks.ModelCheckpoint`."""


def scan_pickle(path: str | Path) -> PickleScan:
    """Read the opcodes of a torch checkpoint, in the zip or the older format.

    Raises:
        ModelError: The file is missing, empty, truncated, or not a torch checkpoint.
    """
    path = Path(path)
    refuse_non_weights(path)
    with open(path, "rb") as file:
        start = file.read(4)
        file.seek(0)
        try:
            if start[:2] == b"PK":
                return _scan(io.BytesIO(_zip_pickle(path)), pickles=1)
            return _scan(file, pickles=_LEGACY_PICKLES)
        except (ValueError, EOFError, IndexError, OverflowError, UnicodeDecodeError, MemoryError):
            raise ModelError(
                f"{path} is not a readable torch checkpoint (damaged or cut off); fetch it again, "
                "or use a .safetensors file"
            ) from None


def _zip_pickle(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if not names:
                raise ModelError(f"{path} is a zip archive without data.pkl, so not a torch checkpoint")
            return archive.read(names[0])
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError) as error:
        raise ModelError(f"{path} is truncated or damaged ({error}); fetch it again") from None


def _scan(stream: IO[bytes], pickles: int) -> PickleScan:
    strings: set[str] = set()
    names: set[str] = set()
    for _ in range(pickles):
        _scan_one(stream, strings, names)
    foreign = sorted(name for name in names if name.split(".")[0] not in _DATA_ROOTS)
    leftovers = tuple(name for name in foreign if name.split(".")[0] in _LEFTOVER_ROOTS)
    code = tuple(name for name in foreign if name not in leftovers)
    return PickleScan(frozenset(strings), code, leftovers)


class Leftover:
    """Stands for an object of a training tool: takes whatever the pickle gives it, and keeps none of it."""

    def __new__(cls, *_: object, **__: object) -> "Leftover":
        """Make one of any arguments."""
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        """Ignore the arguments."""

    def __setstate__(self, _: object) -> None:
        """Ignore the state."""


def _scan_one(stream: IO[bytes], strings: set[str], names: set[str]) -> None:
    memo: dict[int, str] = {}
    recent: list[str] = []
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count > _MOST_OPCODES:
            raise ValueError("endless pickle")
        if "UNICODE" in opcode.name or opcode.name in {"STRING", "BINSTRING", "SHORT_BINSTRING"}:
            recent.append(str(argument))
            strings.add(str(argument))
        elif opcode.name == "MEMOIZE" or "PUT" in opcode.name:
            key = len(memo) if argument is None else int(argument)
            memo[key] = recent[-1] if recent else "?"
        elif "GET" in opcode.name:
            recent.append(memo.get(int(argument or 0), "?"))
        elif opcode.name in {"GLOBAL", "INST"}:
            names.add(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            names.add(".".join(recent[-2:]) or "?")
        elif opcode.name.startswith("EXT"):
            names.add(f"extension {argument}")
        del recent[:-4]
