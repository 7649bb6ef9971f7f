"""What lies in a run's folder and when: precision, comment, states, a dataset file of two resolutions."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from lora_lab.config import compose
from lora_lab.lora_files.disk import read_lora
from lora_lab.resolved import Resolved
from lora_lab.run.checkpoints import oldest_kept_state
from lora_lab.run.save_schedule import SaveSchedule
from lora_lab.store import read_record
from tests.run.bench import Bench

OWN = ("preview.seeds=[]", "train.max_train_steps=2")


@pytest.mark.parametrize(
    ("value", "dtype"), [("fp32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)]
)
def test_files_have_the_precision_and_the_comment_asked_for(
    bench: Bench, value: str, dtype: torch.dtype
) -> None:
    folder = bench.write(
        "a", *OWN, f"train.save_precision={value}", "train.training_comment='for her birthday'"
    )
    bench.work([folder])
    tensors, metadata = read_lora(folder.path / read_record(folder).checkpoints[0].file)
    assert {tensor.dtype for name, tensor in tensors.items() if "lora_" in name.split(".")[1]} == {dtype}
    assert metadata["ss_training_comment"] == "for her birthday"


def kept_at(step: int, *overrides: str, per_epoch: int = 100) -> list[int]:
    """Which states of every 200 updates are left after `step`."""
    train = compose(["base_model=sd15", *overrides], checked=False).train
    left: list[int] = []
    for update in range(200, step + 1, 200):
        left = [item for item in [*left, update] if item >= oldest_kept_state(train, update, per_epoch)]
    return left


def test_the_documents_example_of_keeping_states() -> None:
    """Saved every 200 updates, kept for 300: at step 800 the states of 200 and 400 are gone."""
    own = ["train.save_state_every_n_steps=200", "train.save_last_n_steps_state=300"]
    assert [kept_at(step, *own) for step in (200, 400, 600, 800)] == [
        [200],
        [200, 400],
        [400, 600],
        [600, 800],
    ]
    assert kept_at(800, "train.save_last_n_steps_state=400") == [400, 600, 800], (
        "k times the stride keeps k + 1"
    )
    assert kept_at(800) == [800]
    assert kept_at(800, "train.save_last_n_epochs_state=4") == [400, 600, 800]


def test_save_points_by_epochs_and_steps() -> None:
    def tags(*overrides: str, total: int = 25, per_epoch: int = 10) -> list[str]:
        config = compose(["base_model=sd15", "train.save_every_n_epochs=0", *overrides], checked=False)
        resolved = Resolved({}, {}, total_steps=total, updates_per_epoch=per_epoch, train=config.train)
        return SaveSchedule.of(resolved).tags()

    assert tags() == ["step00000025"]
    assert tags(total=30) == ["000003"]
    assert tags("train.save_every_n_epochs=1") == ["000001", "000002", "step00000025"]
    assert tags("train.save_every_n_epochs=2") == ["000002", "step00000025"]
    assert tags("train.save_every_n_steps=10") == ["step00000010", "step00000020", "step00000025"]
    assert tags("train.save_every_n_steps=15") == ["step00000015", "step00000025"]


@pytest.mark.parametrize("keep", [True, False])
def test_the_last_state_stays_if_asked(bench: Bench, keep: bool) -> None:
    folder = bench.write(
        "a", *OWN, "train.save_state_every_n_steps=1", f"train.keep_state={str(keep).lower()}"
    )
    bench.work([folder])
    assert folder.saved_states() == ([1] if keep else [])


def test_a_dataset_file_of_two_resolutions_trains(bench: Bench, images: Path, tmp_path: Path) -> None:
    file = tmp_path / "set.toml"
    subset = f'[[datasets.subsets]]\nimage_dir = "{images / "1_zz girl"}"\n'
    file.write_text(
        "[general]\nenable_bucket = false\nflip_aug = true\n"
        f"[[datasets]]\nresolution = 32\nbatch_size = 2\n{subset}"
        f"num_repeats = 2\n[[datasets]]\nresolution = [64, 32]\nvalidation_split = 0.4\n{subset}"
        "resize_interpolation = 'lanczos'\n"
    )
    folder = bench.write("a", f"dataset.path={file}", "preview.seeds=[]", "train.max_train_epochs=1")
    bench.work([folder])
    record = read_record(folder)
    assert record.status == "done", record.reason
    # Two held back in the second dataset leave the first one, too: 3 x 2 draws by twos, 3 draws by ones.
    assert (record.images, record.step, record.samples) == (6, 6, 9)
    assert record.checkpoints[0].validation_loss is not None


def test_a_name_with_an_equals_sign_can_be_called_in_a_prompt(bench: Bench) -> None:
    (record,) = bench.run("first-network_alpha=1", extra=["train.max_train_steps=1"])
    folder, item = bench.sweep.run("first-network_alpha=1"), record.checkpoints[-1]
    assert "=" not in Path(item.file).name
    _, metadata = read_lora(folder.path / item.file)
    for key in ("ss_output_name", "modelspec.title"):
        assert "first-network_alpha-1-" in metadata[key] and "=" not in metadata[key]
    said = Image.open(folder.path / item.previews[0].file).info["parameters"]
    assert said.startswith(f"<lora:first-network_alpha-1-{item.tag}:1> ")
