"""Metrics of a checkpoint's previews, held against its images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lora_lab.config import RunConfig, compose
from lora_lab.effective import Facts, resolve
from lora_lab.errors import DataError
from lora_lab.metrics.sets import COPY
from lora_lab.run.lock import FolderLock
from lora_lab.run.measured import measure_checkpoint, references
from lora_lab.run.previews import summarise
from lora_lab.run.task import Task
from lora_lab.store import Checkpoint, Preview, RunFolder, RunRecord
from lora_lab.training_data import gather

CPU = torch.device("cpu")


def image(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """A run over two images of 64 x 64."""
    folder = tmp_path / "1_woman"
    folder.mkdir()
    for seed in (1, 2):
        image(seed).save(folder / f"{seed}.png")
    return compose(
        [
            "base_model=demo", f"dataset.path={tmp_path}", f"cache={tmp_path / 'cache'}",
            "dataset.resolution='64'", "dataset.trigger_word=zyx", "metric.class_word=woman",
            "preview.prompts=['{trigger}, smiling','a zyx in a hat']", "metric.names=[basic,copy,dino]",
        ]
    )  # fmt: skip


def test_the_class_word_stands_for_the_trigger_word(config: RunConfig) -> None:
    assert resolve(config, Facts()).class_prompts == ("woman, smiling", "a woman in a hat")
    config.dataset.trigger_word = None
    assert resolve(config, Facts()).class_prompts == ("woman, smiling", "a zyx in a hat")


def test_numbers_and_flags_reach_previews_and_checkpoint(config: RunConfig, tmp_path: Path) -> None:
    from tests.metrics.models import dino_folder

    config.metric.dino_model = str(dino_folder())
    run = RunFolder(tmp_path / "results" / "run")
    shown = []
    for prompt, seed in ((0, 1), (1, 9)):
        file = run.previews("000001") / f"p{prompt}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image(seed).save(file)
        shown.append(Preview(str(file.relative_to(run.path)), prompt, 7, 1.0, flags=[COPY]))
    checkpoint = Checkpoint("000001", "x", 1, 1, 1, previews=shown)
    for _ in range(2):  # measuring again changes nothing
        task = Task(run, config, RunRecord(), FolderLock(run.lock_file), resolve(config, Facts()))
        measure_checkpoint(task, checkpoint, gather(config), CPU)
    assert [item.flags for item in shown] == [[COPY], []], "an old flag is taken back"
    assert shown[0].metrics["copy_dino"] == pytest.approx(1, abs=1e-3)
    summarise(checkpoint, [1.0])
    values = [item.metrics["copy_phash"] for item in shown]
    assert checkpoint.metrics["copy_phash"] == pytest.approx(np.mean(values))  # type: ignore[arg-type]
    assert -1 <= (checkpoint.metrics["dino"] or 0) <= 1


def test_references_are_a_folder_or_the_runs_own(config: RunConfig, tmp_path: Path) -> None:
    training_data = gather(config)
    own = list(zip(training_data.items, training_data.assignments, strict=True))
    assert len(references(None, own)) == 2
    assert len(references(str(tmp_path), own)) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="metric.references=.*there are no images in it"):
        references(str(tmp_path / "empty"), own)
    (tmp_path / "empty" / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read as an image"):
        references(str(tmp_path / "empty"), own)
