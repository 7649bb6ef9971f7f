"""Files are written whole or not at all."""

import errno
import io
import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lora_lab import files
from lora_lab.errors import RunFolderError
from lora_lab.files import (
    append_line,
    file_in_the_way,
    finite,
    json_text,
    read_lines,
    replacing,
    write_json,
    write_text,
)


def test_a_reader_sees_the_old_or_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and [file.name for file in path.parent.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyError), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_permissions_are_those_of_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_full_disk_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, call, full)
    with pytest.raises(RunFolderError, match="No space left on device; make room") as caught:
        write_json(tmp_path / "run.json", {"a": 1})
    assert str(tmp_path / "run.json") in str(caught.value)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    for write, name in ((write_text, "sweep/a.txt"), (write_text, "a.txt"), (append_line, "steps.jsonl")):
        with pytest.raises(RunFolderError, match="cannot write") as caught:
            write(tmp_path / "results" / name, "x")
        assert f"{tmp_path / 'results'} is a file, not a folder; " in str(caught.value)
        assert "results=OTHER_FOLDER" in str(caught.value) and "make room" not in str(caught.value)
    assert file_in_the_way(tmp_path / "results" / "a") == tmp_path / "results"
    assert file_in_the_way(tmp_path / "new" / "a") is None is file_in_the_way(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    assert file_in_the_way(tmp_path / "dangling" / "a") == tmp_path / "dangling"


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": math.nan, "b": [math.inf, 1.5], "c": "é"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {
        "a": None,
        "b": [None, 1.5],
        "c": "é",
    }
    assert finite((1, -math.inf)) == [1, None]


def test_lines_survive_a_torn_end(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    assert read_lines(path) == []
    for step in (1, 2):
        append_line(path, {"step": step, "loss": math.nan})
    with open(path, "ab") as file:
        file.write(b'{"step": 3, "lo')
    assert read_lines(path) == [{"step": 1, "loss": None}, {"step": 2, "loss": None}]


KILLED = """
import os, signal, sys
from pathlib import Path
from lora_lab.files import replacing
for name in sys.argv[1:-1]:
    replacing(Path(name)).__enter__().write_text("half")
with replacing(Path(sys.argv[-1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_kill_leaves_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    names = ["config.yaml", "run/checkpoints/a.b-000001.safetensors", "busy/run.json", "run/no_ending"]
    environment = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", KILLED, *names], cwd=tmp_path, env=environment, check=False)
    own = [".config.yaml", ".lock", ".new-1", ".notes.12-of-mine.yaml", ".a.yaml.x-12345678.yaml"]
    for name in own:
        (tmp_path / name).write_text("the user's")
    left = {file for file in tmp_path.rglob(".*") if file.name not in own}
    assert len(left) == 4
    with replacing(tmp_path / "config.yaml") as mine:
        removed = files.remove_leftovers(tmp_path, {tmp_path / "busy"})
        assert {file.parent.name for file in left - set(removed)} == {"busy"} and len(removed) == 3
        assert mine.exists() and all((tmp_path / name).exists() for name in own)
        mine.write_text("whole")
    assert (tmp_path / "config.yaml").read_text() == "whole"
    assert files.remove_leftovers(tmp_path) == list(left - set(removed))


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Lets no file grow beyond a number of bytes: writes are then cut short, as on a full disk.

    It holds for the process, so that pytest itself could write nothing to a file while it lasts.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("room", [1, 7, 11, 12])
def test_a_line_is_on_the_disk_whole_or_the_user_is_told(tmp_path: Path, durable: bool, room: int) -> None:
    path = tmp_path / "scores.jsonl"
    append_line(path, {"n": 12345}, durable=durable)
    before = path.read_bytes()
    with (
        small_disk(len(before) + room),
        pytest.raises(RunFolderError, match="nothing of it was kept"),
    ):
        append_line(path, {"n": 67890}, durable=durable)
    assert path.read_bytes() == before, "no torn line is left behind"
    with small_disk(len(before) + 13):
        append_line(path, {"n": 67890}, durable=durable)
    assert read_lines(path) == [{"n": 12345}, {"n": 67890}]


def test_writes_that_come_in_pieces_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data)[:3])

    monkeypatch.setattr(files, "open", lambda path, mode, buffering: Slow(path, "a+"), raising=False)
    append_line(tmp_path / "a.jsonl", {"n": 12345})
    monkeypatch.undo()
    assert read_lines(tmp_path / "a.jsonl") == [{"n": 12345}]


def test_half_a_sign_is_kept_as_its_number(tmp_path: Path) -> None:
    append_line(tmp_path / "a.jsonl", {"note": "a\ud800b"})
    assert read_lines(tmp_path / "a.jsonl") == [{"note": "a\ud800b"}]


@pytest.mark.parametrize("durable", [True, False])
def test_a_torn_line_before_is_no_part_of_the_next(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "steps.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2, "lo')
    append_line(path, {"step": 3}, durable=durable)
    assert read_lines(path) == [{"step": 1}, {"step": 3}]


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1.5, "日本\n", [], {}, [1, "a", None], {"a": 1, 'b"é': True}, [[], [[1, 2], {}], {"a": {}}]),
        {
            "rows": [{"name": "a", "pair": (1, [2.0, "x"]), "empty": []}, {"name": "b"}],
            "last": {"deep": {"c": [0]}},
        },
    ],
)
def test_text_is_that_of_the_standard_library(value: Any) -> None:
    assert json_text(value) == json.dumps(value, indent=1, ensure_ascii=False)


def test_a_path_that_is_no_utf8_is_written_and_read_back(tmp_path: Path) -> None:
    path = os.fsdecode(b"/data/\x83~\x83N")
    values = {"dataset.path": path, "deep": {"of": [path]}, "kept": "日本 \\udc83"}
    write_json(tmp_path / "run.json", values)
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8")) == values
