"""Settings that change no weight: what each does to previews and metrics, and to where things run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lora_lab.config import EngineConfig
from lora_lab.engines import BACKENDS, Supervisor, make_engine
from lora_lab.errors import ConfigError
from lora_lab.run.prepare import pick_device
from lora_lab.store import RunFolder, SweepFolder, read_record
from tests.run.acting import PREVIEWS
from tests.run.bench import Bench

ONE = ("train.max_train_epochs=null", "train.max_train_steps=1", "train.save_every_n_epochs=0")


@pytest.fixture(scope="module")
def shown(images: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """Runs alike but for their previews, in one pack; 'plain' has the bench's."""
    bench = Bench(images, cache, tmp_path_factory.mktemp("shown") / "results" / "sweep")
    folders = [bench.write("plain", *ONE)]
    folders += [bench.write(key, *ONE, f"{key}={value}") for key, value in PREVIEWS.items()]
    folders.append(bench.write("small-batch", *ONE, "preview.seeds=[3,4]", "preview.batch_size=1"))
    folders.append(bench.write("large-batch", *ONE, "preview.seeds=[3,4]", "preview.batch_size=8"))
    bench.work(folders)
    return bench.sweep


def first(folder: RunFolder) -> np.ndarray:
    """The first preview's pixels."""
    record = read_record(folder)
    assert record.status == "done" and not record.notes, (record.reason, record.notes)
    return np.asarray(Image.open(folder.path / record.checkpoints[-1].previews[0].file), dtype=float)


@pytest.mark.parametrize("key", PREVIEWS)
def test_a_setting_of_previews_changes_the_images(shown: SweepFolder, key: str) -> None:
    plain, other = first(shown.run("plain")), first(shown.run(key))
    assert plain.shape != other.shape or np.abs(plain - other).max() > 0
    assert (plain.shape != other.shape) == (key == "preview.size")


def test_a_batch_of_previews_is_for_speed_alone(shown: SweepFolder) -> None:
    one, other = (first(shown.run(name)) for name in ("small-batch", "large-batch"))
    assert np.abs(one - other).max() <= 1, "no more than a rounded pixel"


def test_anchors_can_be_left_out(bench: Bench) -> None:
    bench.run("without", extra=[*ONE, "preview.anchors=false"])
    assert not list(bench.sweep.path.glob("anchors/base-*/*.png"))
    bench.run("with", extra=ONE)
    assert len(list(bench.sweep.path.glob("anchors/base-*/*.png"))) == 1


def test_metrics_are_those_named(bench: Bench) -> None:
    (plain,) = bench.run("plain", extra=ONE)
    (none,) = bench.run("none", extra=[*ONE, "metric.names=[]"])
    assert "sharpness" in plain.checkpoints[-1].metrics
    assert none.checkpoints[-1].metrics == {}


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ConfigError, match="device must be auto, cpu, cuda, cuda:N or mps"):
        pick_device("tpu")


def test_an_engine_is_made_by_its_name() -> None:
    engine = make_engine(EngineConfig())
    assert isinstance(engine, Supervisor)
    assert isinstance(engine.backend, BACKENDS["local"])  # type: ignore[arg-type]
