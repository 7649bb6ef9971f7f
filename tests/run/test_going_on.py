"""Runs that were stopped, killed, or left without room go on, and end as if nothing had been."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import lora_lab
from lora_lab import files
from lora_lab.errors import RunFolderError
from lora_lab.files import read_lines
from lora_lab.lora_files.disk import read_lora
from lora_lab.preview import Shot
from lora_lab.run import __main__ as worker
from lora_lab.run import previews
from lora_lab.run.lock import FolderLock
from lora_lab.store import RunFolder, append_score_line, read_record, read_scores, write_record
from lora_lab.store.locks import is_locked
from tests.run.bench import Bench

ROOT = Path(lora_lab.__file__).parent.parent
COMMAND = (sys.executable, "-m", "lora_lab.run", "--events", "-")
LAUNCHER = """
import os, subprocess, sys, time
subprocess.Popen([*sys.argv[1:], "--parent", str(os.getpid())], stdout=subprocess.PIPE)
time.sleep(600)
"""
LONG = ("train.max_train_epochs=12", "train.save_every_n_epochs=3", "train.save_state_every_n_steps=5",
        "train.save_precision=fp32")  # fmt: skip
STEPS = 400
WHILE_KILLED = ("train.max_train_epochs=80", "train.save_every_n_epochs=20", "preview=off")


def start(*words: str, log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(log, "ab") as file:
        return subprocess.Popen(
            words, env=environment, stdout=file, stderr=file, cwd=log.parent, start_new_session=True
        )


def until(what: Callable[[], bool]) -> None:
    """Wait for something that takes seconds."""
    deadline = time.monotonic() + 300
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def steps(folder: RunFolder) -> int:
    return len(read_lines(folder.steps_file))


def same_weights(one: RunFolder, other: RunFolder) -> None:
    records = read_record(one), read_record(other)
    assert [item.tag for item in records[0].checkpoints] == [item.tag for item in records[1].checkpoints]
    for item in records[1].checkpoints:
        a, b = (read_lora(folder.checkpoint(item.tag))[0] for folder in (one, other))
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a), item.tag


@pytest.mark.slow  # three starts of a worker, and steps enough that it is not done before it is killed
def test_stopped_left_alone_and_killed_it_still_ends_the_same(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [bench.write(name, *LONG, *WHILE_KILLED) for name in ("y", "z")]
    paths = [str(folder.path) for folder in folders]
    log = tmp_path / "log.txt"

    process = start(*COMMAND, *paths, log=log)
    until(lambda: steps(folders[0]) >= 7 or process.poll() is not None)
    assert is_locked(folders[0]) and worker.main(paths) == 0
    assert "is being worked on by another process" in capsys.readouterr().err
    process.terminate()
    assert process.wait() == 130, log.read_text()
    for folder in folders:
        record = read_record(folder)
        assert record.status == "cancelled" and record.reason.startswith("stopped by SIGTERM at step")
        assert folder.saved_states() == [record.step], "it saved where it stood"
    stood = read_record(folders[0]).step

    launcher = start(sys.executable, "-c", LAUNCHER, *COMMAND, *paths, log=log)
    until(lambda: steps(folders[0]) >= stood + 6 or launcher.poll() is not None)
    launcher.kill()
    launcher.wait()
    until(lambda: not is_locked(folders[0]) and not is_locked(folders[1]))
    record = read_record(folders[0])
    assert record.status == "cancelled" and record.reason.startswith("the launcher is gone"), record.reason
    assert record.resumed_at_steps == [stood]

    process = start(*COMMAND, *paths, log=log)
    until(lambda: steps(folders[0]) >= record.step + 12 or process.poll() is not None)
    process.kill()
    assert process.wait() == -signal.SIGKILL, log.read_text()
    assert read_record(folders[0]).status == "running" and not is_locked(folders[0])

    bench.work(folders)
    whole = [bench.write(name, *LONG, *WHILE_KILLED) for name in ("v", "w")]
    bench.work(whole)
    for one, other in zip(whole, folders, strict=True):
        record = read_record(other)
        assert record.status == "done" and len(record.resumed_at_steps) == 3
        same_weights(one, other)
        assert [row["step"] for row in read_lines(other.steps_file)] == list(range(1, STEPS + 1))
        assert [row["loss"] for row in read_lines(other.steps_file)] == [
            row["loss"] for row in read_lines(one.steps_file)
        ]
        for item in record.checkpoints:
            assert [(other.path / preview.file).is_file() for preview in item.previews] == [True]
        assert record.samples == read_record(one).samples == STEPS
        assert not other.states.exists()


def test_other_preview_settings_on_a_finished_run_render_and_train_nothing(bench: Bench) -> None:
    (first,) = bench.run("a", extra=["preview.seeds=[3,4]"])
    folder = bench.sweep.run("a")
    weights, log = folder.checkpoint("000002").read_bytes(), folder.steps_file.read_bytes()
    old = Image.open(folder.path / first.checkpoints[0].previews[0].file).tobytes()
    bench.write("a", "preview.seeds=[3]", "preview.prompts=['something else']", "preview.steps=3")
    bench.work([folder])
    second = read_record(folder)
    assert second.status == "done" and second.preview_fingerprint != first.preview_fingerprint
    assert folder.checkpoint("000002").read_bytes() == weights and folder.steps_file.read_bytes() == log
    for item in second.checkpoints:
        assert [(p.file, p.text) for p in item.previews] == [
            (f"previews/{item.tag}/p0-s3-w1.png", "something else")
        ]
        assert [file.name for file in folder.previews(item.tag).iterdir()] == ["p0-s3-w1.png"]
        assert item.metrics == item.previews[0].metrics
    image = Image.open(folder.path / second.checkpoints[0].previews[0].file)
    assert "Steps: 3" in image.info["parameters"] and image.tobytes() != old
    assert len(list(bench.sweep.anchors.glob("base-*"))) == 2


def count_rendered(monkeypatch: pytest.MonkeyPatch) -> list[Shot]:
    """What goes to the U-Net from now on, the bare base model's images (slot -1) included."""
    shots: list[Shot] = []
    real = previews.render

    def counting(base: Any, pack: Any, wanted: Any, settings: Any) -> Any:
        shots.extend(wanted)
        return real(base, pack, wanted, settings)

    monkeypatch.setattr(previews, "render", counting)
    return shots


SMILE, HAT = "preview.prompts=['{trigger}, smile']", "preview.prompts=['{trigger}, hat','{trigger}, smile']"
LATER: list[tuple[str, list[str], set[tuple[str, int, float]], int]] = [
    ("a prompt is added in front", [HAT], {("zz, hat", 3, 1)}, 1),
    ("a seed", [HAT, "preview.seeds=[3,4]"], {("zz, hat", 4, 1), ("zz, smile", 4, 1)}, 2),
    (
        "a strength",
        [HAT, "preview.seeds=[3,4]", "preview.strengths=[0.5,1.0]"],
        {(text, seed, 0.5) for text in ("zz, hat", "zz, smile") for seed in (3, 4)},
        0,
    ),
    ("what draws nothing", [SMILE, "preview.batch_size=2", "metric.names=[basic]"], set(), 0),
    ("steps", [SMILE, "preview.steps=3"], {("zz, smile", 3, 1)}, 1),
    ("a negative prompt", [SMILE, "preview.steps=3", "preview.negative_prompt=x"], {("zz, smile", 3, 1)}, 1),
]
"""What changes, the settings, and what is new of each checkpoint and of the base model."""


def test_only_what_is_missing_is_rendered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (record,) = bench.run("a")
    folder, rendered = bench.sweep.run("a"), count_rendered(monkeypatch)
    seen = {item.drawn: (folder.path / item.file).read_bytes() for item in record.checkpoints[0].previews}
    for what, settings, new, of_base in LATER:
        rendered.clear()
        bench.write("a", *settings)
        bench.work([folder])
        record = read_record(folder)
        of_runs = [(shot.prompt, shot.seed, shot.strength) for shot in rendered if shot.slot >= 0]
        assert sorted(of_runs) == sorted(2 * list(new)), what
        assert len(rendered) - len(of_runs) == of_base, what
        assert record.status == "done" and record.notes == [] and len(record.checkpoints) == 2
        for item in record.checkpoints:
            assert new <= {(shot.text, shot.seed, shot.strength) for shot in item.previews}
            assert {file.name for file in folder.previews(item.tag).glob("*.png")} == {
                Path(shot.file).name for shot in item.previews
            }
            for shot in item.previews:
                said = Image.open(folder.path / shot.file).info["parameters"]
                assert f":{shot.strength:g}> {shot.text}\n" in said and f"Seed: {shot.seed}," in said
            numbers = [shot.metrics["base_distance"] for shot in item.previews if shot.strength == 1]
            mean = sum(value for value in numbers if value is not None) / len(numbers)
            assert item.metrics["base_distance"] == pytest.approx(mean)
        for shot in record.checkpoints[0].previews:
            assert (
                seen.setdefault(shot.drawn, (folder.path / shot.file).read_bytes())
                == (folder.path / shot.file).read_bytes()
            )


def test_a_prompt_that_moved_keeps_its_image_and_its_scores(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = bench.run("a")
    folder, tag = bench.sweep.run("a"), first.checkpoints[0].tag
    shown = first.checkpoints[0].previews[0]
    judged = (folder.path / shown.file).read_bytes()
    append_score_line(
        bench.sweep, "score", session="s", rater="anna", run="a", tag=tag, position=0, value=70,
        shots=[[0, 3, 1.0]], drawn=[shown.drawn],
    )  # fmt: skip
    rendered = count_rendered(monkeypatch)
    bench.write("a", "preview.prompts=['{trigger}, hat','{trigger}, smile']")
    bench.work([folder])
    new, moved = read_record(folder).checkpoints[0].previews
    assert (moved.prompt, moved.text, moved.drawn) == (1, "zz, smile", shown.drawn)
    assert (folder.path / moved.file).read_bytes() == judged
    assert (new.prompt, new.text) == (0, "zz, hat") and new.file != moved.file
    # It goes, and is kept: it was judged, whatever its number was then. The other one was not.
    bench.write("a", "preview.prompts=['{trigger}, tree']")
    bench.work([folder])
    kept = list(folder.previews(tag).glob("judged-*/*.png"))
    assert [file.read_bytes() for file in kept] == [judged]
    assert len([shot for shot in rendered if shot.slot >= 0]) == 4
    assert not (folder.path / new.file).exists()


def test_previews_that_failed_halfway_are_not_rendered_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, broken = previews.render, True

    def breaking(base: Any, pack: Any, wanted: Any, settings: Any) -> Any:
        for number, image in enumerate(real(base, pack, wanted, settings)):
            if broken and number and wanted[0].slot >= 0:
                raise RuntimeError("out of memory")
            yield image

    monkeypatch.setattr(previews, "render", breaking)
    (first,) = bench.run("a", extra=["preview.seeds=[3,4]"])
    assert [len(item.previews) for item in first.checkpoints] == [1, 1]
    broken = False
    rendered = count_rendered(monkeypatch)
    bench.work([bench.sweep.run("a")])
    second = read_record(bench.sweep.run("a"))
    assert [shot.seed for shot in rendered if shot.slot >= 0] == [4, 4]
    assert [[shot.seed for shot in item.previews] for item in second.checkpoints] == [[3, 4], [3, 4]]


def test_images_that_were_judged_are_kept_for_ever(bench: Bench) -> None:
    (first,) = bench.run("a", extra=["preview.seeds=[3,4]"])
    folder = bench.sweep.run("a")
    tag = first.checkpoints[0].tag
    judged, other = (folder.path / item.file for item in first.checkpoints[0].previews)
    before = judged.read_bytes()
    append_score_line(
        bench.sweep, "score", session="s", rater="anna", run="a", tag=tag, position=0, value=70,
        shots=[[0, 3, 1.0]],
    )  # fmt: skip
    for steps in (3, 4):
        bench.write("a", "preview.seeds=[3]", f"preview.steps={steps}")
        bench.work([folder])
    kept = folder.previews(tag) / f"judged-{first.preview_fingerprint[:8]}" / judged.name
    assert kept.read_bytes() == before and not other.exists()
    assert judged.read_bytes() != before
    # Of the next settings' images, the same shot counts as judged: nothing replaces the first.
    assert len(list(folder.previews(tag).glob("judged-*/*.png"))) == 2
    assert not list(folder.previews(first.checkpoints[1].tag).glob("judged-*"))
    assert len(read_scores(bench.sweep).scores) == 1


def test_a_checkpoint_that_was_given_up_for_room_keeps_its_previews(bench: Bench) -> None:
    (first,) = bench.run("a")
    folder = bench.sweep.run("a")
    gone = first.checkpoints[0]
    gone.discarded = True
    write_record(folder, first)
    (folder.path / gone.file).unlink()
    before = (folder.path / gone.previews[0].file).read_bytes()
    bench.write("a", "preview.steps=3")
    bench.work([folder])
    second = read_record(folder)
    assert second.status == "done" and second.notes == first.notes
    assert second.checkpoints[0] == gone and (folder.path / gone.previews[0].file).read_bytes() == before
    assert second.checkpoints[1].previews and not (folder.path / gone.file).exists()


def test_lost_previews_are_rendered_from_the_file(bench: Bench) -> None:
    extra = ("train.save_precision=fp32",)
    (first,) = bench.run("a", extra=extra)
    folder = bench.sweep.run("a")
    file = folder.path / first.checkpoints[0].previews[0].file
    before = torch.tensor(list(Image.open(file).tobytes()), dtype=torch.float32)
    file.unlink()
    bench.work([folder])
    after = torch.tensor(list(Image.open(file).tobytes()), dtype=torch.float32)
    assert float((before - after).abs().max()) <= 1
    assert read_record(folder).checkpoints[0].previews == first.checkpoints[0].previews
    assert steps(folder) == 10


def test_a_damaged_checkpoint_fails_its_run_alone(bench: Bench) -> None:
    bench.run("a", "b", extra=["train.max_train_steps=1", "train.save_every_n_epochs=0"])
    folders = [bench.sweep.run(name) for name in ("a", "b")]
    for folder in folders:
        record = read_record(folder)
        (folder.path / record.checkpoints[0].previews[0].file).unlink()
    broken = folders[0].path / record.checkpoints[0].file.replace("b-", "a-")
    broken.write_bytes(broken.read_bytes()[:-10])
    bench.work(folders)
    a, b = (read_record(folder) for folder in folders)
    assert a.status == "failed" and "truncated" in a.reason
    assert b.status == "done" and (folders[1].path / b.checkpoints[0].previews[0].file).is_file()


def test_states_are_kept_as_long_as_asked(bench: Bench) -> None:
    # 200 and 300 of 1000 updates, in small.
    keep = ("train.save_every_n_epochs=0", "train.save_state_every_n_steps=2", "train.keep_state=true",
            "preview.seeds=[]")  # fmt: skip
    folders = [
        bench.write("newest", *keep),
        bench.write("steps", *keep, "train.save_last_n_steps_state=3"),
        bench.write("epochs", *keep, "train.save_last_n_epochs_state=1"),
        bench.write("none", *keep, "train.save_state=false"),
    ]
    bench.work(folders)
    assert [folder.saved_states() for folder in folders] == [[8], [6, 8], [4, 6, 8], []]


@pytest.mark.slow
def test_a_full_disk_ends_a_run_with_one_message_and_it_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [bench.write(name, "train.save_precision=fp32") for name in ("a", "b")]
    true_replace = os.replace

    def full(source: Any, target: Any) -> None:
        if "a-000002" in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        true_replace(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    bench.work(folders)
    a, b = (read_record(folder) for folder in folders)
    assert a.status == "cancelled" and "No space left on device" in a.reason and "make room" in a.reason
    assert b.status == "done"
    assert not list(folders[0].checkpoints.glob(".*")), "no half file stays"
    monkeypatch.undo()
    bench.work(folders[:1])
    assert read_record(folders[0]).status == "done"
    assert read_record(folders[0]).resumed_at_steps == [5]
    a_tensors, b_tensors = (read_lora(f.checkpoint("000002"))[0] for f in folders)
    assert max(float((a_tensors[k] - b_tensors[k]).abs().max()) for k in a_tensors) < 1e-4


def test_no_room_at_all_is_one_message(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bench.write("a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    assert worker.main([str(folder.path)]) == 2
    text = capsys.readouterr().err
    assert "No space left on device" in text and "Traceback" not in text


def test_a_folder_that_cannot_be_locked_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="results=OTHER_FOLDER"):
        FolderLock(tmp_path / "file" / ".lock").acquire()


def test_no_base_model_is_said_in_the_record_too(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    folder = bench.write("a", "base_model.path=/nowhere/model.safetensors")
    assert worker.main([str(folder.path)]) == 2
    assert "/nowhere/model.safetensors" in capsys.readouterr().err
    record = read_record(folder)
    assert record.status == "failed" and "/nowhere/model.safetensors" in record.reason


def test_a_lock_is_for_one_and_asking_does_not_take_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not is_locked(folder), "no file, no lock"
    first, second = FolderLock(folder.lock_file), FolderLock(folder.lock_file)
    assert first.acquire() and is_locked(folder) and not second.acquire()
    first.release()
    assert not is_locked(folder) and second.acquire()
    second.release()


@pytest.mark.slow
def test_a_damaged_state_is_passed_over(bench: Bench) -> None:
    extra = ("train.keep_state=true", "train.save_last_n_steps_state=9", "train.save_state_every_n_steps=2",
             "train.save_every_n_epochs=0", "train.save_precision=fp32", "preview.seeds=[]")  # fmt: skip
    folders = [bench.write(name, *extra) for name in ("a", "b")]
    bench.work(folders[:1])
    bench.work(folders[1:])
    state = folders[1].state(8) / "state.pt"
    state.write_bytes(state.read_bytes()[:500])
    record = read_record(folders[1])
    record.status, record.checkpoints = "running", []
    write_record(folders[1], record)
    bench.work(folders[1:])
    assert read_record(folders[1]).resumed_at_steps == [6]
    same_weights(*folders)
    assert [row["step"] for row in read_lines(folders[1].steps_file)] == list(range(1, 11))


def test_a_folder_without_a_job_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert worker.main([str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err
