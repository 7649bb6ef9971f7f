"""Checkpoints rendered on further base models: `preview.base_model`."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lora_lab.anchors import anchor_name
from lora_lab.config import load
from lora_lab.effective import examine
from lora_lab.errors import ModelError
from lora_lab.files import read_lines
from lora_lab.preview import Shot, render
from lora_lab.resolved import Resolved
from lora_lab.run.prepare import load_further
from lora_lab.run.previews import anchors_of, render_settings
from lora_lab.store import RunFolder, RunRecord, read_record
from tests import tiny
from tests.run.bench import Bench, Stop

OTHER = tiny.folder("sd1", 1)


def on(*paths: Path) -> str:
    return f"preview.base_model=[{','.join(repr(str(path)) for path in paths)}]"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def worked(bench: Bench, folder: RunFolder, stop: Stop | None = None) -> RunRecord:
    bench.work([folder], stop=stop)
    return read_record(folder)


def test_every_checkpoint_is_rendered_on_each(bench: Bench) -> None:
    record = bench.run("one", extra=[on(OTHER)])[0]
    assert record.status == "done" and not record.notes and record.preview_fingerprint
    folder = bench.sweep.run("one")
    resolved = Resolved.from_plain(record.resolved)
    for checkpoint in record.checkpoints:
        own, other = checkpoint.previews
        assert (own.prompt, own.base_model) == (0, "")
        assert (other.prompt, other.base_model, other.text) == (1, OTHER.name, own.text)
        # Merged into the other model, the file draws that very image; merging rounds elsewhere.
        merged = replace(
            resolved.network,
            base_weights=[str(folder.path / checkpoint.file)],
            base_weights_multiplier=[1.0],
        )
        base = load_further(replace(resolved, network=merged), str(OTHER), torch.device("cpu"))
        settings = render_settings(resolved, resolved.shown_on(1))
        drawn = next(render(base, None, [Shot(-1, other.text, 3, 1.0)], settings))
        assert abs(pixels(folder.path / other.file) - np.asarray(drawn).astype(int)).max() <= 1
        assert abs(pixels(folder.path / other.file) - pixels(folder.path / own.file)).max() > 8
        assert f"Model: {OTHER.name}," in Image.open(folder.path / other.file).info["parameters"]
    anchors = anchors_of(folder, resolved)
    assert abs(pixels(anchors / anchor_name(0, 3)) - pixels(anchors / anchor_name(1, 3))).max() > 8


def test_what_is_trained_and_drawn_on_its_own_base_is_as_without(bench: Bench) -> None:
    plain, more = bench.run("plain")[0], bench.run("more", extra=[on(OTHER)])[0]
    assert plain.fingerprint == more.fingerprint
    assert plain.preview_fingerprint != more.preview_fingerprint
    for one, other in zip(plain.checkpoints, more.checkpoints, strict=True):
        assert one.previews[0].drawn == other.previews[0].drawn
        first, second = bench.sweep.run("plain").path, bench.sweep.run("more").path
        assert (pixels(first / one.previews[0].file) == pixels(second / other.previews[0].file)).all()


def test_added_later_only_what_is_missing_is_rendered(bench: Bench) -> None:
    before = bench.run("one")[0]
    folder = bench.sweep.run("one")
    steps, old = len(read_lines(folder.steps_file)), folder.path / before.checkpoints[0].previews[0].file
    drawn_at = old.stat().st_mtime_ns
    after = worked(bench, bench.write("one", on(OTHER)))
    assert after.status == "done" and len(read_lines(folder.steps_file)) == steps
    assert old.stat().st_mtime_ns == drawn_at
    assert [[item.base_model for item in one.previews] for one in after.checkpoints] == 2 * [["", OTHER.name]]


@pytest.mark.slow
def test_interrupted_at_any_point_it_goes_on_to_the_same(bench: Bench) -> None:
    whole = bench.run("whole", extra=[on(OTHER)])[0]
    shown = [[(item.file, item.drawn) for item in one.previews] for one in whole.checkpoints]
    ended = set()
    for at in range(12, 36, 4):
        folder = bench.write(f"cut-{at}", on(OTHER))
        first = worked(bench, folder, Stop(at))
        ended.add((first.status, sum(len(one.previews) for one in first.checkpoints)))
        again = worked(bench, folder)
        assert again.status == "done" and again.preview_fingerprint == whole.preview_fingerprint
        assert [[(item.file, item.drawn) for item in one.previews] for one in again.checkpoints] == shown
    cut = {shown for status, shown in ended if status == "cancelled"}
    assert cut >= {2, 3}, "among training and own previews, and among those on the further base"


def test_a_pack_shares_them(bench: Bench) -> None:
    records = bench.run("a", "b", "c", extra=[on(OTHER)], slots=2)
    for record in records:
        assert record.status == "done"
        assert [len(one.previews) for one in record.checkpoints] == [2, 2]


def test_a_model_that_went_is_a_note_and_the_same_command_renders(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "merge"
    shutil.copytree(OTHER, gone)
    folder = bench.write("one", on(gone))

    def missing(*_: object) -> None:
        raise ModelError(f"{gone}: there is no such file or folder")

    with monkeypatch.context() as patched:
        patched.setattr("lora_lab.run.work.load_further", missing)
        record = worked(bench, folder)
    assert record.status == "done" and record.preview_fingerprint == ""
    assert f"preview.base_model={gone}" in record.notes[0]
    assert [len(one.previews) for one in record.checkpoints] == [1, 1]
    assert [len(one.previews) for one in worked(bench, folder).checkpoints] == [2, 2]


def test_they_are_on_the_device_that_the_own_base_had(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_lab.models.base.to_cpu", lambda base: base.unet.to("meta"))
    record = bench.run("one", extra=[on(OTHER)])[0]
    assert not record.notes and [len(one.previews) for one in record.checkpoints] == [2, 2]


def refusals(bench: Bench, *paths: Path) -> tuple[str, ...]:
    return examine(load(bench.write("asked", on(*paths)).config_file), "cpu").resolved.refusals


def test_what_does_not_fit_is_refused_by_name(bench: Bench, tmp_path: Path) -> None:
    (text,) = refusals(bench, tiny.folder("sdxl"))
    assert f"preview.base_model={tiny.folder('sdxl')}" in text and "family" in text
    copy = tmp_path / "copy"
    shutil.copytree(OTHER, copy)
    (text,) = refusals(bench, OTHER, copy)
    assert str(copy) in text and str(OTHER) in text
    with pytest.raises(ModelError, match=r"preview\.base_model.*nowhere"):
        refusals(bench, tmp_path / "nowhere")


def test_the_own_base_in_the_list_is_not_rendered_twice(bench: Bench) -> None:
    record = bench.run("one", extra=[on(tiny.folder(), OTHER)])[0]
    assert [len(one.previews) for one in record.checkpoints] == [2, 2]
