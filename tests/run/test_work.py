"""Packs of run folders, worked through: what lies in the folders afterwards."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lora_lab.errors import ModelError
from lora_lab.files import read_lines
from lora_lab.lora_files.disk import read_lora
from lora_lab.run import previews
from lora_lab.run.task import Task
from lora_lab.store import PHASES, RunFolder, RunRecord, read_record
from tests import tiny
from tests.run.bench import Bench, Stop, write_images

FOUR = {
    "a": (),
    "b": ("network.network_dim=4", "optimizer=lion"),
    "c": ("train.max_train_epochs=1", "network=locon"),
    "d": ("network.train_text_encoder=false", "train.train_batch_size=2"),
}


@pytest.fixture(scope="module")
def four(
    images: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[RunFolder, RunRecord]]:
    """Four different runs through two slots."""
    bench = Bench(images, cache, tmp_path_factory.mktemp("results") / "sweep")
    folders = [bench.write(name, *extra) for name, extra in FOUR.items()]
    bench.work(folders, slots=2)
    return {folder.name: (folder, read_record(folder)) for folder in folders}


def test_all_end_well_with_numbers(four: dict[str, tuple[RunFolder, RunRecord]]) -> None:
    expected = {"a": (10, 10, 2), "b": (10, 10, 2), "c": (5, 5, 1), "d": (6, 10, 2)}
    for name, (_, record) in four.items():
        assert (record.status, record.reason) == ("done", "")
        assert (record.step, record.samples, record.epoch) == expected[name]
        assert record.total_steps == record.step and record.images == 5
        assert record.exposures_per_image == record.samples / 5
        assert record.updates_per_epoch == (3 if name == "d" else 5)
        assert set(record.seconds) == set(PHASES)
        assert all(record.seconds[phase] > 0 for phase in PHASES), record.seconds
        assert record.wall_seconds == pytest.approx(sum(record.seconds.values()), rel=0.05)
        assert record.device.startswith("cpu") and record.versions["torch"]
        assert record.peak_memory_bytes > 10**7
        assert len(record.pack) == 3 and name not in record.pack


def test_the_step_log_has_every_update_once(four: dict[str, tuple[RunFolder, RunRecord]]) -> None:
    for folder, record in four.values():
        rows = read_lines(folder.steps_file)
        assert [row["step"] for row in rows] == list(range(1, record.step + 1))
        assert [row["samples"] for row in rows][-1] == record.samples
        assert all(row["loss"] > 0 and row["grad_norm"] > 0 for row in rows)
        assert rows[-1]["loss"] == pytest.approx(record.loss)


def test_checkpoints_have_kohyas_names_and_load(four: dict[str, tuple[RunFolder, RunRecord]]) -> None:
    folder, record = four["a"]
    assert [item.file for item in record.checkpoints] == [
        "checkpoints/a-000001.safetensors", "checkpoints/a-000002.safetensors"
    ]  # fmt: skip
    tensors, metadata = read_lora(folder.path / record.checkpoints[-1].file)
    assert metadata["ss_network_dim"] == "2" and metadata["ss_steps"] == "10" and metadata["ss_epoch"] == "2"
    assert any(float(t.abs().max()) > 0 for name, t in tensors.items() if "lora_up" in name)
    rows = read_lines(folder.steps_file)
    for item, own in zip(record.checkpoints, (rows[:5], rows[5:]), strict=True):
        assert item.loss == pytest.approx(sum(row["loss"] for row in own) / 5)
        assert item.size_bytes == (folder.path / item.file).stat().st_size
    assert not any("lora_te" in name for name in read_lora(four["d"][0].checkpoint("000002"))[0])
    assert not folder.states.exists(), "a finished run needs no state"


def test_diffusers_takes_the_files_with_no_key_left_over(
    four: dict[str, tuple[RunFolder, RunRecord]], caplog: pytest.LogCaptureFixture
) -> None:
    from lora_lab.models import pipeline

    for name in ("a", "c"):
        folder, record = four[name]
        whole = pipeline(tiny.base("sd1"))
        state, alphas = whole.lora_state_dict(str(folder.path / record.checkpoints[-1].file))
        whole.load_lora_weights(str(folder.path / record.checkpoints[-1].file))
        loaded = sum("lora_" in key for part in (whole.unet, whole.text_encoder) for key in part.state_dict())
        assert loaded == len(state) and len(alphas) == len(state) // 2
    assert "unexpected" not in caplog.text.lower()


def test_previews_carry_their_settings(four: dict[str, tuple[RunFolder, RunRecord]]) -> None:
    folder, record = four["b"]
    previews = [item.previews for item in record.checkpoints]
    assert [[item.file for item in row] for row in previews] == [
        ["previews/000001/p0-s3-w1.png"], ["previews/000002/p0-s3-w1.png"]
    ]  # fmt: skip
    image = Image.open(folder.path / previews[1][0].file)
    assert image.size == (32, 32)
    lines = image.info["parameters"].split("\n")
    assert lines[0] == "<lora:b-000002:1> zz, smile"
    assert "Steps: 2, Sampler: DDIM, CFG scale: 7.0, Seed: 3, Size: 32x32" in lines[-1]
    assert set(previews[1][0].metrics) == {"brightness", "contrast", "sharpness", "base_distance"}
    assert record.checkpoints[1].metrics == previews[1][0].metrics
    assert previews[1][0].metrics["base_distance"] > 0


def test_sheets_and_anchors_lie_beside(four: dict[str, tuple[RunFolder, RunRecord]]) -> None:
    sweep = four["a"][0].path.parent
    assert len(list(sweep.glob("anchors/base-*/p0-s3.png"))) == 1
    assert len(list(sweep.glob("anchors/pictures-*/*.png"))) == 5
    for folder, _ in four.values():
        colours = Image.open(folder.sheet).convert("RGB").getcolors(1 << 20)
        assert colours and len(colours) > 50


def test_a_run_with_broken_images_fails_alone(bench: Bench, tmp_path: Path) -> None:
    broken = write_images(tmp_path / "broken", 2) / "1_zz girl" / "0.png"
    broken.write_bytes(broken.read_bytes()[:-200])
    folders = [
        bench.write("good", "train.max_train_epochs=1"),
        bench.write("bad", f"dataset.path={broken.parent.parent}"),
    ]
    bench.work(folders)
    good, bad = (read_record(folder) for folder in folders)
    assert good.status == "done" and good.step == 5
    assert bad.status == "failed" and "0.png" in bad.reason and "Traceback" not in bad.reason
    assert Task.open(folders[1]), "it is not locked any more"


def test_a_run_that_diverges_keeps_its_last_good_checkpoint(bench: Bench) -> None:
    folders = [
        bench.write("wild", "optimizer.learning_rate=1e18", "train.save_every_n_steps=1", "preview.seeds=[]"),
        bench.write("calm", "train.max_train_epochs=1", "train.save_precision=fp32"),
        bench.write("next", "train.max_train_epochs=1"),
    ]
    bench.work(folders, slots=2)
    wild, calm, after = (read_record(folder) for folder in folders)
    assert wild.status == "diverged" and "not finite" in wild.reason
    assert wild.step < 10
    for item in wild.checkpoints:
        tensors, _ = read_lora(folders[0].path / item.file)
        assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
    assert (calm.status, after.status) == ("done", "done"), (calm.reason, after.reason)
    alone = bench.write("alone", "train.max_train_epochs=1", "train.save_precision=fp32")
    bench.work([alone])
    one, other = (read_lora(f.checkpoint("000001"))[0] for f in (folders[1], alone))
    assert max(float((one[key] - other[key]).abs().max()) for key in one) < 1e-5


def test_previews_without_an_effect_are_named(bench: Bench) -> None:
    (record,) = bench.run("still", extra=["optimizer.learning_rate=1e-12", "train.max_train_epochs=1"])
    assert record.checkpoints[0].previews[0].flags == ["same as base"]
    assert record.checkpoints[0].flags == ["same as base"]


@pytest.mark.parametrize(
    ("value", "flag"), [(float("nan"), "black"), (-1.0, "black"), (0.2, "flat")], ids=["nan", "black", "flat"]
)
def test_ruined_previews_are_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, value: float, flag: str
) -> None:
    from lora_lab.preview import render

    def ruined(_base: object, latents: torch.Tensor) -> torch.Tensor:
        return torch.full((len(latents), 3, 32, 32), value)

    monkeypatch.setitem(vars(__import__("sys").modules[render.__module__]), "decode", ruined)
    (record,) = bench.run("ruined", extra=["train.max_train_steps=1"])
    assert record.status == "done" and flag in record.checkpoints[0].flags


@pytest.mark.slow
def test_previews_that_cannot_be_rendered_cost_no_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no memory for that")

    monkeypatch.setattr(previews, "make_previews", fails)
    (record,) = bench.run("a")
    assert record.status == "done" and len(record.checkpoints) == 2
    assert record.notes == ["previews failed: RuntimeError: no memory for that"]
    monkeypatch.undo()
    bench.work([bench.sweep.run("a")])
    again = read_record(bench.sweep.run("a"))
    assert [len(item.previews) for item in again.checkpoints] == [1, 1]
    assert len(read_lines(bench.sweep.run("a").steps_file)) == 10, "nothing was trained again"


def test_a_lora_to_continue_from(bench: Bench, tmp_path: Path) -> None:
    (first,) = bench.run(
        "first", extra=["train.save_precision=fp32", "train.max_train_steps=1", "preview.seeds=[]"]
    )
    file = bench.sweep.run("first").path / first.checkpoints[0].file
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"\0" * 100)
    short = [
        "train.max_train_steps=1",
        "optimizer.learning_rate=1e-9",
        "preview.seeds=[]",
        "train.save_precision=fp32",
    ]
    folders = [
        bench.write("second", *short, f"network.network_weights={file}"),
        bench.write("third", *short, f"network.network_weights={junk}"),
    ]
    bench.work(folders)
    second, third = (read_record(folder) for folder in folders)
    assert second.status == "done"
    assert third.status == "failed" and str(junk) in third.reason
    before = read_lora(file)[0]
    after = read_lora(folders[0].path / second.checkpoints[0].file)[0]
    assert max(float((before[key] - after[key]).abs().max()) for key in before) < 1e-6


@pytest.mark.slow
def test_interrupted_at_any_point_and_gone_on(bench: Bench) -> None:
    whole = bench.run("w", "x", extra=["train.save_precision=fp32"])
    assert [record.status for record in whole] == ["done", "done"]
    extra = ("train.save_precision=fp32", "train.save_state_every_n_steps=1")
    folders = [bench.write(name, *extra) for name in ("y", "z")]
    for at in (2, 4, 8, 12):
        bench.work(folders, stop=Stop(at))
        records = [read_record(folder) for folder in folders]
        if {record.status for record in records} == {"done"}:
            break
        assert {record.status for record in records} <= {"cancelled", "done"}, at
    bench.work(folders)
    _same_results(bench, ("w", "y"), ("x", "z"))


def _same_results(bench: Bench, *pairs: Sequence[str]) -> None:
    for one, other in pairs:
        first, second = (bench.sweep.run(name) for name in (one, other))
        records = read_record(first), read_record(second)
        assert records[1].status == "done", records[1].reason
        assert [item.tag for item in records[0].checkpoints] == [item.tag for item in records[1].checkpoints]
        for tag in ("000001", "000002"):
            a, b = (read_lora(folder.checkpoint(tag))[0] for folder in (first, second))
            assert a.keys() == b.keys()
            assert all(torch.equal(a[key], b[key]) for key in a), tag
        assert [row["step"] for row in read_lines(second.steps_file)] == list(range(1, 11))
        for item in records[1].checkpoints:
            assert [(second.path / p.file).is_file() for p in item.previews] == [True]


def test_a_broken_pass_leaves_several_runs_to_the_engine_and_fails_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_self: object) -> None:
        raise RuntimeError("a kernel is missing")

    monkeypatch.setattr("lora_lab.train.PackTrainer.step", breaks)
    folders = [bench.write(name, "preview.seeds=[]") for name in ("a", "b")]
    with pytest.raises(RuntimeError, match="a kernel is missing"):
        bench.work(folders)
    assert [read_record(folder).status for folder in folders] == ["running", "running"]
    bench.work(folders[:1])
    record = read_record(folders[0])
    assert (record.status, record.reason) == ("failed", "RuntimeError: a kernel is missing")


@pytest.mark.parametrize("key", ["network.base_weights", "network.network_weights"])
def test_broken_numbers_of_a_given_lora_are_a_failure_not_a_divergence(
    bench: Bench, tmp_path: Path, key: str
) -> None:
    """Divergence would count against the run's settings; here a file is at fault."""
    first = bench.run("first", extra=["train.max_train_steps=1", "preview.seeds=[]"])[0]
    tensors = read_lora(bench.sweep.run("first").path / first.checkpoints[0].file)[0]
    name = next(key for key in tensors if key.endswith("lora_up.weight"))
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    file = tmp_path / "nan.safetensors"
    save_file(tensors, file)
    value = f"['{file}']" if key.endswith("base_weights") else f"'{file}'"
    folder = bench.write("second", "train.max_train_steps=1", "preview.seeds=[]", f"{key}={value}")
    with suppress(ModelError):  # of a base model that cannot be made; the record says so
        bench.work([folder])
    record = read_record(folder)
    assert record.status == "failed" and not record.checkpoints
    assert str(file) in record.reason and "holds NaN" in record.reason and name.split(".")[0] in record.reason


def test_what_is_not_read_of_captions_stands_in_log_and_record(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_images(tmp_path / "long", 2)
    (images / "1_zz girl" / "0.txt").write_text("zz, " + ", ".join(["blue sky"] * 80))
    task = Task.open(bench.write("a", f"dataset.path={images}"))
    assert task
    task.resolve("cpu")
    task.write()
    task.lock.release()
    kept = read_record(task.folder).resolved["warnings"]
    (said,) = [text for text in kept if "tokens that are read" in text]
    assert said.startswith("captions: 1 of 2 are longer than the 75 tokens that are read (0.png ")
    assert f"a: {said}" in capsys.readouterr().err


# and one line at the end of test_previews_carry_their_settings' look at lines[-1]:
#     assert "RNG: CPU" in lines[-1] and "Schedule type" not in lines[-1]  # DDIM has a schedule of its own
