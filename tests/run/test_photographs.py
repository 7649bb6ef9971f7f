"""Real photographs and real families, from files to a preview."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lora_lab.config import compose
from lora_lab.files import read_lines
from lora_lab.lora_files.disk import read_lora
from lora_lab.store import read_record
from lora_lab.training_data import gather
from tests import tiny
from tests.run.bench import Bench

data = pytest.importorskip("skimage.data")
SHORT = ("train.max_train_steps=2", "train.save_every_n_epochs=0")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photographs of four shapes, as JPEG, PNG and WebP, one of them turned by EXIF."""
    folder = tmp_path_factory.mktemp("photographs") / "2_zz things"
    folder.mkdir()
    astronaut, coffee, cat = (
        Image.fromarray(getattr(data, name)()) for name in ("astronaut", "coffee", "cat")
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    astronaut.save(folder / "astronaut.jpg", quality=92)
    coffee.save(folder / "coffee.png")
    cat.save(folder / "cat.webp")
    cat.save(folder / "turned.jpg", exif=exif, quality=92)
    coffee.crop((0, 100, 600, 300)).convert("CMYK").save(folder / "wide.jpg", quality=92)
    for file in list(folder.iterdir()):
        file.with_suffix(".txt").write_text(f"zz, {file.stem}")
    return folder.parent


def test_photographs_go_all_the_way(bench: Bench, photographs: Path, tmp_path: Path) -> None:
    own = (
        *SHORT,
        f"dataset.path={photographs}",
        f"cache={tmp_path / 'cache'}",
        "dataset.resolution='128'",
        "dataset.enable_bucket=true",
        "dataset.max_bucket_reso=256",
        "dataset.bucket_reso_steps=32",
        "preview.size='64x96'",
    )
    training_data = gather(compose([*bench.common, *own], checked=False))
    found = {
        item.path.name: place.bucket
        for item, place in zip(training_data.items, training_data.assignments, strict=True)
    }
    assert found["astronaut.jpg"] == (128, 128)
    assert found["coffee.png"][0] > found["coffee.png"][1] and found["wide.jpg"][0] > found["coffee.png"][0]
    assert found["turned.jpg"] == found["cat.webp"][::-1]
    folder = bench.write("a", *own)
    bench.work([folder])
    record = read_record(folder)
    assert (record.status, record.step, record.images) == ("done", 2, 5), record.reason
    assert record.updates_per_epoch == 10
    cached = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert len(cached) >= 5
    preview = Image.open(folder.path / record.checkpoints[0].previews[0].file)
    assert preview.size == (64, 96)
    shown = sorted(bench.sweep.anchors.glob("pictures-*/*.png"))
    assert len(shown) == 5
    # What the model is shown is the photograph, the right way up.
    astronaut = next(Image.open(file) for file in shown if Image.open(file).size == (128, 128))
    original = Image.open(photographs / "2_zz things" / "astronaut.jpg").resize(
        (128, 128), Image.Resampling.BOX
    )
    assert np.abs(np.asarray(astronaut, float) - np.asarray(original, float)).mean() < 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "prediction", "modules"),
    [
        ("sdxl", "epsilon", ("lora_unet", "lora_te1", "lora_te2")),
        ("sd2", "v_prediction", ("lora_unet", "lora_te")),
    ],
)
def test_other_families_go_all_the_way(
    bench: Bench, family: str, prediction: str, modules: tuple[str, ...]
) -> None:
    base = tiny.folder(family, prediction_type=prediction)
    folder = bench.write("a", *SHORT, f"base_model.path={base}", "train.gradient_checkpointing=true")
    bench.work([folder])
    record = read_record(folder)
    assert record.status == "done", record.reason
    assert [row["loss"] > 0 for row in read_lines(folder.steps_file)] == [True, True]
    tensors, metadata = read_lora(folder.path / record.checkpoints[0].file)
    assert {name.split("_")[0] + "_" + name.split("_")[1] for name in tensors} == set(modules)
    assert metadata["ss_v2"] == str(family == "sd2")
    assert record.checkpoints[0].previews[0].metrics["base_distance"] is not None
