"""Writing files so that a reader, a crash or a full disk never leaves half of one."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import RawIOBase
from pathlib import Path
from typing import Any

from lora_lab.errors import RunFolderError
from lora_lab.system import is_there

TEMPORARY = re.compile(r"\..+\.(?P<pid>[0-9]{1,10})-[a-z0-9_]{8}(\.[^.]*)?\Z")
"""Names of what is being written: `.config.yaml.4711-x2k_9d1a.yaml`."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success it is synced and renamed to `path`, else removed.

    Raises:
        RunFolderError: The folder cannot be written to, or the disk is full.
    """
    temporary: Path | None = None
    try:
        temporary = temporary_beside(path)
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`, which must not be there; on success its files are synced and it
    is renamed to `path`, else removed.

    Raises:
        RunFolderError: The folder cannot be written to, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        for item in temporary.iterdir():
            with open(item, "rb") as file:
                os.fsync(file.fileno())
        temporary.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def unwritable(path: Path, error: OSError, lost: str = "") -> RunFolderError:
    """What a user is told where a file or folder cannot be written.

    Args:
        lost: What became of what was to be written, as the beginning of the way out.
    """
    if blocking := file_in_the_way(path.parent):
        return RunFolderError(f"cannot write {path}: {blocking} is a file, not a folder; {lost}{_ELSEWHERE}")
    return RunFolderError(f"cannot write {path}: {error.strerror or error}; {lost}make room, or {_ELSEWHERE}")


_ELSEWHERE = "give another place (results=OTHER_FOLDER, cache=OTHER_FOLDER, or -o where a command has it)"


def file_in_the_way(folder: Path) -> Path | None:
    """The file because of which there can be no folder of this name, or None."""
    there = next((item for item in (folder, *folder.parents) if os.path.lexists(item)), None)
    return there if there is not None and not there.is_dir() else None


def temporary_beside(path: Path) -> Path:
    """A new empty file beside `path`, whose name tells `remove_leftovers` who made it.

    Raises:
        OSError: The folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=path.suffix, dir=path.parent)
    os.close(handle)
    return Path(name)


def _prefix(path: Path) -> str:
    return f".{path.name}.{os.getpid()}-"


def remove_leftovers(folder: Path, spared: Container[Path] = ()) -> list[Path]:
    """Remove the temporary files and folders whose process is gone, in a folder and all below it.

    A kill leaves them; they are hidden, and nothing takes them for results.

    Args:
        folder: Where to look; links are not followed, for what lies there may be another's.
        spared: Folders below it that are left alone: another machine may be writing there.

    Returns:
        What was removed.
    """
    removed = []
    for place, below, names in os.walk(folder):
        below[:] = [name for name in below if Path(place, name) not in spared]
        for name in [*names, *below]:
            found = TEMPORARY.match(name)
            if found and not is_there(int(found["pid"])):
                with suppress(OSError):
                    _remove(Path(place, name))
                    removed.append(Path(place, name))
    return removed


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; non-finite numbers become null.

    Names of files that are no UTF-8 hold halves of signs, which are written as their numbers.
    """
    text = json_text(finite(value)) + "\n"
    write_text(path, text.encode(errors="backslashreplace").decode())


def json_text(value: Any, depth: int = 0) -> str:
    """What `json.dumps(value, indent=1, ensure_ascii=False)` gives for values with texts as keys, sooner.

    With an indent, the standard library does without its encoder in C, which is most of the time of a plan of
    thousands of rows. Here that one writes whatever holds no further level.
    """
    if isinstance(value, str):
        return _text(value)
    own = _encoder(depth)
    if not isinstance(value, dict | list | tuple) or not value:
        return own.encode(value)
    start, end = f"\n{' ' * (depth + 1)}", f"\n{' ' * depth}"
    items = value.values() if isinstance(value, dict) else value
    if not any(isinstance(item, dict | list | tuple) for item in items):
        text = own.encode(value)
        return f"{text[0]}{start}{text[1:-1]}{end}{text[-1]}"
    parts = [json_text(item, depth + 1) for item in items]
    if isinstance(value, dict):
        parts = [f"{_text(key)}: {part}" for key, part in zip(value, parts, strict=True)]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}{start}{f',{start}'.join(parts)}{end}{last}"


_text: Callable[[str], str] = json.encoder.encode_basestring
"""A text as JSON has it, in C."""


@lru_cache(maxsize=64)
def _encoder(depth: int) -> json.JSONEncoder:
    return json.JSONEncoder(ensure_ascii=False, separators=(f",\n{' ' * (depth + 1)}", ": "))


def append_line(path: Path, value: Any, *, durable: bool = False) -> None:
    """Append one JSON line: all of it, or nothing and an error. A torn line of a crash before stays its own.

    Args:
        path: The file; it is made with its folders where it is missing.
        value: What JSON can hold; non-finite numbers become null.
        durable: Force it to the disk.

    Raises:
        RunFolderError: The file cannot be written to, or the disk is full.
    """
    data = (json.dumps(finite(value), ensure_ascii=False) + "\n").encode(errors="backslashreplace")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        with open(path, "a+b", buffering=0) as file:
            if _torn(file):
                data = b"\n" + data
            _write_all(file, data)
            if durable:
                os.fsync(file.fileno())
        if durable and fresh:
            _sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error, "nothing of it was kept; ") from error


def _write_all(file: RawIOBase, data: bytes) -> None:
    """Write all of `data` at the end of a file; where that fails, what came of it is taken away again.

    A full disk takes a part of a line and says so by a smaller number only.

    Raises:
        OSError: Not all of it could be written.
    """
    start = file.seek(0, os.SEEK_END)
    done = 0
    try:
        while done < len(data):
            written = file.write(data[done:])
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done += written
    except OSError:
        with suppress(OSError):
            # Nothing is taken away that another process wrote behind it.
            if file.seek(0, os.SEEK_END) == start + done:
                file.truncate(start)
        raise


def _sync_folder(path: Path) -> None:
    """Force a new file's name to the disk, where the system can."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _torn(file: RawIOBase) -> bool:
    """Whether the last line lacks its end."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file; a torn last line is left out, a missing file is empty."""
    rows = []
    with suppress(FileNotFoundError), open(path, encoding="utf-8-sig", errors="replace") as file:
        for line in file:
            with suppress(ValueError, RecursionError):
                row = json.loads(line)
                if isinstance(row, dict):
                    rows.append(row)
    return rows


def finite(value: Any) -> Any:
    """The value with NaN and infinities as None, since JSON has no such numbers."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
