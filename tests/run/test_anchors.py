"""Images of the bare base model: rendered once, and anew when the model under that name is another one."""

import shutil
from pathlib import Path

from lora_lab.config import compose, flat
from lora_lab.effective.previews import anchors_name
from lora_lab.store import read_record
from tests import tiny
from tests.run.bench import Bench

OWN = ("train.max_train_steps=1",)


def images(bench: Bench) -> dict[str, bytes]:
    return {file.parent.name: file.read_bytes() for file in bench.sweep.anchors.glob("base-*/p0-s3.png")}


def test_a_replaced_base_model_is_rendered_anew(bench: Bench, tmp_path: Path) -> None:
    place = tiny.write_folder(tmp_path / "model")
    own = (*OWN, f"base_model.path={place}")
    bench.work([bench.write("a", *own)])
    first = images(bench)
    bench.work([bench.write("b", *own)])
    assert images(bench) == first and len(first) == 1
    shutil.rmtree(place)
    tiny.write_folder(place, seed=7)
    bench.work([bench.write("c", *own)])
    assert read_record(bench.sweep.run("c")).status == "done"
    second = images(bench)
    assert second.keys() == first.keys() and second != first


def test_a_changed_base_has_images_of_its_own() -> None:
    def key(*overrides: str) -> str:
        asked = flat(compose(["base_model=sd15", *overrides], checked=False))
        return anchors_name(asked, asked["dataset.trigger_word"])

    keys = [key(), key("base_model.fp8_base=true"), key("base_model.nf4_base=true"),
            key("network.base_weights=[a.safetensors]"),
            key("network.base_weights=[a.safetensors]", "network.base_weights_multiplier=[0.5]")]  # fmt: skip
    assert len(set(keys)) == len(keys)
